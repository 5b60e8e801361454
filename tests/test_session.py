"""One life of a bus: flow to slow subscribers, what peers may say, and events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from pipecat.bus import (
    BusFrameMessage,
    BusJobRequestMessage,
    BusJobResponseMessage,
    BusJobResponseUrgentMessage,
)
from pipecat.bus.serializers.json import JSONMessageSerializer
from pipecat.frames.frames import TextFrame
from pipecat.pipeline.job_context import JobStatus
from pipecat.processors.frame_processor import FrameDirection
from support.buses import Inbox, Mesh, data, open_mesh, until, urgent, warnings_logged
from support.journal import TIMEOUT_SECS

from zmqbus import MeshConfig, ZmqBus
from zmqbus.core.outbox import (
    Delivered,
    GapOpened,
    GapRepaired,
    MessagesLost,
    PeerBusy,
    PeerRefused,
)
from zmqbus.errors import CodecError, MessageTooLargeError
from zmqbus.packets import NodeId, Plane, channel_id
from zmqbus.session import Session

TIGHT = MeshConfig(
    window_msgs=32, inbox_msgs=16, batch_msgs=8, early_msgs=64, slow_peer_timeout_secs=30.0
)


@pytest.fixture
async def mesh() -> AsyncIterator[Mesh]:
    """Buses that are stopped at the end, and leave nothing."""
    async with open_mesh() as opened:
        yield opened


def session_of(bus: ZmqBus) -> Session:
    """The session of a bus that is started."""
    assert bus._session is not None
    return bus._session


# -- what cannot travel


async def test_message_that_cannot_travel_raises_and_nobody_gets_it(mesh: Mesh) -> None:
    """The error names the path; the next message goes through."""
    a, inbox_a, _, inbox_b = await mesh.pair(config=MeshConfig(max_message_bytes=4096))
    frame = TextFrame(text="hello")
    frame.metadata["thing"] = object()
    bad = BusFrameMessage(source="a", frame=frame, direction=FrameDirection.DOWNSTREAM)
    with pytest.raises(CodecError, match=r"metadata\['thing'\]"):
        await a.send(bad)
    with pytest.raises(MessageTooLargeError, match="the limit is 4,096"):
        await a.send(data("x" * 4096))
    await a.send(data("good"))
    for inbox in (inbox_a, inbox_b):
        await inbox.wait()
        assert inbox.texts == ["good"]
    assert a.stats().sent_msgs == 1


async def test_serializer_that_is_not_ours_works_with_ids_mapped(mesh: Mesh) -> None:
    """The JSON codec over the mesh; a frame that comes home has its own ids again (P09)."""
    serializer = JSONMessageSerializer()
    a, inbox_a, b, inbox_b = await mesh.pair(serializer=serializer)
    frame = TextFrame(text="hello")
    frame.broadcast_sibling_id = frame.id + 1
    await a.send(BusFrameMessage(source="a", frame=frame, direction=FrameDirection.DOWNSTREAM))
    got: Any = (await inbox_b.wait())[0]
    assert got.frame.text == "hello"
    assert got.frame.id >= 2**40
    assert got.frame.broadcast_sibling_id == got.frame.id + 1 >= 2**40
    await b.send(BusFrameMessage(source="b", frame=got.frame, direction=FrameDirection.UPSTREAM))
    home: Any = (await inbox_a.wait(2))[1]
    assert (home.frame.id, home.frame.broadcast_sibling_id) == (frame.id, frame.id + 1)


async def test_channel_of_two_serializers_drops_and_counts(mesh: Mesh) -> None:
    """Bytes of another codec are no messages here; the bus goes on (R26)."""
    serializer = JSONMessageSerializer()
    a = await mesh.make(Inbox("a"), serializer=serializer)
    b = await mesh.make(Inbox("b"))
    await mesh.meet(a, b)
    with warnings_logged() as warnings:
        for number in range(3):
            await a.send(data(number))
            await b.send(data(number, source="b"))
        await until(a, lambda: a.stats().dropped == {"undecodable": 3})
        await until(b, lambda: b.stats().dropped == {"undecodable": 3})
    assert len(warnings) == 2
    assert a.stats().received_msgs == b.stats().received_msgs == 0


# -- R31a


async def test_peer_that_speaks_for_others_is_not_heard(mesh: Mesh) -> None:
    """A source that belongs to another live runner is dropped, counted, warned of once (R31a)."""
    a, inbox_a, b, _ = await mesh.pair()
    with warnings_logged() as warnings:
        for _ in range(3):
            await b.send(data("forged", source="a"))
        await b.send(data("true", source="b"))
        await inbox_a.wait()
    assert inbox_a.texts == ["true"]
    assert a.stats().dropped == {"foreign_source": 3}
    assert a.stats().received_msgs == 1
    assert ["its source 'a' belongs to another runner" in w for w in warnings] == [True]


async def test_name_on_two_runners_gets_mail_at_the_older_only(mesh: Mesh) -> None:
    """Both senders' runners are named in one warning; no message comes twice (R6)."""
    old, new = Inbox("llm"), Inbox("llm")
    older = await mesh.make(old)
    with warnings_logged() as warnings:
        await mesh.make(new)
        a = await mesh.make(Inbox("a"))
        await a.wait_for_peers(2, timeout_secs=TIMEOUT_SECS)
    told = [w for w in warnings if str(a) in w and "'llm' is on two runners" in w]
    assert len(told) == 1
    for number in range(3):
        await a.send(data(number, target="llm"))
    await a.send(data("for all"))
    await old.wait(4)
    await new.wait()
    assert old.texts == ["0", "1", "2", "for all"]
    assert new.texts == ["for all"]
    await older.stop()
    await until(a, lambda: len(a.peers) == 1)
    await a.send(data(4, target="llm"))
    await new.wait(2)
    assert new.texts == ["for all", "4"]


