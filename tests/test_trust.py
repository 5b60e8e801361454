"""Trust: with a key strangers get nothing, and members lose nothing when keys change (R29-R31a)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import zmq
from loguru import logger
from pipecat.bus import BusMessage
from support.buses import Inbox, Mesh, data, open_mesh, until, urgent
from support.journal import TIMEOUT_SECS

from zmqbus import KeyRing, MeshConfig, MeshKey, RunnerKey, ZmqBus, wire
from zmqbus.bell import Bell
from zmqbus.errors import ConfigError
from zmqbus.keys import Keys, PublicKey
from zmqbus.net.curve import credentials, present, public_key
from zmqbus.net.visitors import Why
from zmqbus.packets import Bye, Hello, NodeId

KEY, OTHER = MeshKey.new(), MeshKey.new()


@pytest.fixture
async def mesh() -> AsyncIterator[Mesh]:
    """A mesh that has to end well."""
    async with open_mesh() as mesh:
        yield mesh


@contextmanager
def log() -> Iterator[list[str]]:
    """All that is logged meanwhile, on every level, with the variables of tracebacks."""
    texts: list[str] = []
    sink = logger.add(lambda m: texts.append(str(m)), level="TRACE", diagnose=True)
    yield texts
    logger.remove(sink)


def refusals_of(bus: ZmqBus) -> list[str]:
    """What a bus tells of those who were turned down, as it comes."""
    texts: list[str] = []

    async def note(_bus: ZmqBus, text: str) -> None:
        texts.append(text)

    bus.add_event_handler("on_peer_refused", note)
    return texts


# -- who may listen where


def listening() -> set[str]:
    """Where this process listens: the local addresses of all its TCP and UDP sockets, in hex."""
    mine = set()
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            mine.add(os.readlink(f"/proc/self/fd/{fd}"))
    found = set()
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/self/net/{table}").read_text().splitlines()[1:]:
            local, _remote, state, inode = (line.split()[i] for i in (1, 2, 3, 9))
            if f"socket:[{inode}]" in mine and (state == "0A" or table.startswith("udp")):
                found.add(local.partition(":")[0])
    return found


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
async def test_nothing_but_loopback_listens_without_a_key(mesh: Mesh) -> None:
    """No socket of the whole process can be reached from outside, TCP or UDP (R29, X04)."""
    before = listening()
    bus = await mesh.make(discovery=("local",), peers=())
    assert bus.endpoint.startswith("tcp://127.0.0.1:")
    assert listening() - before <= {"0100007F"}
    wide = await mesh.make(bind="tcp://0.0.0.0:*", key=KEY)
    assert "00000000" in listening(), "the instrument sees an open door"
    await wide.stop()


# -- who is let in


@pytest.mark.parametrize(
    ("key", "here", "there"),
    [
        (None, "turned away", "needs a key, and this node has none"),
        (OTHER, "turned away: it holds another mesh key", "it holds another mesh key"),
    ],
)
async def test_bus_with_another_key_or_none_is_named_on_both_sides(
    key: MeshKey | None, here: str, there: str, mesh: Mesh
) -> None:
    """It hears nothing, says nothing, is no peer, and both know why, once, with the address."""
    inbox, outsider_inbox = Inbox("a"), Inbox("x")
    a = await mesh.make(inbox, key=KEY)
    told = refusals_of(a)
    with log() as texts:
        x = await mesh.make(outsider_inbox, key=key, start=False)
        told_there = refusals_of(x)
        await x.start()
        await until(x, lambda: any(there in text for text in told_there))
        await until(a, lambda: any(here in text and "127.0.0.1" in text for text in told))
        await a.send(data(1))
        await x.send(data(2, source="x"))
        await a.send(urgent(3))
        b = await mesh.make(Inbox("b"), key=KEY)
        await mesh.meet(a, b)
        assert [peer.node for peer in a.peers] == [b._node.core.id.hex()]
    assert x.peers == []
    assert [text.partition(" ")[0] for text in told_there] == [a.endpoint]
    assert [m.source for m in inbox.messages + outsider_inbox.messages] == ["a", "a", "x"]
    assert not any("nobody has answered" in text for text in texts)
    said = [text for text in texts if a.endpoint in text and there in text]
    assert len(said) == 1


def _plain(_socket: zmq.Socket[bytes]) -> None:
    """No key."""


def _other_key(socket: zmq.Socket[bytes]) -> None:
    own = credentials(Keys(OTHER))
    present(socket, own, own.servers[0])


def _public_only(socket: zmq.Socket[bytes]) -> None:
    """All public keys of the mesh are known, but none of its secrets."""
    public, secret = zmq.curve_keypair()
    socket.setsockopt(zmq.CURVE_PUBLICKEY, public)
    socket.setsockopt(zmq.CURVE_SECRETKEY, secret)
    socket.setsockopt(zmq.CURVE_SERVERKEY, credentials(Keys(KEY)).servers[0])


@asynccontextmanager
async def knocking(stranger: Any, ports: tuple[int, int], forged: bytes) -> AsyncIterator[Any]:
    """A stranger at both ports, again and again; gives what tells all that it has got so far."""
    if isinstance(stranger, bytes):
        async with AsyncExitStack() as stack:
            got = bytearray()
            tasks = [asyncio.create_task(_shout(port, stranger, got)) for port in ports]
            stack.callback(lambda: [task.cancel() for task in tasks])
            yield lambda: bytes(got)
        await asyncio.wait(tasks)
        return
    with zmq.Context() as context, ExitStack() as stack_of_sockets:
        kinds = (zmq.DEALER, zmq.SUB)
        sockets = [stack_of_sockets.enter_context(context.socket(kind)) for kind in kinds]
        for socket, port in zip(sockets, ports, strict=True):
            stranger(socket)
            socket.setsockopt(zmq.LINGER, 0)
            socket.connect(f"tcp://127.0.0.1:{port}")
        sockets[1].setsockopt(zmq.SUBSCRIBE, b"")
        sockets[0].send(forged)
        yield lambda: b"".join(s.recv() for s in sockets if s.poll(0))


async def _shout(port: int, words: bytes, got: bytearray) -> None:
    while True:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(words)
            while chunk := await reader.read(1000):
                got += chunk
        except OSError:
            await asyncio.sleep(0)  # it was hung up on
        finally:
            writer.transport.abort()


@pytest.mark.parametrize(
    ("stranger", "named"),
    [
        (_plain, "plain ZeroMQ"),  # whichever side sees first that they do not go together
        (_other_key, Why.OTHER_KEY.value),
        (_public_only, Why.NOT_ADMITTED.value),
        (b"", Why.SILENT.value),
        (b"hello\n" * 20, Why.FOREIGN.value),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" + bytes(64), Why.FOREIGN.value),
    ],
    ids=["plain ZeroMQ", "another key", "only the public key", "silent TCP", "plain TCP", "HTTP"],
)
async def test_stranger_of_any_kind_gets_nothing_from_a_bus(
    stranger: Any, named: str, mesh: Mesh
) -> None:
    """No message in, none out, no entry in `peers`; it is named, and members talk on (X06, Z36)."""
    a, inbox_a, b, inbox_b = await mesh.pair(key=KEY)
    told = refusals_of(a)
    hello = Hello(1, 1, 7, 0, "there", 1, ("tcp://10.0.0.1:1",), ("tcp://10.0.0.1:2",))
    forged = wire.encode_system(hello, NodeId(b"stranger"), a._node.core.id)
    async with knocking(stranger, _bound_ports(a), forged) as got:
        said = f"127.0.0.1:[0-9]+ was turned away: .*{re.escape(named)}"
        await until(a, lambda: any(re.match(said, text) for text in told))
        for number in range(20):
            await a.send(data(f"payload {number}"))
            await b.send(urgent(number, source="b"))
        await asyncio.gather(inbox_a.wait(40), inbox_b.wait(40))
        assert b"payload" not in got()
        assert [peer.node for peer in a.peers] == [b._node.core.id.hex()]
    assert set(a._node.core.peers) == {b._node.core.id}
    assert {m.source for m in inbox_a.messages + inbox_b.messages} == {"a", "b"}


async def test_members_under_one_key_meet_and_talk(mesh: Mesh) -> None:
    """The key may be given as text, object, ring, or by the environment."""
    a, inbox_a, b, inbox_b = await mesh.pair(key=KEY.reveal())
    c = await mesh.make(Inbox("c"), key=KeyRing(KEY))
    await mesh.meet(a, b, c)
    await a.send(data(1))
    await b.send(urgent(2, source="b"))
    await inbox_b.wait(2)
    await inbox_a.wait(2)
    assert a.stats().lost_msgs == 0


async def test_key_comes_from_the_environment(
    mesh: Mesh, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A container needs no code for it."""
    path = tmp_path / "mesh.key"
    path.touch(0o600)
    path.write_text(KEY.reveal())
    monkeypatch.setenv("ZMQBUS_KEY_FILE", str(path))
    a = await mesh.make(Inbox("a"))
    monkeypatch.delenv("ZMQBUS_KEY_FILE")
    b = await mesh.make(Inbox("b"), key=KEY)
    await mesh.meet(a, b)


