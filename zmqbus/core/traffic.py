"""What travels on the streams of all channels: arrival, holes and their repair, acknowledgement."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from zmqbus.config import MeshConfig
from zmqbus.core.channel import Channel
from zmqbus.core.inlet import Inlet
from zmqbus.core.links import Links
from zmqbus.core.outbox import (
    Delivered,
    GapOpened,
    GapRepaired,
    MessageForgone,
    MessagesLost,
    Outbox,
    Publish,
)
from zmqbus.core.outlet import Outlet
from zmqbus.core.timers import Timers
from zmqbus.packets import Batch, ChannelId, Gone, Nack, NodeId, Plane, StreamState

StreamKey = tuple[ChannelId, NodeId, Plane]


@dataclass(slots=True)
class _Hole:
    """A hole that is watched.

    Parameters:
        delay_secs: How long it may stay before it is asked for, or asked for again.
        asked_upto: Up to which number it was asked for; 0 before it was.
        awaited_bytes: How much of the answers may still come.
        ignored: Whether nothing has come since it was last asked for.
    """

    delay_secs: float
    asked_upto: int = 0
    awaited_bytes: int = 0
    ignored: bool = False


class Traffic:
    """The streams to and from all peers of one node.

    A hole is asked for after ``nack_delay_secs`` and again with doubling delay, each time with
    what is missing then; whatever is delivered meanwhile makes it another hole and starts afresh.
    A hole that only the sender's word shows (`StreamState.head`, R13) is given
    ``tail_delay_secs``, since the messages may just be queued on the slower plane. While an answer
    is coming in, or one that was not needed, it gets ``nack_max_delay_secs`` from its last message:
    on a narrow link it takes its time, and answers queued behind it would take ever longer.

    Args:
        channels: The open channels.
        links: For sending, and for hurrying a status.
    """

    def __init__(
        self,
        channels: dict[ChannelId, Channel],
        links: Links,
        config: MeshConfig,
        timers: Timers,
        out: Outbox,
        counters: Counter[str],
    ) -> None:
        self._channels = channels
        self._links = links
        self._config = config
        self._timers = timers
        self._out = out
        self._counters = counters
        self._holes: dict[StreamKey, _Hole] = {}
        self._ack_every = max(1, config.window_msgs // 8)
        self._ack_every_bytes = max(1, config.window_bytes // 8)
        self._portion_msgs = config.portion_msgs
        self._untold_bytes: dict[NodeId, int] = {}

    # -- arrival

    def heard_batch(self, node: NodeId, batch: Batch, now: float) -> None:
        """Messages of a peer came, on either plane."""
        inlet = self._inlet(node, batch.channel, batch.plane)
        if inlet is None:
            self._counters["batch_refused"] += 1
            return
        if not batch.bodies:
            self._links.conduct.accuse(node, "batch_empty", now)
            return
        bodies = inlet.accept(batch)
        hole = self._holes.get((batch.channel, node, batch.plane))
        if hole and (bodies or inlet.duplicates):
            hole.awaited_bytes -= sum(map(len, batch.bodies))
        self._deliver(node, batch.channel, batch.plane, inlet, bodies, now)

    def heard_gone(self, node: NodeId, gone: Gone, now: float) -> None:
        """A peer cannot repair a hole any more (R15)."""
        inlet = self._inlet(node, gone.channel, gone.plane)
        if inlet is None or gone.upto <= inlet.cursor or inlet.waiting(gone.upto):
            self._counters["gone_ignored"] += 1
            return
        lost, bodies = inlet.skip(gone)
        if lost:
            reason = "they had left the sender's history before they could be repaired"
            event = MessagesLost(gone.channel, node, gone.plane, lost, reason)
            self._out.events.append(event)
        self._deliver(node, gone.channel, gone.plane, inlet, bodies, now)

    def _deliver(
        self,
        node: NodeId,
        channel: ChannelId,
        plane: Plane,
        inlet: Inlet,
        bodies: list[bytes],
        now: float,
    ) -> None:
        again, inlet.duplicates = inlet.duplicates, 0
        if again:
            self._counters["duplicates"] += again
        if bodies:
            self._out.events.append(Delivered(channel, node, plane, bodies))
            self._acknowledge_in_time(node, plane, inlet, bodies, now)
        if inlet.hole or (channel, node, plane) in self._holes:
            self._watch_hole((channel, node, plane), inlet, bool(bodies or again), now)
        if plane is Plane.SYSTEM:
            data = self._inlet(node, channel, Plane.DATA)
            if data and data.early_msgs:  # it may have waited for these (R13a)
                self._deliver(node, channel, Plane.DATA, data, data.follow(), now)

    def _acknowledge_in_time(
        self, node: NodeId, plane: Plane, inlet: Inlet, bodies: list[bytes], now: float
    ) -> None:
        """Acknowledge data now and then, system messages at once: they are few."""
        untold = self._untold_bytes.get(node, 0) + sum(map(len, bodies))
        self._untold_bytes[node] = untold
        many = inlet.cursor - inlet.told_cursor >= self._ack_every
        if plane is Plane.SYSTEM or many or untold >= self._ack_every_bytes:
            self._links.liveness.hurry(node, now)
        else:
            self._links.liveness.hurry(node, now + self._config.ack_delay_secs)

    def stall(self, channel: Channel, stalled: bool, now: float) -> None:
        """Deliver no more data of ``channel``, or deliver it again, starting with what came since.

        What is not delivered is not acknowledged, so the senders' windows fill and they wait (R18).
        So that they go on evenly it is delivered in portions: if that was not all, the channel
        stays stalled, and the caller asks again when there is room.
        """
        inlets = {n: m.inlets[Plane.DATA] for n, m in channel.members.items() if m.inlets}
        for node, inlet in inlets.items() if not stalled else ():
            bodies = inlet.resume(self._portion_msgs)
            self._deliver(node, channel.interest.channel, Plane.DATA, inlet, bodies, now)
        channel.stalled = stalled or any(inlet.stalled for inlet in inlets.values())
        for inlet in inlets.values() if channel.stalled else ():
            inlet.stall()

    def forget(self, node: NodeId, channel: ChannelId) -> None:
        """Drop what is remembered of the streams of a peer on a channel."""
        self._untold_bytes.pop(node, None)
        for plane in Plane:
            key = (channel, node, plane)
            self._holes.pop(key, None)
            self._timers.cancel(("nack", key))

    # -- holes

    def _watch_hole(self, key: StreamKey, inlet: Inlet, stirred: bool, now: float) -> None:
        """Look at a hole, and wait afresh if anything came that may be part of its repair."""
        hole = self._holes.get(key)
        if inlet.stalled or (hole and inlet.hole and not stirred):
            return  # while it is stalled nobody knows what is missing
        if not inlet.hole:
            del self._holes[key]
            self._timers.cancel(("nack", key))
            inlet.closed_gaps += 1
            self._out.events.append(GapRepaired(*key))
        elif hole is None:
            self._out.events.append(GapOpened(*key, inlet.cursor, inlet.hole))
            self._wait(key, inlet, now)
        elif inlet.cursor >= hole.asked_upto:  # it is another one
            self._wait(key, inlet, now)
        else:
            hole.ignored = False
            is_coming = hole.awaited_bytes > 0  # else what is missing still is not on its way
            config = self._config
            secs = config.nack_max_delay_secs if is_coming else config.nack_delay_secs
            self._timers.set(("nack", key), now + secs)

    def _wait(self, key: StreamKey, inlet: Inlet, now: float) -> None:
        """Give a new hole the time to close by itself."""
        config = self._config
        delay_secs = config.nack_delay_secs if inlet.early_msgs else config.tail_delay_secs
        self._holes[key] = _Hole(delay_secs)
        self._timers.set(("nack", key), now + delay_secs)

    def mind_tails(self, now: float) -> None:
        """Tell those who have not acknowledged everything how far that goes (R13), now and then."""
        for channel in self._channels.values():
            for outlet in channel.outlets:
                for node in outlet.unacknowledged():
                    self._links.liveness.hurry(node, now)
        self._timers.set(("tails", None), now + self._config.heartbeat_secs)

    def fire(self, kind: str, what: Any, now: float) -> None:
        """Handle a timer that came due."""
        if kind == "tails":
            self.mind_tails(now)
        else:
            assert kind == "nack", f"no part of the core owns the timer {kind!r}"
            self._ask(what, now)

    def _ask(self, key: StreamKey, now: float) -> None:
        """Ask for what is missing, unless it could not be taken, and again later."""
        channel, node, plane = key
        inlet, hole = self._inlet(node, channel, plane), self._holes[key]
        assert inlet, "a hole is forgotten with its stream"
        if inlet.hole:
            self._counters["nacks_sent"] += 1
            self._links.send(node, Nack(channel, plane, inlet.cursor, inlet.hole))
            hole.asked_upto = inlet.hole
            answers_bytes = hole.awaited_bytes if hole.ignored else 0
            hole.awaited_bytes = answers_bytes + self._config.repair_bytes
        if hole.ignored:
            hole.delay_secs = min(2 * hole.delay_secs, self._config.nack_max_delay_secs)
        hole.ignored = True
        answer_secs = 2 * (self._links.peers[node].rtt_secs or 0.0)  # far more if its loop was late
        secs = max(hole.delay_secs, min(answer_secs, self._config.nack_max_delay_secs))
        self._timers.set(("nack", key), now + secs)

    def heard_nack(self, node: NodeId, nack: Nack, now: float) -> None:
        """A peer misses something: send it again, to it alone (R14)."""
        channel = self._channels.get(nack.channel)
        outlet = channel.outlets[nack.plane] if channel else None
        if outlet is None or node not in outlet.readers:
            self._counters["nack_refused"] += 1
            return
        if not nack.cursor < nack.upto <= outlet.head:
            self._links.conduct.accuse(node, "nack_impossible", now)
            return
        budget_bytes = self._config.repair_bytes
        gone, batches = outlet.repair(node, nack.cursor, nack.upto, budget_bytes, now)
        if gone:
            self._links.send(node, gone)
            self.tell_forgone(outlet)
        for batch in batches:
            self._counters["repaired_msgs"] += len(batch.bodies)
            if batch.plane is Plane.DATA:
                self._out.actions.append(Publish(node, batch))
            else:
                self._links.send(node, batch)

    def tell_forgone(self, outlet: Outlet) -> None:
        """Say what of a stream will never reach whom."""
        for node, note in outlet.take_forgone():
            self._out.events.append(MessageForgone(outlet.channel, node, note))

    def catch_up(self, node: NodeId, channel: Channel, now: float) -> None:
        """Send a peer that has just joined what was sent before it could take it."""
        for outlet in channel.outlets:
            reader, owed = outlet.readers[node], outlet.last_owed(node)
            if reader.acked < owed:
                has = max(reader.said, reader.since)  # ``acked`` passes over what others got
                nack = Nack(channel.interest.channel, outlet.plane, has, owed)
                self.heard_nack(node, nack, now)

    # -- acknowledgement

    def take_states(self, node: NodeId) -> tuple[StreamState, ...]:
        """What ``node`` needs to hear of the streams; each piece of news is returned once."""
        self._untold_bytes.pop(node, None)
        return tuple(self._states(node))

    def _states(self, node: NodeId) -> Iterator[StreamState]:
        for channel_id, channel in self._channels.items():
            member = channel.members.get(node)
            for outlet in channel.outlets if member else ():
                head = cursor = -1
                reader = outlet.readers.get(node)
                is_behind = reader and reader.acked < outlet.head and not outlet.pending
                if is_behind and outlet.behind_msgs(node):
                    head = outlet.last_owed(node)
                inlet = member.inlets[outlet.plane] if member and member.inlets else None
                if inlet and inlet.told_cursor != inlet.cursor:
                    inlet.told_cursor = cursor = inlet.cursor
                if head >= 0 or cursor >= 0:
                    yield StreamState(channel_id, outlet.plane, head, cursor)

    def heard_state(self, node: NodeId, state: StreamState, now: float) -> bool:
        """A peer says where it stands; returns whether it acknowledged our stream."""
        channel = self._channels.get(state.channel)
        member = channel.members.get(node) if channel else None
        if channel is None or member is None:
            return False
        inlet = member.inlets[state.plane] if member.inlets else None
        if inlet and state.head >= 0:
            inlet.note_head(state.head)
            if inlet.cursor >= state.head:
                inlet.told_cursor = -1
                self._links.liveness.hurry(node, now)
            self._deliver(node, state.channel, state.plane, inlet, [], now)
        if state.cursor < 0:
            return False
        outlet = channel.outlets[state.plane]
        if node not in outlet.readers:
            self._counters["ack_refused"] += 1
            return False
        if not outlet.acknowledge(node, state.cursor):
            self._links.conduct.accuse(node, "ack_impossible", now)
            return False
        return True

    def _inlet(self, node: NodeId, channel_id: ChannelId, plane: Plane) -> Inlet | None:
        channel = self._channels.get(channel_id)
        member = channel.members.get(node) if channel else None
        return member.inlets[plane] if member and member.inlets else None