# -- flow


async def test_sender_waits_for_a_slow_subscriber_and_nothing_is_lost(mesh: Mesh) -> None:
    """Pressure reaches the sender, what is held is bounded, and all arrives in order (R17, R18)."""
    a, _, b, inbox_b = await mesh.pair(config=TIGHT)
    inbox_b.gate.clear()
    sending = asyncio.create_task(_send_many(a, 500))
    await until(a, lambda: a.stats().waits > 0 and a.peers[0].behind_msgs > TIGHT.window_msgs)
    await until(b, lambda: session_of(b).channel.stalled)
    for _ in range(20):  # turns in which more could come
        await a.send(urgent(0))
        await asyncio.sleep(0)
    assert not sending.done()
    assert a.peers[0].behind_msgs == TIGHT.window_msgs + 1
    held = b._subscriptions["b"]
    assert held.queue.qsize() + held.data_queue.qsize() < 500 - TIGHT.window_msgs
    inbox_b.gate.set()
    await sending
    await inbox_b.wait(520)
    assert inbox_b.texts == [str(n) for n in range(500)]
    assert a.stats().lost_msgs == b.stats().lost_msgs == 0


async def test_message_for_one_does_not_wait_for_another_peer(mesh: Mesh) -> None:
    """While data for a slow peer waits, data for a third goes its way (R17, P20)."""
    inboxes = [Inbox(name) for name in "abc"]
    a, b, c = [await mesh.make(inbox, config=TIGHT) for inbox in inboxes]
    await mesh.meet(a, b, c)
    inboxes[1].gate.clear()
    flooding = asyncio.create_task(_send_many(a, 500, target="b"))
    await until(a, lambda: a.stats().waits > 0)
    for number in range(10):
        await a.send(data(number, target="c"))
    await inboxes[2].wait(10)
    assert not flooding.done()
    inboxes[1].gate.set()
    await flooding
    await inboxes[1].wait(500)
    assert inboxes[1].texts == [str(n) for n in range(500)]
    assert inboxes[2].texts == [str(n) for n in range(10)]


async def test_peer_that_never_goes_on_holds_nobody_up(mesh: Mesh) -> None:
    """After `slow_peer_timeout_secs` it is not waited for; the others get everything (R17, P20)."""
    config = replace(TIGHT, slow_peer_timeout_secs=0.05)
    inboxes = [Inbox(name) for name in "abc"]
    a, b, c = [await mesh.make(inbox, config=config) for inbox in inboxes]
    await mesh.meet(a, b, c)
    inboxes[1].gate.clear()
    await asyncio.wait_for(_send_many(a, 500), TIMEOUT_SECS)
    await inboxes[2].wait(500)
    assert inboxes[2].texts == [str(n) for n in range(500)]
    assert inboxes[1].texts == []
    await a.send(urgent(1, target="b"))
    await inboxes[1].wait()
    inboxes[1].gate.set()
    await inboxes[1].wait(501)
    assert inboxes[1].texts == inboxes[2].texts


