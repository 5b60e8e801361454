"""`MeshNode`: many channels over one set of sockets, and what strangers can do to it."""

from __future__ import annotations

import asyncio
import socket
import threading
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import zmq
from loguru import logger
from support.buses import (
    Inbox,
    Mesh,
    data,
    descriptors,
    open_mesh,
    started,
    task_manager,
    until,
    urgent,
    warnings_logged,
)
from support.journal import TIMEOUT_SECS

from zmqbus import MeshConfig, MeshKey, MeshNode, ZmqBus
from zmqbus.core.conduct import MOST_FAULTS
from zmqbus.core.outbox import DialFailed
from zmqbus.errors import BusStateError, ConfigError, InsecureBindError
from zmqbus.packets import NOBODY, Interest, Nack, NodeId, Plane, Status, channel_id
from zmqbus.wire import encode_system


@pytest.fixture
async def mesh() -> AsyncIterator[Mesh]:
    """Buses that are stopped at the end, and leave nothing."""
    async with open_mesh() as opened:
        yield opened


# -- sharing


async def test_channels_of_one_node_never_hear_each_other(mesh: Mesh) -> None:
    """Two nodes with 20 channels each: a message is heard on its own; one socket set serves all."""
    count = 20
    here = MeshNode(discovery=())
    near = [
        await mesh.make(Inbox("a"), node=here, channel=f"{mesh.channel}{n}") for n in range(count)
    ]
    there = MeshNode(discovery=(), peers=[near[0].endpoint])
    inboxes = [Inbox("b") for _ in range(count)]
    far = [
        await mesh.make(inbox, node=there, channel=f"{mesh.channel}{n}")
        for n, inbox in enumerate(inboxes)
    ]
    for one, other in zip(near, far, strict=True):
        await mesh.meet(one, other)
    for number, bus in enumerate(near):
        await bus.send(data(number))
    for number, inbox in enumerate(inboxes):
        await inbox.wait()
        assert inbox.texts == [str(number)]
    assert {bus.endpoint for bus in near} == {near[0].endpoint}


async def test_descriptors_do_not_grow_with_channels(mesh: Mesh) -> None:
    """The second to the twentieth channel cost no socket at all."""
    here, there = MeshNode(discovery=()), MeshNode(discovery=())
    first = await mesh.make(node=here)
    there = MeshNode(discovery=(), peers=[first.endpoint])
    await mesh.meet(first, await mesh.make(node=there))
    before = descriptors()
    for number in range(20):
        pair = [await mesh.make(node=n, channel=f"{mesh.channel}{number}") for n in (here, there)]
        await mesh.meet(*pair)
    assert len(descriptors()) == len(before)


async def test_end_of_one_channel_ends_only_it(mesh: Mesh) -> None:
    """The others go on; the node stops with its last bus, and can start again as a new one."""
    node = MeshNode(discovery=())
    kept_inbox = Inbox("kept")
    kept = await mesh.make(kept_inbox, node=node)
    ended = await mesh.make(Inbox("ended"), node=node, channel=mesh.channel + "2")
    peer = await mesh.make(Inbox("peer"), peers=[kept.endpoint])
    other = await mesh.make(Inbox("other"), peers=[kept.endpoint], channel=mesh.channel + "2")
    await mesh.meet(kept, peer)
    await mesh.meet(ended, other)
    await ended.stop()
    await until(other, lambda: other.peers == [])
    await peer.send(data(1, source="peer"))
    await kept_inbox.wait()
    assert node.endpoint == kept.endpoint
    life = node.core.id
    await kept.stop()
    with pytest.raises(BusStateError, match="no endpoint before its first bus"):
        node.endpoint  # noqa: B018
    await kept.start()
    assert node.endpoint
    assert node.core.id != life