def test_key_belongs_to_the_node_that_is_shared() -> None:
    """As all that concerns the transport; the error does not show it."""
    from zmqbus import MeshNode

    with pytest.raises(ConfigError, match="key=<hidden>: a shared node is given too"):
        ZmqBus(node=MeshNode(), key=KEY.reveal())


async def test_nobody_speaks_for_a_runner_with_another_key(mesh: Mesh) -> None:
    """A node is bound to its runner's key, however many nodes others make up meanwhile (R31a)."""
    runners = [RunnerKey.new() for _ in range(3)]
    public: list[PublicKey | str] = [public_key(runner) for runner in runners]
    rings = [KeyRing(KEY, runner=runner, admit=public) for runner in runners]
    a, b = [
        await mesh.make(Inbox(name), key=ring, config=MeshConfig(max_peers=2))
        for name, ring in zip("ab", rings, strict=False)
    ]
    await mesh.meet(a, b)
    frame = wire.encode_system(Bye("forged"), b._node.core.id, a._node.core.id)
    own = credentials(rings[2].keys)
    with zmq.Context() as context, context.socket(zmq.DEALER) as rogue:
        present(rogue, own, own.servers[0])
        rogue.connect(a.endpoint)
        for number in range(20):
            made_up = NodeId(number.to_bytes(8))
            rogue.send(wire.encode_system(Bye("x"), made_up, a._node.core.id))
        rogue.send(frame)
        await until(a, lambda: a.stats().counters.get("other_key"))
        assert [peer.state for peer in a.peers] == ["joined"]
        rogue.close(linger=0)