async def test_job_whose_request_or_answer_is_lost_ends_with_an_error(mesh: Mesh) -> None:
    """Both leave the history of who sent them; nobody waits for ever (R15, F5)."""
    config = replace(TIGHT, history_msgs=64, system_hwm_msgs=64, slow_peer_timeout_secs=0.05)
    a, inbox_a, b, inbox_b = await mesh.pair(config=config)
    inbox_b.gate.clear()
    await _send_many(a, 100)
    await a.send(BusJobRequestMessage(source="a", target="b", job_id="asked"))
    done = JobStatus.COMPLETED
    await a.send(BusJobResponseMessage(source="a", target="b", job_id="answered", status=done))
    await asyncio.wait_for(_send_many(a, 100), TIMEOUT_SECS)
    inbox_b.gate.set()
    await inbox_a.wait(203)
    await until(
        b, lambda: any(isinstance(m, BusJobResponseUrgentMessage) for m in inbox_b.messages)
    )
    for inbox, answer in ((inbox_a, ("b", "a", "asked")), (inbox_b, ("a", "b", "answered"))):
        (error,) = (
            m
            for m in inbox.messages
            if isinstance(m, BusJobResponseUrgentMessage) and m.target == inbox.name
        )
        assert (error.source, error.target, error.job_id) == answer
        assert error.status is JobStatus.ERROR


async def test_stop_with_a_peer_that_takes_nothing_returns(mesh: Mesh) -> None:
    """`linger_secs` bounds it, whatever is still owed (R23)."""
    config = replace(TIGHT, slow_peer_timeout_secs=0.05, linger_secs=0.05)
    a, _, b, inbox_b = await mesh.pair(config=config)
    inbox_b.gate.clear()
    await _send_many(a, 200)
    async with asyncio.timeout(TIMEOUT_SECS):
        await a.stop()
        await b.stop()


async def _send_many(bus: ZmqBus, count: int, target: str | None = None) -> None:
    for number in range(count):
        await bus.send(data(number, target=target))


# -- events


class Told:
    """Notes what event handlers are called with."""

    def __init__(self, bus: ZmqBus, *names: str) -> None:
        self.calls: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
        for name in names:
            bus.add_event_handler(name, self._handler(name))

    def _handler(self, name: str) -> Any:
        async def note(_bus: ZmqBus, *args: Any) -> None:
            self.calls.put_nowait((name, args))

        return note

    async def next(self) -> tuple[str, Any]:
        """The next call."""
        return await asyncio.wait_for(self.calls.get(), TIMEOUT_SECS)


async def test_coming_and_leaving_are_events(mesh: Mesh) -> None:
    """`on_peer_joined(bus, peer)` and `on_peer_left(bus, peer, reason)`."""
    a = await mesh.make(Inbox("a"))
    told = Told(a, "on_peer_joined", "on_peer_left")
    b = await mesh.make(Inbox("b"))
    name, (peer,) = await told.next()
    assert (name, peer.state, peer.subscribers) == ("on_peer_joined", "joined", ("b",))
    await b.stop()
    name, (gone, reason) = await told.next()
    assert (name, gone.state, gone.node) == ("on_peer_left", "left", peer.node)
    assert reason == "it said goodbye"


async def test_death_is_an_event(mesh: Mesh) -> None:
    """`on_peer_lost(bus, peer, reason)`: its sockets close without a goodbye."""
    a, _, b, _ = await mesh.pair()
    told = Told(a, "on_peer_left", "on_peer_lost")
    b._node._life.running = False  # as if it were dead: it does and says nothing more
    await b._node._life.transport.close(0)
    name, (peer, reason) = await told.next()
    assert (name, peer.state) == ("on_peer_lost", "lost")
    assert reason


