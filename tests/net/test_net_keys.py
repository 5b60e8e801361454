"""Transports with keys: who is let in, who is not, and what both sides say of it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import zmq
from support.net_ends import TIMEOUT_SECS, End, Ends, Raw

from zmqbus.config import MeshConfig
from zmqbus.errors import InsecureBindError
from zmqbus.keys import Keys, MeshKey, RunnerKey
from zmqbus.net.curve import Pair, credentials, present, public_key
from zmqbus.net.endpoint import parse_dialable
from zmqbus.net.transport import Transport
from zmqbus.packets import NodeId

KEY, OTHER = MeshKey.new(), MeshKey.new()


@pytest.fixture(params=["tcp", "ipc", "tcp6"])
def bind(request: pytest.FixtureRequest, short_path: Path) -> str:
    """Where an end binds: each kind of address in turn."""
    where = {"tcp": "tcp://127.0.0.1:*", "tcp6": "tcp://[::1]:*", "ipc": f"ipc://{short_path}/n"}
    return where[request.param]


def texts(end: End) -> str:
    """All that an end has said of those who were not let in, it or others."""
    return "\n".join(text for text, _ in end.told.turned_away_texts)


async def talk(a: End, b: End, topic: bytes = b"t") -> None:
    """Link two ends one way on each plane, and see a frame arrive on both."""
    await b.dial(1, a)
    await b.read(a, topic)
    b.transport.send(1, b"mine")
    a.transport.publish(topic + b"une")
    await a.told.until(lambda: b"mine" in a.told.system)
    await b.told.until(lambda: topic + b"une" in b.told.data)


# -- members


async def test_members_talk_on_both_planes(bind: str, ends: Ends) -> None:
    """With one key nothing else changes; what comes in bears the name of the key."""
    a = await ends.open(bind, keys=Keys(KEY))
    b = await ends.open(keys=Keys(KEY))
    await talk(a, b)
    assert a.told.users == [f"mesh {KEY.fingerprint}"]
    assert (texts(a), texts(b)) == ("", "")


async def test_handshake_needs_no_loop(ends: Ends) -> None:
    """A member comes in while the loop stands still: a blocked node refuses nobody."""
    a = await ends.open(keys=Keys(KEY))
    raw = ends.raw(zmq.DEALER)
    own = credentials(Keys(KEY))
    present(raw, own, own.servers[0])
    with raw.get_monitor_socket(zmq.Event.HANDSHAKE_SUCCEEDED) as pair:
        raw.connect(a.endpoint)
        came = pair.poll(int(TIMEOUT_SECS * 1000))
        raw.disable_monitor()
    assert came, "the loop has not turned since the connect"


async def test_with_a_key_others_may_reach_it(ends: Ends) -> None:
    """R29: a key lifts the ban on addresses that others reach."""
    with pytest.raises(InsecureBindError, match="key="):
        await ends.open("tcp://0.0.0.0:*")
    a = await ends.open("tcp://0.0.0.0:*", keys=Keys(KEY))
    assert a.endpoint


# -- strangers


def _plain(_socket: Raw) -> None:
    """No key at all."""


def _other_key(socket: Raw) -> None:
    own = credentials(Keys(OTHER))
    present(socket, own, own.servers[0])


def _public_only(socket: Raw) -> None:
    """All public keys of the mesh are known, but none of its secrets."""
    mine = zmq.curve_keypair()
    socket.setsockopt(zmq.CURVE_PUBLICKEY, mine[0])
    socket.setsockopt(zmq.CURVE_SECRETKEY, mine[1])
    socket.setsockopt(zmq.CURVE_SERVERKEY, credentials(Keys(KEY)).servers[0])


def _stolen_public(socket: Raw) -> None:
    """It shows the public key of the mesh's clients, without the secret that belongs to it."""
    own = credentials(Keys(KEY))
    secret = zmq.curve_keypair()[1]
    socket.setsockopt(zmq.CURVE_PUBLICKEY, own.client.public)
    socket.setsockopt(zmq.CURVE_SECRETKEY, secret)
    socket.setsockopt(zmq.CURVE_SERVERKEY, own.servers[0])