# -- what the wire and the logs show


class Tap:
    """A relay that writes down all that passes, both ways."""

    def __init__(self) -> None:
        self.bytes = bytearray()
        self._pumps: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []

    async def open(self) -> int:
        """Listen; returns the port."""
        self.target = 0
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def _accept(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        far, forth = await asyncio.open_connection("127.0.0.1", self.target)
        self._writers += back, forth
        for reader, writer in ((near, forth), (far, back)):
            self._pumps.add(asyncio.create_task(self._pump(reader, writer)))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(65536):
                self.bytes += chunk
                writer.write(chunk)
        writer.close()

    async def close(self) -> None:
        """Break all connections."""
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.wait(self._pumps)
        await self._server.wait_closed()


@asynccontextmanager
async def taps() -> AsyncIterator[tuple[Tap, Tap, str]]:
    """Taps for the two planes of one node, and what it has to advertise."""
    system, plane = Tap(), Tap()
    ports = await system.open(), await plane.open()
    yield system, plane, f"127.0.0.1:{ports[0]}+{ports[1]}"
    await system.close()
    await plane.close()


@pytest.mark.parametrize("key", [KEY, None], ids=["with a key", "the instrument, without one"])
async def test_wire_shows_nothing_of_what_is_said(key: MeshKey | None) -> None:
    """Neither payload nor names can be read on either plane; without a key the tap shows both."""
    async with taps() as (system, plane, advertise), open_mesh() as mesh:
        a = await mesh.make(Inbox("secretname-a"), key=key, advertise=advertise)
        system.target, plane.target = (int(port) for port in _bound_ports(a))
        inbox = Inbox("b")
        b = await mesh.make(inbox, key=key)
        await mesh.meet(a, b)
        await b.send(urgent(5, source="payload-b"))
        await a.send(data("payload-data"))
        await a.send(data("payload-targeted", target="b"))
        await inbox.wait(3)
        await asyncio.gather(a.stop(), b.stop())
    told = [(b"payload" in tap.bytes, b"secretname" in tap.bytes) for tap in (system, plane)]
    assert len(system.bytes) > 300
    assert len(plane.bytes) > 300
    if key:
        assert told == [(False, False), (False, False)]
    else:
        assert told[0][0]
        assert told[1][0]


def _bound_ports(bus: ZmqBus) -> tuple[int, int]:
    at, data_at = bus._node._life.transport._at
    return at.port, data_at.port


async def test_no_key_is_ever_shown(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither logs on the lowest level, nor stats, nor any `repr`, nor an error (X19)."""
    keys = [MeshKey.new() for _ in range(3)]
    broken = keys[2].reveal()[:-1] + "1"
    parts = [part for k in keys for part in (k.reveal()[15:40], k._secret.hex()[:20])]
    ring = KeyRing(keys[0], accept=[keys[1]])
    shown: list[Any] = []
    with log() as texts:
        a = await mesh.make(Inbox("a"), key=ring)
        b = await mesh.make(Inbox("b"), key=keys[0])
        x = await mesh.make(Inbox("x"), key=keys[2])
        told = refusals_of(x)
        await mesh.meet(a, b)
        await until(x, lambda: told)
        shown += [
            a,
            a._node,
            a._node._life.transport,
            a.stats(),
            a.peers,
            ring,
            told,
            *a._node._life.transport._dials._dials.values(),
        ]
        monkeypatch.setenv("ZMQBUS_KEY", broken)
        try:
            ZmqBus()
        except ConfigError as error:
            logger.exception("As a service would log it.")
            shown += [error, error.args, vars(error)]
        monkeypatch.delenv("ZMQBUS_KEY")
    text = "\n".join([*texts, *(f"{thing!r} {thing}" for thing in shown)])
    assert "ZMQBUS_KEY='<hidden>': mistyped" in text
    assert [part for part in parts if part in text] == []


# -- changes, while all talk


class Talk:
    """Buses that all talk to all, without a pause, until they have said enough."""

    def __init__(self) -> None:
        self.buses: list[ZmqBus] = []
        self.inboxes: list[Inbox] = []
        self.losses: list[Any] = []
        self.lost_peers: list[str] = []
        self._sent = 0
        self._talking = True
        self._last: Counter[tuple[str, str]] = Counter()
        self._bell = Bell()

    def _note(self, name: str, message: BusMessage) -> None:
        source, _, number = getattr(message, "text", "").partition(":")
        self._last[name, source] = int(number or 0)
        self._bell.ring()

    async def add(self, mesh: Mesh, key: Any) -> ZmqBus:
        """Let one more take part."""
        inbox = Inbox(f"w{len(self.buses)}")
        inbox.on_message = partial(self._note, inbox.name)
        bus = await mesh.make(inbox, key=key, config=MeshConfig(grace_secs=20))
        self.buses.append(bus)
        self.inboxes.append(inbox)

        async def lost(_bus: ZmqBus, *what: Any) -> None:
            self.losses.append(what)

        async def gone(_bus: ZmqBus, peer: Any, reason: str) -> None:
            self.lost_peers.append(reason)

        bus.add_event_handler("on_messages_lost", lost)
        bus.add_event_handler("on_peer_lost", gone)
        return bus

    async def run(self) -> None:
        """Talk until `end`."""
        while self._talking:
            self._sent += 1
            for number, bus in enumerate(self.buses):
                await bus.send(data(f"{number}:{self._sent}", source=f"w{number}"))
            await asyncio.sleep(0.002)

    async def more(self) -> None:
        """Wait until a hundred more rounds have been said, and heard by all."""
        await self.heard(self._sent + 100)

    async def heard(self, number: int) -> None:
        """Wait until all have heard this round of each."""
        pairs = [(i.name, str(n)) for i in self.inboxes for n in range(len(self.buses))]
        async with asyncio.timeout(2 * TIMEOUT_SECS):
            while any(self._last[pair] < number for pair in pairs):
                await self._bell.wait(None)

    def end(self) -> None:
        """Fall silent."""
        self._talking = False

    def whole(self) -> None:
        """Check that each has heard all of each, once, in order."""
        for inbox in self.inboxes:
            for number in range(len(self.buses)):
                heard = [t for t in inbox.texts if t.startswith(f"{number}:")]
                assert heard == [f"{number}:{n}" for n in range(1, self._sent + 1)]
        assert self.losses == []
        assert all(bus.stats().lost_msgs == 0 for bus in self.buses)


@asynccontextmanager
async def five_that_talk(mesh: Mesh, make_key: Callable[[int], Any]) -> AsyncIterator[Talk]:
    """Five members; afterwards each must have heard all of each."""
    talk = Talk()
    for number in range(5):
        await talk.add(mesh, make_key(number))
    await mesh.meet(*talk.buses)
    talking = asyncio.create_task(talk.run())
    await talk.more()
    yield talk
    await talk.more()
    talk.end()
    await talking
    await talk.heard(talk._sent)
    talk.whole()


async def test_rotation_of_the_key_while_five_talk_loses_nothing(mesh: Mesh) -> None:
    """Accept the new one, use it, drop the old one, on each in turn: nothing and nobody is lost."""
    rings = [KeyRing(KEY) for _ in range(5)]
    new = MeshKey.new()
    async with five_that_talk(mesh, lambda number: rings[number]) as talk:
        for ring in rings:
            ring.accept(new)
        for ring in rings:
            ring.use(new)
            await talk.more()
        for ring in rings:
            ring.drop(KEY)
        await talk.more()
        late, old = await mesh.make(Inbox("late"), key=new), await mesh.make(Inbox("x"), key=KEY)
        told = refusals_of(old)
        await late.wait_for_peers(5, timeout_secs=TIMEOUT_SECS)
        await until(old, lambda: told)
        assert old.peers == []
    assert talk.lost_peers == []


async def test_revocation_while_five_talk_loses_nothing(mesh: Mesh) -> None:
    """One is turned out by all: it hears no more, and the others hear all of each other."""
    runners = [RunnerKey.new() for _ in range(6)]
    public: list[PublicKey | str] = [public_key(runner) for runner in runners]
    rings = [KeyRing(KEY, runner=runner, admit=public) for runner in runners]
    outcast_inbox = Inbox("outcast")
    async with five_that_talk(mesh, lambda number: rings[number]) as talk:
        outcast = await mesh.make(outcast_inbox, key=rings[5])
        await outcast.wait_for_peers(5, timeout_secs=TIMEOUT_SECS)
        told = refusals_of(outcast)
        for ring in rings[:5]:
            ring.revoke(public[5])
        await until(outcast, lambda: any("its key is not admitted there" in t for t in told))
        for bus in talk.buses:
            await until(bus, lambda bus=bus: len(bus.peers) == 4)  # type: ignore[misc]
        heard = len(outcast_inbox.messages)
        await outcast.send(data("x:0", source="x"))
        await talk.more()
        assert len(outcast_inbox.messages) == heard + 1  # its own
        rings[0].admit(public[5])
        await until(talk.buses[0], lambda: len(talk.buses[0].peers) == 5)
    assert set(talk.lost_peers) == {"its key is not admitted here any more"}
    assert not any("x:0" in inbox.texts for inbox in talk.inboxes)