async def test_request_for_a_worker_that_has_just_gone_is_answered(mesh: Mesh) -> None:
    """It was seen ready when the request set out: an ERROR comes instead of nothing (R24)."""
    a, inbox_a, b, _ = await mesh.pair()
    await b.stop()
    await until(a, lambda: not a.stats().peers)
    await a.send(BusJobRequestMessage(source="a", target="b", job_id="1"))

    answer = next(m for m in await inbox_a.wait(2) if isinstance(m, BusJobResponseUrgentMessage))
    assert (answer.source, answer.job_id, answer.status) == ("b", "1", JobStatus.ERROR)
    assert "it said goodbye" in (answer.response or {})["error"]


async def test_request_for_a_worker_that_is_cut_off_is_answered(mesh: Mesh) -> None:
    """It may come back, and is owed what is sent meanwhile; who asks has its answer now (R24)."""
    a, inbox_a, _, _ = await mesh.pair()
    (peer,), life = a.peers, a._node._life
    a._node.core._links.liveness.give_up(NodeId(bytes.fromhex(peer.node)), "cut off", life.now())
    life.settle()
    await a.send(BusJobRequestMessage(source="a", target="b", job_id="1"))

    answer = next(m for m in await inbox_a.wait(2) if isinstance(m, BusJobResponseUrgentMessage))
    assert (answer.job_id, answer.status) == ("1", JobStatus.ERROR)


async def test_what_the_core_reports_is_told_with_its_arguments(mesh: Mesh) -> None:
    """Busy, lost and refused: the handlers get what the README says, and the log tells too."""
    a, _, b, _ = await mesh.pair()
    told = Told(a, "on_peer_busy", "on_messages_lost", "on_peer_refused")
    session, channel = session_of(a), channel_id(mesh.channel)
    node, member = next(iter(session.channel.members.items()))
    session.report(PeerBusy(channel, node, member.interest, 2.5))
    name, (peer, silent_secs) = await told.next()
    assert (name, peer.node, silent_secs) == ("on_peer_busy", b._node.core.id.hex(), 2.5)
    with warnings_logged() as warnings:
        session.report(MessagesLost(channel, node, Plane.DATA, 7, "for a reason"))
        session.report(PeerRefused(channel, node, "another version"))
        session.report(GapOpened(channel, node, Plane.DATA, 1, 2))
        session.report(GapRepaired(channel, node, Plane.DATA))
    name, (victim, *rest) = await told.next()
    assert (name, victim.node) == ("on_messages_lost", peer.node)
    assert rest == [7, "data", "for a reason"]
    assert await told.next() == ("on_peer_refused", ("another version",))
    assert a.stats().lost_msgs == 7
    assert [w.partition(": ")[2] for w in warnings] == [
        f"7 data messages of {peer} are lost: for a reason",
        "another version",
    ]


async def test_loss_of_a_peer_that_has_gone_meanwhile_is_told(mesh: Mesh) -> None:
    """The core may have forgotten it before the event is reported; then as it was last seen."""
    a, _, _, _ = await mesh.pair()
    told, session = Told(a, "on_messages_lost"), session_of(a)
    node, member = session.channel.members.popitem()
    channel = channel_id(mesh.channel)
    session.report(MessagesLost(channel, node, Plane.SYSTEM, 1, "x"))
    _, (peer, *rest) = await told.next()
    assert (peer.node, rest) == (node.hex(), [1, "system", "x"])
    session.report(MessagesLost(channel, NodeId(b"stranger"), Plane.DATA, 1, "x"))
    _, (peer, *_) = await told.next()
    assert peer.node == b"stranger".hex()
    session.channel.members[node] = member


async def test_garbage_in_a_stream_does_not_end_it(mesh: Mesh) -> None:
    """Bodies of a peer that do not decode are dropped one by one (P16)."""
    a, inbox_a, b, _ = await mesh.pair()
    session = session_of(a)
    body = session_of(b)._translator.encode(data("good", source="b"))
    bodies = [b"\xff", body, b"\x00", body]
    node = b._node.core.id
    session.deliver(Delivered(session.channel.interest.channel, node, Plane.DATA, bodies))
    await inbox_a.wait(2)
    assert inbox_a.texts == ["good", "good"]
    assert a.stats().dropped == {"undecodable": 2}