@pytest.mark.parametrize(
    ("prepare", "named"),
    [
        (_plain, "plain ZeroMQ"),
        (_other_key, "it holds another mesh key"),
        (_public_only, "its key is not admitted here"),
        (_stolen_public, "it holds another mesh key"),
    ],
)
async def test_stranger_that_speaks_zeromq_gets_nothing_and_is_named(
    prepare: Callable[[Raw], None], named: str, ends: Ends
) -> None:
    """No frame in, none out, on either plane; its address and its fault are told."""
    a, b = await ends.open(keys=Keys(KEY)), await ends.open(keys=Keys(KEY))
    dealer, sub = ends.raw(zmq.DEALER), ends.raw(zmq.SUB)
    for socket, endpoint in ((dealer, a.endpoint), (sub, a.data_endpoint)):
        prepare(socket)
        socket.setsockopt(zmq.RECONNECT_IVL, 20)
        socket.connect(endpoint)
    sub.setsockopt(zmq.SUBSCRIBE, b"")
    dealer.send(b"forged")
    await a.told.until(lambda: named in texts(a))
    assert "127.0.0.1:" in texts(a)
    await talk(a, b)
    assert not sub.poll(0)
    assert not dealer.poll(0)
    assert (a.told.system, a.told.readers) == ([b"mine"], [(b"t", True)])
    assert a.transport.counters["failed_handshakes"] >= 2


@pytest.mark.parametrize(
    ("noise", "named"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "it does not speak ZeroMQ with CURVE"),
        (b"\x01\x00\x07\x00forged", "it does not speak ZeroMQ with CURVE"),  # ZMTP/1.0
        (b"\x16\x03\x01" + bytes(200), "it does not speak ZeroMQ with CURVE"),
        (b"", "it connects and says nothing"),
    ],
)
async def test_stranger_that_speaks_something_else_is_named(
    noise: bytes, named: str, ends: Ends
) -> None:
    """Browsers, TLS, the oldest ZeroMQ and who says nothing: a frame of none comes in (Z36)."""
    a = await ends.open(keys=Keys(KEY))
    to = parse_dialable(a.endpoint)
    assert to is not None
    writers = []
    while named not in texts(a):
        _, writer = await asyncio.open_connection(to.host, to.port)
        writer.write(noise)
        writers.append(writer)
        turns = a.told.turns
        await a.told.until(lambda turns=turns: a.told.turns > turns)  # type: ignore[misc]
    for writer in writers:
        writer.close()
    assert (a.told.system, a.told.readers) == ([], [])


@pytest.mark.parametrize(
    ("mine", "its", "said"),
    [
        (Keys(KEY), None, "or none"),
        (None, Keys(KEY), "needs a key, and this node has none"),
        (Keys(KEY), Keys(OTHER), "hangs up in the handshake: it holds another mesh key"),
        (
            Keys(KEY),
            Keys(KEY, (), RunnerKey.new(), frozenset()),
            "refuses this node: its key is not admitted",
        ),
    ],
)
async def test_address_that_will_not_have_us_is_named_once(
    mine: Keys | None, its: Keys | None, said: str, ends: Ends
) -> None:
    """It does not look like a dead peer: both sides say what is wrong (X06, X07, F19)."""
    a, b = await ends.open(keys=mine), await ends.open(keys=its)
    a.transport.dial(1, b.endpoint)
    # Who sees first that the other speaks plain ZeroMQ hangs up on it.
    await a.told.until(lambda: said in texts(a) or "has no key: it speaks plain" in texts(a))
    await b.told.until(lambda: "turned away" in texts(b))
    assert [endpoint for _, endpoint in a.told.turned_away_texts] == [b.endpoint]
    assert a.told.links == []


async def test_address_whose_key_is_mended_is_linked_by_itself(
    short_path: Path, ends: Ends
) -> None:
    """Libzmq never tries again after a mismatch of mechanisms; we do (X07)."""
    at = f"ipc://{short_path}/n"
    plain = await ends.open(at)
    a = await ends.open(keys=Keys(KEY))
    a.transport.dial(1, plain.endpoint)
    await a.told.until(lambda: plain.endpoint in texts(a))
    await plain.transport.close(0)
    await ends.open(at, keys=Keys(KEY))
    await a.told.until(lambda: a.told.links == [(1, True)])


# -- changes


async def test_new_key_is_used_by_all_connections_without_a_gap(bind: str, ends: Ends) -> None:
    """Accept the new key here and there, use it, drop the old one: both planes live (R30)."""
    new = OTHER
    a, b = await ends.open(bind, keys=Keys(KEY)), await ends.open(keys=Keys(KEY))
    await talk(a, b)
    for keys in (Keys(KEY, (new,)), Keys(new, (KEY,)), Keys(new)):
        for end in (a, b):
            end.transport.rekey(keys, {})
        readers, links = len(a.told.readers), len(b.told.links)
        if keys.use == new and keys.accept:
            await b.told.until(lambda n=links: (1, True) in b.told.links[n:])  # type: ignore[misc]
            await a.told.until(lambda n=readers: (b"t", True) in a.told.readers[n:])  # type: ignore[misc]
        a.told.system.clear()
        b.told.data.clear()
        b.transport.send(1, b"again")
        a.transport.publish(b"tune")
        await a.told.until(lambda: b"again" in a.told.system)
        await b.told.until(lambda: b"tune" in b.told.data)
    assert a.told.users[-1] == f"mesh {new.fingerprint}"