async def test_one_channel_twice_on_a_node_is_an_error_that_harms_nobody(mesh: Mesh) -> None:
    """The second bus does not start; the first one goes on."""
    node, inbox = MeshNode(discovery=()), Inbox("a")
    first = await mesh.make(inbox, node=node)
    second = await mesh.make(Inbox("b"), node=node, start=False)
    with pytest.raises(BusStateError, match=f"Channel '{mesh.channel}' is open on this node"):
        await second.start()
    assert not started(second)
    await first.send(data(1))
    await inbox.wait()
    await first.stop()
    await second.start()


async def test_buses_of_one_node_may_start_and_stop_at_once(mesh: Mesh) -> None:
    """One node start serves all; while the last stops, the first may start again."""
    node = MeshNode(discovery=())
    buses = [
        await mesh.make(node=node, channel=f"{mesh.channel}{n}", start=False) for n in range(5)
    ]
    await asyncio.gather(*(bus.start() for bus in buses))
    assert len({bus.endpoint for bus in buses}) == 1
    await asyncio.gather(*(bus.stop() for bus in buses), buses[0].start())
    assert [started(bus) for bus in buses] == [True, False, False, False, False]


# -- strangers


@contextmanager
def raw(kind: int, *endpoints: str) -> Iterator[zmq.Socket[bytes]]:
    """A socket of a stranger, connected."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    stranger = context.socket(kind)
    stranger.linger = 0
    for endpoint in endpoints:
        stranger.connect(endpoint)
    yield stranger
    stranger.close()
    context.term()


HTTP = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
#: A greeting of ZMTP/3.0 with a security mechanism that nobody has.
ODD_GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"ODD".ljust(20, b"\0") + bytes(32)


def call(endpoint: str, words: bytes) -> socket.socket:
    """A client that says something and waits for an answer."""
    host, _, port = endpoint.removeprefix("tcp://").partition(":")
    client = socket.create_connection((host, int(port)))
    client.sendall(words)
    return client


async def test_garbage_on_both_ports_is_counted_and_survived(mesh: Mesh) -> None:
    """Frames that are no packets, many parts, an HTTP client: counted by reason (R26)."""
    a, inbox_a, b, _ = await mesh.pair()
    system, readers = a.endpoint, a._node._life.transport.data_endpoints[0]
    frames = [b"", b"\x00", b"GET / HTTP/1.1", b"ZB" + bytes(3), b"ZB\x01\xee" + bytes(16)]
    with (
        warnings_logged() as warnings,
        raw(zmq.DEALER, system) as dealer,
        raw(zmq.SUB, readers) as sub,
    ):
        for _ in range(3):
            for frame in frames:
                dealer.send(frame)
        dealer.send_multipart([b"many", b"parts", b"here"])
        sub.subscribe(b"\x00garbage")
        clients = [call(to, words) for to in (system, readers) for words in (HTTP, ODD_GREETING)]
        await until(
            a,
            lambda: (
                a.stats().counters.get("wire_magic") == 9
                and a.stats().counters.get("wire_truncated") == 3
                and a.stats().counters.get("wire_kind") == 3
                and a.stats().counters.get("multipart") == 1
                and a.stats().counters.get("failed_handshakes", 0) >= 2
            ),
        )
        await b.send(data("good", source="b"))
        await inbox_a.wait()
        for client in clients:
            client.close()
    assert inbox_a.texts == ["good"]
    assert len([w for w in warnings if "dropped a packet" in w]) == 3
    assert a.stats().peers == 1


async def test_stranger_that_speaks_the_language_is_not_believed(mesh: Mesh) -> None:
    """Packets of an unknown sender, or for another incarnation, are counted and dropped (R5a)."""
    a, _, _, _ = await mesh.pair()
    status = Status(1, True, 1, 1, 0, (), 0)
    stranger, me = NodeId(b"stranger"), a._node.core.id
    with raw(zmq.DEALER, a.endpoint) as dealer:
        dealer.send(encode_system(status, stranger, me))
        dealer.send(encode_system(status, stranger, NodeId(b"deceased")))
        await until(a, lambda: {"stranger", "not_for_us"} <= a.stats().counters.keys())
    assert a.stats().peers == 1


async def test_peer_that_keeps_lying_is_refused_and_both_sides_say_why(mesh: Mesh) -> None:
    """Over real sockets: `on_peer_refused` here and there, and the others go on (R26a)."""
    a, inbox_a, b, _ = await mesh.pair()
    c = await mesh.make(Inbox("c"))
    await mesh.meet(a, b, c)
    told: list[asyncio.Queue[str]] = []
    for bus in (a, b):
        queue: asyncio.Queue[str] = asyncio.Queue()
        bus.add_event_handler("on_peer_refused", lambda _bus, text, q=queue: q.put_nowait(text))
        told.append(queue)
    liar, lie = b._node._life, Nack(channel_id(mesh.channel), Plane.DATA, 10**6, 10**7)
    for _ in range(MOST_FAULTS + 1):
        liar.core._links.send(a._node.core.id, lie)
    liar.settle()
    here, there = [await asyncio.wait_for(queue.get(), TIMEOUT_SECS) for queue in told]
    assert f"is refused: it broke the protocol {MOST_FAULTS + 1} times" in here
    assert "refuses this node: it broke the protocol" in there
    assert [p.node for p in a.peers] == [c._node.core.id.hex()]
    await c.send(data("well", source="c"))
    await inbox_a.wait()
    assert inbox_a.texts == ["well"]


def test_refused_and_broken_frames_of_a_data_peer_are_counted() -> None:
    """What comes on the data plane or back on a dial is checked in the same way."""
    node = MeshNode(discovery=())
    with warnings_logged() as warnings:
        node._life.data_frame(b"\x01short")
        node._life.refusal_frame(1, b"nonsense")
    assert sum(node.counters.values()) == 2
    assert len(warnings) == 2
    assert NOBODY not in node.core.peers


# -- waiting for peers whose loop does not turn


class FrozenPeer:
    """A bus in a thread of its own, whose loop can be kept from turning."""

    def __init__(self, channels: list[str], seed: str) -> None:
        self._channels, self._seed = channels, seed
        self._frozen, self._thaw, self._over = (threading.Event() for _ in range(3))
        self._loop = asyncio.new_event_loop()
        self._end = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._live(),))
        self._thread.start()

    async def _live(self) -> None:
        node = MeshNode(discovery=(), peers=[self._seed], config=MeshConfig(linger_secs=0.05))
        buses = [ZmqBus(channel=channel, node=node) for channel in self._channels]
        for bus in buses:
            await bus.start()
        await self._end.wait()
        for bus in buses:
            await bus.stop()

    def _freeze(self) -> None:
        self._frozen.set()
        self._thaw.wait(4 * TIMEOUT_SECS)

    async def freeze(self) -> None:
        """Keep its loop from turning until `close`."""
        self._loop.call_soon_threadsafe(self._freeze)
        await asyncio.to_thread(self._frozen.wait, TIMEOUT_SECS)

    async def close(self) -> None:
        """Let it go on, and end."""
        self._thaw.set()
        self._loop.call_soon_threadsafe(self._end.set)
        await asyncio.to_thread(self._thread.join, TIMEOUT_SECS)
        self._loop.close()


async def test_stop_of_a_channel_ends_the_waiting_for_its_peers() -> None:
    """A send that waits is let go; the peer is not given up for it on the other channels (R16)."""
    config = MeshConfig(system_hwm_msgs=4, system_timeout_secs=60, linger_secs=0.05)
    node = MeshNode(discovery=(), config=config)
    kept, ended = ZmqBus(channel="kept", node=node), ZmqBus(channel="ended", node=node)
    await kept.start()
    await ended.start()
    peer = FrozenPeer(["kept", "ended"], kept.endpoint)
    await kept.wait_for_peers(1, timeout_secs=TIMEOUT_SECS)
    await ended.wait_for_peers(1, timeout_secs=TIMEOUT_SECS)
    await peer.freeze()
    waiting = asyncio.create_task(_send_urgent(ended, 100))
    await asyncio.sleep(0)
    assert ended.stats().waits == 1
    await ended.stop()
    await asyncio.wait_for(waiting, TIMEOUT_SECS)
    assert kept.stats().peers == 1
    await kept.stop()
    await peer.close()


async def test_system_messages_wait_at_their_mark_and_then_the_peer_is_lost() -> None:
    """Never a silent drop: a peer that takes none within the time is declared lost (R16)."""
    config = MeshConfig(system_hwm_msgs=4, system_timeout_secs=0.05, linger_secs=0.05)
    bus = ZmqBus(channel="mark", discovery=(), config=config)
    await bus.start()
    lost: asyncio.Queue[str] = asyncio.Queue()
    bus.add_event_handler("on_peer_lost", lambda _bus, _peer, reason: lost.put_nowait(reason))
    peer = FrozenPeer(["mark"], bus.endpoint)
    await bus.wait_for_peers(1, timeout_secs=TIMEOUT_SECS)
    await peer.freeze()
    await asyncio.wait_for(_send_urgent(bus, 50), TIMEOUT_SECS)
    reason = await asyncio.wait_for(lost.get(), TIMEOUT_SECS)
    assert "4 system messages unacknowledged for 0.05 s" in reason
    await bus.stop()
    await peer.close()


async def test_peer_whose_loop_is_blocked_is_busy_and_not_lost() -> None:
    """A busy peer is not a dead peer (R20, R22): `on_peer_busy` tells how long it was silent."""
    config = MeshConfig(heartbeat_secs=0.1, busy_after_secs=0.2, linger_secs=0.05)
    bus = ZmqBus(channel="busy", discovery=(), config=config)
    await bus.start()
    told: asyncio.Queue[float] = asyncio.Queue()
    bus.add_event_handler("on_peer_busy", lambda _bus, _peer, silent: told.put_nowait(silent))
    peer = FrozenPeer(["busy"], bus.endpoint)
    await bus.wait_for_peers(1, timeout_secs=TIMEOUT_SECS)
    await peer.freeze()
    assert await asyncio.wait_for(told.get(), TIMEOUT_SECS) >= 0.2
    assert [p.state for p in bus.peers] == ["busy"]
    await bus.stop()
    await peer.close()


async def _send_urgent(bus: ZmqBus, count: int) -> None:
    for number in range(count):
        await bus.send(urgent(number))


# -- other loops


class _PlainTimer:
    """A timer that can be cancelled and tells nothing."""

    def __init__(self, timer: asyncio.TimerHandle) -> None:
        self.cancel = timer.cancel


class _PlainLoop(asyncio.SelectorEventLoop):
    """A loop whose timers do not tell when they are due, as uvloop's that are due already."""

    def call_at(self, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        """As ever, but for what it returns."""
        return _PlainTimer(super().call_at(*args, **kwargs))


def test_node_needs_no_timer_that_tells_when() -> None:
    """Two buses meet on such a loop."""

    async def meet() -> int:
        channel = uuid.uuid4().hex
        buses = [ZmqBus(channel=channel) for _ in range(2)]
        for bus in buses:
            await bus.setup(task_manager())
            await bus.start()
        peers = await buses[0].wait_for_peers(1, timeout_secs=TIMEOUT_SECS)
        for bus in buses:
            await bus.stop()
        return len(peers)

    with asyncio.Runner(loop_factory=_PlainLoop) as runner:
        assert runner.run(meet()) == 1


# -- who can dial back


@pytest.mark.parametrize("bind", [None, "tcp://[::1]:*", "ipc:///tmp/zmqbus-test"])
def test_seed_on_another_host_needs_a_bind_that_it_can_reach(bind: str | None) -> None:
    """A node only this host reaches cannot be answered by another host: said at once (R31)."""
    with pytest.raises(ConfigError, match=r"only this host can reach it.*192\.0\.2\.1.*bind an"):
        MeshNode(bind=bind, peers=["tcp://192.0.2.1:7400"])


@pytest.mark.parametrize(
    ("bind", "advertise", "seed"),
    [
        (None, None, "tcp://127.0.0.1:7400"),
        (None, None, "tcp://name.example:7400"),
        (None, "192.0.2.7:7400", "tcp://192.0.2.1:7400"),
        ("tcp://0.0.0.0:*", None, "tcp://192.0.2.1:7400"),
    ],
)
def test_seed_that_may_be_answered_is_taken(
    bind: str | None, advertise: str | None, seed: str
) -> None:
    """Loopback to loopback, a name that may be anything, a forwarded address, a public bind."""
    assert MeshNode(bind=bind, advertise=advertise, peers=[seed], insecure=True)


@pytest.mark.parametrize("bind", ["tcp://127.0.0.1:*", "ipc:///tmp/zmqbus-test"])
def test_lan_needs_a_bind_that_others_can_reach(bind: str) -> None:
    """Else nobody who found the node could talk to it (R31)."""
    with pytest.raises(ConfigError, match=r"discovery='lan' is for others.*tcp://\*:\*"):
        MeshNode(bind=bind, discovery=["local", "lan"])
    assert MeshNode(bind="tcp://127.0.0.1:*", discovery=["lan"], advertise="192.0.2.7:7400")


def test_lan_binds_every_address_if_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else is worth a setting there; without a key it has to be allowed (R29, X04)."""
    monkeypatch.setenv("ZMQBUS_DISCOVERY", "local,lan")
    with pytest.raises(InsecureBindError, match=r"tcp://\*:\*"):
        MeshNode()
    assert MeshNode(insecure=True)
    assert MeshNode(discovery=["local"])


async def test_node_without_a_key_that_others_reach_warns_at_each_start(mesh: Mesh) -> None:
    """A word in a setting is forgotten soon; on loopback, or with a key, nothing is said (X04)."""
    with warnings_logged() as warnings:
        for options in ({"insecure": True}, {"key": MeshKey.new()}):
            bus = await mesh.make(bind="tcp://0.0.0.0:*", discovery=(), peers=(), **options)
            await bus.stop()
            await bus.start()
        await mesh.make(insecure=True, discovery=(), peers=())
    assert len(warnings) == 2
    assert all("whoever reaches tcp://0.0.0.0:* can read and send" in w for w in warnings)


# -- limits of what a node can say of itself


async def test_more_than_a_packet_can_say_is_logged_and_does_not_end_the_node(mesh: Mesh) -> None:
    """Channels whose names fill no hello any more: counted, said, and the bus goes on (R25)."""
    node = MeshNode(discovery=())
    inbox = Inbox("a")
    bus = await mesh.make(inbox, node=node)
    await mesh.meet(bus, await mesh.make())
    names = tuple(f"{n:0255d}" for n in range(4096))
    channel = node.core.channels[channel_id(mesh.channel)]
    with warnings_logged() as warnings:
        node.alter_channel(
            Interest(channel.interest.channel, mesh.channel, "", 1, names + names[:1])
        )
        await bus.send(data(1))
        await inbox.wait()
    assert node.counters["unsendable"] == 1
    assert "cannot tell a peer all of this node" in warnings[0]
    assert channel.outlets[Plane.DATA].readers


async def test_seed_that_nobody_answers_at_is_warned_about_once(mesh: Mesh) -> None:
    """A port that takes connections and says nothing is named, with what to check (Z26)."""
    warned = asyncio.Event()
    with socket.create_server(("127.0.0.1", 0)) as mute, warnings_logged() as warnings:
        seed = f"tcp://127.0.0.1:{mute.getsockname()[1]}"
        sink = logger.add(lambda m: warned.set(), filter=lambda record: seed in record["message"])
        node = MeshNode(peers=[seed], discovery=(), config=MeshConfig(dial_timeout_secs=0.05))
        await mesh.make(node=node)
        async with asyncio.timeout(TIMEOUT_SECS):
            await warned.wait()
        logger.remove(sink)
        node._report(DialFailed(seed))

    assert node.counters["dials_unanswered"] >= 1
    (warning,) = [text for text in warnings if seed in text]
    assert "nobody has answered" in warning
    assert "`bus.endpoint`" in warning
