"""`Session`: one life of a bus on its channel, from `start()` to `stop()`.

What the application sends is encoded once and handed to the node, if somebody elsewhere can
receive it; what peers send is checked and put into the subscribers' queues; what happens to peers
is logged, told to event handlers, and to pipecat's registry.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from loguru import logger
from pipecat.bus import (
    BusMessage,
    BusSystemMessage,
    BusWorkerErrorMessage,
    BusWorkerRegistryMessage,
    WorkerBus,
)
from pipecat.bus.serializers.base import MessageSerializer

from zmqbus import registry
from zmqbus.core.channel import Channel
from zmqbus.core.outbox import (
    Delivered,
    Departure,
    Event,
    GapOpened,
    GapRepaired,
    MessageForgone,
    MessagesLost,
    NameShared,
    PeerBusy,
    PeerGone,
    PeerJoined,
    PeerRefused,
    PeerWithdrew,
    SnapshotsArrived,
)
from zmqbus.directory import Directory
from zmqbus.flush import Flushes
from zmqbus.jobs import ASKS, Awaited, OutstandingJobs, awaited
from zmqbus.node import MeshNode
from zmqbus.packets import Interest, NodeId, Plane
from zmqbus.reception import Reception, Translator
from zmqbus.slices import Slices
from zmqbus.stale import SKIPPED_THERE, StaleAudio
from zmqbus.views import BusStats

_RESUME_CHECK_SECS = 0.002
"""How often a stalled channel looks whether its subscribers have caught up. More often costs CPU
just when there is none to spare; rarer leaves subscribers idle."""


class Session:
    """One life of a bus; the node's `ChannelPort`.

    Args:
        bus: Whose subscribers receive and whose event handlers are called.
        node: The node that has the channel open.
        channel: The open channel.
        serializer: The bus' codec.
    """

    def __init__(
        self, bus: WorkerBus, node: MeshNode, channel: Channel, serializer: MessageSerializer
    ) -> None:
        self.channel = channel
        self.directory = Directory(node.core, channel)
        self._bus = bus
        self._node = node
        self._translator = Translator(serializer, node.core.id, node.config.max_message_bytes)
        self._reception = Reception(self._translator, bus.name)
        self._waiting = Slices(self._take_data, self._stall_if_behind)
        self._clock = asyncio.get_running_loop().time
        self._stale = StaleAudio(node.config.max_audio_age_secs, self._clock, self._lose_stale)
        self._flushes = Flushes(bus.name, self._send_soon)
        self._jobs = OutstandingJobs()
        self._sent_msgs = self._sent_bytes = self._lost_msgs = self._waits = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = self._resuming = False

    def stats(self) -> BusStats:
        """Counts since the start, and what is held now."""
        kept = [outlet.kept for outlet in self.channel.outlets]
        return BusStats(
            peers=len(self.directory.joined),
            sent_msgs=self._sent_msgs,
            sent_bytes=self._sent_bytes,
            received_msgs=self._reception.received_msgs,
            received_bytes=self._reception.received_bytes,
            lost_msgs=self._lost_msgs,
            waits=self._waits,
            history_msgs=sum(msgs for msgs, _ in kept),
            history_bytes=sum(size_bytes for _, size_bytes in kept),
            dropped=dict(self._reception.dropped),
            counters=self._node.counters,
        )

    def close(self) -> None:
        """The channel is closed: forget all who were there."""
        self._closed = True
        self._waiting.clear()
        self._stale.announce()
        for runner in self.directory.close():
            registry.forget_runner(self._bus, runner)

    # -- sending

    async def publish(self, message: BusMessage) -> None:
        """See `ZmqBus.publish`."""
        channel, bus = self.channel, self._bus
        if isinstance(message, BusWorkerRegistryMessage):
            channel.snapshots[message.runner] = self._translator.encode(message)
            self.directory.note_registry(message)
        target = message.target
        audience = channel.audience(target)
        asks = isinstance(message, ASKS) and target not in channel.interest.subscribers
        refusal = self._jobs.refuse(message) if asks and target not in channel.hosts else None
        if refusal or audience == ():
            bus.on_message_received(message)
            if refusal:
                bus.on_message_received(refusal)
            return
        body = self._translator.encode(self._flushes.outgoing(message))
        bus.on_message_received(message)
        plane = Plane.SYSTEM if isinstance(message, BusSystemMessage) else Plane.DATA
        expires_at = self._stale.expires_at(message)
        self._node.publish(channel, plane, audience, body, expires_at, awaited(message))
        if asks:
            self._jobs.note_sent(message, audience)
        self._sent_msgs += 1
        self._sent_bytes += len(body)
        if channel.outlets[plane].blockers(audience):
            self._waits += 1
            await self._node.make_room(channel, plane, audience)
        elif not self._sent_msgs % self._node.config.batch_msgs:
            await asyncio.sleep(0)

    # -- receiving (node.ChannelPort)

    def deliver(self, event: Delivered) -> None:
        """Messages of a peer came. Data is decoded in slices; what is urgent never waits for it."""
        if event.plane is Plane.DATA:
            came_at = self._clock()
            self._waiting.add((body, event.node, came_at) for body in event.bodies)
            return
        for body in event.bodies:
            self._take(body, event.node, 0.0)

    def _take_data(self, data: tuple[bytes, NodeId, float]) -> None:
        if data[0]:
            self._take(*data)
        else:
            self._stale.skipped(data[1], SKIPPED_THERE)

    def _take(self, body: bytes, node: NodeId, came_at: float) -> None:
        message = self._reception.take(self.channel, body, node)
        if message is None:
            return
        if self._jobs.is_late(message):
            self._reception.dropped["late_answer"] += 1
            return
        if isinstance(message, BusWorkerRegistryMessage):
            self.directory.note_registry(message)
        self._jobs.note_received(message)
        self._stale.arrived(message, node, came_at)
        if not self._flushes.incoming(message):
            self._bus.on_message_received(message)

    def _stall_if_behind(self) -> None:
        if not self.channel.stalled and self._backlog() > self._node.config.inbox_msgs:
            self._node.stall(self.channel, True)
            self._resume_soon()

    def _resume_soon(self) -> None:
        if not self._resuming:
            self._resuming = True
            asyncio.get_running_loop().call_later(_RESUME_CHECK_SECS, self._resume)

    def _resume(self) -> None:
        self._resuming = False
        if self._closed:
            return
        config = self._node.config
        if self._backlog() <= config.inbox_msgs - config.portion_msgs:
            self._node.stall(self.channel, False)
        if self.channel.stalled:
            self._resume_soon()

    def _backlog(self) -> int:
        """How many messages wait for the slowest subscriber, decoded or not."""
        return len(self._waiting) + registry.backlog(self._bus)

    # -- events

    def report(self, event: Event) -> None:
        """Something happened on the channel."""
        if isinstance(event, SnapshotsArrived | PeerGone | PeerWithdrew):
            self._waiting.finish()  # what was said before counts before
            self._stale.announce()
        match event:
            case SnapshotsArrived(_, node, bodies):
                for body in bodies:
                    self._take(body, node, 0.0)
            case PeerJoined(_, node, interest):
                self._fire("on_peer_joined", self.directory.note_joined(node, interest))
            case PeerGone():
                self._part(event)
            case PeerWithdrew(_, node, interest, how, reason):
                self._forget(node, interest, how, reason)
            case PeerBusy(_, node, interest, silent_secs):
                self._fire("on_peer_busy", self.directory.peer(node, interest), silent_secs)
            case PeerRefused(channel, _, text):
                if channel is not None:  # else the node has said so, once for all its channels
                    logger.warning(f"{self._bus}: {text}")
                self._fire("on_peer_refused", text)
            case MessagesLost():
                self._lose(event)
            case MessageForgone(_, node, Awaited() as lost):
                self._answer_undelivered(lost, self.channel.name_of(node))
            case NameShared(_, name, holder, other):
                former, latter = self.channel.name_of(holder), self.channel.name_of(other)
                logger.warning(
                    f"{self._bus}: {name!r} is on two runners, {former} and {latter}; "
                    f"messages for it go to {former}"
                )
            case GapOpened() | GapRepaired():
                logger.debug(f"{self._bus}: {event}")

    def _part(self, event: PeerGone) -> None:
        peer = self.directory.note_gone(event.node, event.interest, event.how.value)
        logger.info(f"{self._bus}: {peer} {peer.state}: {event.reason}")
        self._forget(event.node, event.interest, event.how, event.reason)
        name = "on_peer_left" if event.how is Departure.LEFT else "on_peer_lost"
        self._fire(name, peer, event.reason)

    def _forget(self, node: NodeId, interest: Interest, how: Departure, reason: str) -> None:
        """A runner has gone: its workers leave the registry, its jobs are answered (R24).

        What a crashed worker would have said of itself is said for the root workers of a runner
        that was lost; who says goodbye says nothing of the kind.
        """
        registry.forget_runner(self._bus, interest.runner)
        roots, lost = self.directory.forget(interest.runner), how is Departure.LOST
        why = f"runner {interest.runner!r} {'was lost' if lost else 'left'}: {reason}"
        for name in roots if lost else ():
            if name not in self.channel.interest.subscribers:  # a successor here is well
                self._bus.on_message_received(BusWorkerErrorMessage(source=name, error=why))
        for answer in self._jobs.fail(node, interest.subscribers, why):
            self._bus.on_message_received(answer)

    def _answer_undelivered(self, lost: Awaited, runner: str) -> None:
        """Tell whoever waits for a job that its request, or its answer, got lost (R15)."""
        answer = self._jobs.answer_undelivered(lost, runner)
        if answer and lost.is_request:
            self._bus.on_message_received(answer)
        elif answer:
            self._send_soon(answer)

    def _lose(self, event: MessagesLost) -> None:
        peer, plane = self.directory.seen(event.node), event.plane.name.lower()
        self._lost_msgs += event.lost_msgs
        logger.warning(
            f"{self._bus}: {event.lost_msgs} {plane} messages of {peer} are lost: {event.reason}"
        )
        self._fire("on_messages_lost", peer, event.lost_msgs, plane, event.reason)

    def _lose_stale(self, node: NodeId, lost_msgs: int, reason: str) -> None:
        channel = self.channel.interest.channel
        self._lose(MessagesLost(channel, node, Plane.DATA, lost_msgs, reason))

    def _fire(self, name: str, *args: Any) -> None:
        self._spawn(self._bus._call_event_handler(name, *args))

    def _send_soon(self, message: BusMessage) -> None:
        if not self._closed:
            self._spawn(self._bus.send(message))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