async def test_sockets_need_not_be_descriptors_of_the_c_library(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Windows they are not: a port changes its key, and names strangers, by their handles."""
    monkeypatch.delattr(os, "dup")
    a, b = await ends.open(keys=Keys(KEY)), await ends.open(keys=Keys(OTHER))
    a.transport.rekey(Keys(OTHER), {})
    await talk(a, b)
    plain = ends.raw(zmq.DEALER)
    plain.connect(a.endpoint)
    await a.told.until(lambda: "127.0.0.1:" in texts(a))


async def test_nodes_of_one_round_of_a_rotation_talk(ends: Ends) -> None:
    """Who accepts the new key and who uses it already: each finds the key of the other (R30)."""
    before = await ends.open(keys=Keys(KEY, (OTHER,)))
    after = await ends.open(keys=Keys(OTHER, (KEY,)))
    await talk(before, after)
    await talk(after, before)
    assert (texts(before), texts(after)) == ("", "")


async def test_revoked_runner_is_hung_up_and_stays_out(bind: str, ends: Ends) -> None:
    """The others stay connected: only the one is cut, and told why."""
    runners = [RunnerKey.new() for _ in range(3)]
    public = [public_key(runner) for runner in runners]
    a = await ends.open(bind, keys=Keys(KEY, (), runners[0], frozenset(public)))
    b = await ends.open(keys=Keys(KEY, (), runners[1], frozenset(public)))
    c = await ends.open(keys=Keys(KEY, (), runners[2], frozenset(public)))
    await talk(a, b, b"b")
    await talk(a, c, b"c")
    await a.told.until(lambda: len(a.told.users) == 2)
    assert a.told.users == [str(public[1]), str(public[2])]
    c.transport.send(1, b"too late")
    # The loop does not turn: the frame waits in the socket while its key is revoked.
    assert a.transport._system.socket.poll(int(TIMEOUT_SECS * 1000))
    users = {NodeId(b"b"): str(public[1]), NodeId(b"c"): str(public[2])}
    gone = a.transport.rekey(Keys(KEY, (), runners[0], frozenset(public[:2])), users)
    assert gone == [b"c"]
    a.transport._turns.stir(a.transport._system)
    await a.told.until(lambda: a.transport.counters["revoked"] == 1)
    await c.told.until(lambda: c.told.links == [(1, True), (1, False)])
    await c.told.until(lambda: "its key is not admitted there" in texts(c))
    await a.told.until(lambda: (b"c", False) in a.told.readers)
    c.transport.send(1, b"still here")
    b.transport.send(1, b"again")
    a.transport.publish(b"but")
    a.transport.publish(b"cut")
    await a.told.until(lambda: a.told.system[-1] == b"again")
    await b.told.until(lambda: b.told.data[-1] == b"but")
    assert b.told.links == [(1, True)]
    assert a.told.system == [b"mine", b"mine", b"again"]
    assert b"cut" not in c.told.data


# -- the keys themselves


def test_pairs_of_a_mesh_are_two_and_of_a_runner_its_own() -> None:
    """To bind and to connect take different keys, so that no side can be played back to itself."""
    own = credentials(Keys(KEY))
    assert own.server != own.client
    assert own.admitted == {own.client.public: f"mesh {KEY.fingerprint}"}
    assert own == credentials(Keys(MeshKey.parse(KEY.reveal())))
    runner = RunnerKey.new()
    theirs = credentials(Keys(KEY, (), runner, frozenset()))
    assert (theirs.server, theirs.client.public) == (own.server, public_key(runner).raw)
    assert theirs.users == {str(public_key(runner))}


def test_no_secret_of_a_pair_is_shown() -> None:
    """Transports and credentials may be printed."""
    own = credentials(Keys(KEY))
    for thing in (own, Pair(b"public", b"hidden")):
        assert repr(own.client.secret)[2:-1] not in repr(thing)
        assert "hidden" not in repr(thing)


def test_transport_with_a_key_shows_none() -> None:
    """Neither does its `repr`."""
    transport = Transport(
        None,  # type: ignore[arg-type]
        bind="tcp://127.0.0.1:*",
        advertise=None,
        config=MeshConfig(),
        keys=Keys(KEY),
    )
    assert repr(transport) == "<Transport closed [0 dials, 0 attached]>"
