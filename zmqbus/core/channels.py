"""All channels of one node: who is welcome, what is owed to whom, what arrives.

Theory of operation
-------------------
An *interest* says that a node takes part in a channel. When each of two linked nodes knows the
other's interest, each says *welcome*: the numbers from which on it owes the other everything, and
the snapshots the newcomer missed (R7, R8). The number is fixed when the welcome is sent, so what
is published between then and the first arrival is a hole like any other, found and repaired (R4).
The first cursors heard of our streams confirm our welcome; an unconfirmed one is said again. A
peer has *joined* the channel when its welcome came, ours is confirmed and the link works both
ways on both planes.

What travels on the control packets is remembered nowhere else: after a reconnect the whole of it
is said again, and the streams, which are numbered, repair themselves.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

from zmqbus.config import MeshConfig
from zmqbus.core.channel import Channel, Membership
from zmqbus.core.inlet import Inlet
from zmqbus.core.links import Links
from zmqbus.core.outbox import (
    Departure,
    NameShared,
    Outbox,
    PeerBusy,
    PeerGone,
    PeerJoined,
    PeerRefused,
    Publish,
    SnapshotsArrived,
)
from zmqbus.core.outlet import Outlet
from zmqbus.core.timers import Timers
from zmqbus.core.traffic import Traffic
from zmqbus.packets import (
    Announce,
    Batch,
    ChannelId,
    Interest,
    NodeId,
    Plane,
    Refusal,
    Refuse,
    StreamState,
    Welcome,
)


class Channels:
    """The overlay of channels over one node's links."""

    def __init__(
        self,
        me: NodeId,
        config: MeshConfig,
        rng: random.Random,
        timers: Timers,
        out: Outbox,
        counters: Counter[str],
    ) -> None:
        self.open_ones: dict[ChannelId, Channel] = {}
        self.links = Links(me, config, rng, timers, out, counters, self)
        self.traffic = Traffic(self.open_ones, self.links, config, timers, out, counters)
        self._me = me
        self._config = config
        self._timers = timers
        self._out = out
        self._counters = counters
        self._interests: dict[NodeId, dict[ChannelId, Interest]] = {}
        self._changed: dict[ChannelId, None] = {}
        self._dirty: dict[ChannelId, None] = {}
        self._last_head = 0

    # -- this node's own part

    def open(self, interest: Interest, now: float) -> None:
        """Take part in a channel.

        Its numbers go on where those of the channels closed before ended, so that what is left of
        an earlier life on its way is nothing new.
        """
        channel = Channel(self._me, interest, self._config, self._last_head)
        self.open_ones[interest.channel] = channel
        self._tell_all(Announce((interest,)))
        for node, interests in self._interests.items():
            if interest.channel in interests:
                self._meet(node, channel, interests[interest.channel], now)

    def alter(self, interest: Interest) -> None:
        """Replace what this node says of itself on a channel that is open."""
        channel = self.open_ones[interest.channel]
        if interest != channel.interest:
            channel.interest = interest
            self._changed[interest.channel] = None

    def close(self, channel: ChannelId) -> None:
        """Leave a channel. What is still owed is given up."""
        self._flush()
        closed = self.open_ones.pop(channel)
        for node in closed.members:
            self._forget(node, channel)
        self._last_head = max(self._last_head, *(outlet.head for outlet in closed.outlets))
        self._changed.pop(channel, None)
        self._tell_all(Announce(closed=(channel,)))

    def append(
        self, channel: Channel, plane: Plane, audience: tuple[NodeId, ...] | None, body: bytes
    ) -> None:
        """Number a message for ``audience`` and let it leave with the next `flush`."""
        channel.outlets[plane].append(body, audience)
        self._dirty[channel.interest.channel] = None

    def flush(self) -> None:
        """Turn everything appended and altered since the last call into actions."""
        if self._changed:
            changed, self._changed = self._changed, {}
            self._tell_all(Announce(tuple(self.open_ones[c].interest for c in changed)))
        if self._dirty:
            self._flush()

    def _flush(self) -> None:
        dirty, self._dirty = self._dirty, {}
        for channel_id in dirty:
            channel = self.open_ones.get(channel_id)
            if channel is None:
                continue
            for outlet in channel.outlets:
                for reader, batch in outlet.take():
                    self._hand_out(reader, batch, channel.outlets[Plane.SYSTEM])

    def _hand_out(self, reader: NodeId | None, batch: Batch, system: Outlet) -> None:
        """Send a batch on its plane, but data for one reader behind its unacknowledged system mail.

        Two connections keep no order: on the data plane a response could overtake the urgent
        updates that were sent before it (R13a).
        """
        data = batch.plane is Plane.DATA
        if data and (reader is None or not system.behind_msgs(reader)):
            self._out.actions.append(Publish(reader, batch))
        else:
            for node in system.readers if reader is None else (reader,):
                self.links.send(node, batch)

    def _tell_all(self, packet: Announce) -> None:
        for node in self.links.peers:
            self.links.send(node, packet)

    # -- Overlay: what links tell

    def interests(self) -> tuple[Interest, ...]:
        """Every channel this node takes part in."""
        return tuple(c.interest for c in self.open_ones.values())

    def share_channel(self, one: NodeId, other: NodeId) -> bool:
        """Whether two peers have a channel in common."""
        theirs = self._interests.get(other, {})
        return any(c in theirs for c in self._interests.get(one, ()))

    def greeted(self, node: NodeId, interests: tuple[Interest, ...], now: float) -> None:
        """A hello came: all channels of ``node``; it may have missed what it was told before."""
        named = {i.channel for i in interests}
        gone = [c for c in self._interests.get(node, ()) if c not in named]
        self.heard_announce(node, Announce(interests, tuple(gone)), now)
        for channel in self.open_ones.values():
            member = channel.members.get(node)
            for inlet in member.inlets or () if member else ():
                inlet.told_cursor = -1

    def heard_announce(self, node: NodeId, announce: Announce, now: float) -> None:
        """A peer opened, altered or closed channels."""
        theirs = self._interests.setdefault(node, {})
        grown = False
        for interest in announce.interests:
            if len(theirs) >= self._config.max_channels and interest.channel not in theirs:
                self._counters["channels_over_limit"] += 1
                continue
            if len(interest.subscribers) > self._config.max_subscribers:
                self._counters["subscribers_over_limit"] += 1
                continue
            grown = grown or interest.channel not in theirs
            theirs[interest.channel] = interest
            channel = self.open_ones.get(interest.channel)
            if channel:
                self._meet(node, channel, interest, now)
        for closed in announce.closed:
            channel = self.open_ones.get(closed)
            if theirs.pop(closed, None) and channel and node in channel.members:
                self._depart(node, channel, Departure.LEFT, "it closed the channel", now)
                self._drop(node, channel)
        if grown and node in self.links.peers and self.links.peers[node].confirmed:
            self.links.gossip.tell(node)

    def reachable(self, node: NodeId, now: float) -> None:
        """Packets to ``node`` arrive from now on."""
        theirs = self._interests.get(node, {})
        for channel_id, channel in self.open_ones.items():
            member = channel.members.get(node)
            if member and member.admitted:
                if not member.confirmed:
                    self._welcome(node, channel, now)
            elif channel_id in theirs:
                self._meet(node, channel, theirs[channel_id], now)

    def linked(self, node: NodeId, now: float) -> None:
        """Both directions of both planes work."""
        for channel in self.open_ones.values():
            if node in channel.members:
                self._maybe_joined(node, channel)

    def unlinked(self, node: NodeId, how: Departure, reason: str, now: float) -> None:
        """The peer departed or is lost; what it is owed is kept until `forgotten`."""
        for channel in self.open_ones.values():
            if node in channel.members:
                self._depart(node, channel, how, reason, now)

    def begin_anew(self, node: NodeId) -> None:
        """The peer has forgotten all it had with us: nothing of the streams goes on."""
        for channel in self.open_ones.values():
            self._drop(node, channel)

    def forgotten(self, node: NodeId) -> None:
        """Nothing of ``node`` is remembered any more, here or there."""
        self.begin_anew(node)
        self._interests.pop(node, None)

    def busy(self, node: NodeId, silent_secs: float) -> None:
        """The peer's event loop does not turn."""
        for channel in self.open_ones.values():
            member = channel.members.get(node)
            if member and member.joined:
                event = PeerBusy(channel.interest.channel, node, member.interest, silent_secs)
                self._out.events.append(event)

    def take_states(self, node: NodeId) -> tuple[StreamState, ...]:
        """What ``node`` needs to hear of the streams; each piece of news is returned once."""
        return self.traffic.take_states(node)

    def heard_state(self, node: NodeId, state: StreamState, now: float) -> None:
        """What ``node`` says of a pair of streams."""
        member = self.traffic.heard_state(node, state, now)
        if member and not member.confirmed:
            member.confirmed = True
            self._timers.cancel(("welcome", (state.channel, node)))
            self._maybe_joined(node, self.open_ones[state.channel])

    # -- coming and going

    def _meet(self, node: NodeId, channel: Channel, interest: Interest, now: float) -> None:
        if interest.name != channel.interest.name:
            text = f"channels {interest.name!r} and {channel.interest.name!r} have the same id"
            self._refuse(node, channel, Refusal.CHANNEL_ID, text)
            return
        member = channel.members.get(node)
        if member is None:
            member = channel.members[node] = Membership(interest)
        member.interest = interest
        member.present = member.present or self.links.peers[node].confirmed
        self._settle(channel, now)
        if not member.admitted:
            key = ("conflict", (channel.interest.channel, node))
            if not self._timers.is_set(key):
                self._timers.set(key, now + 2 * self._config.grace_secs)
        else:
            self._reroute(channel)

    def _settle(self, channel: Channel, now: float) -> None:
        """Apply who may be here to who is here."""
        for node in channel.settle_names():
            if channel.members[node].admitted:
                self._welcome(node, channel, now)
            elif channel.members[node].present:
                self._say_gone(node, channel, Departure.LOST, "an older runner has the same name")
                self._disown(node, channel)

    def _welcome(self, node: NodeId, channel: Channel, now: float) -> None:
        for outlet in channel.outlets:
            if node not in outlet.readers:
                outlet.add_reader(node)
            outlet.set_live(node, True)
        system, data = (outlet.readers[node].acked for outlet in channel.outlets)
        snapshots = tuple(channel.snapshots.values())
        self.links.send(node, Welcome(channel.interest.channel, system, data, snapshots))
        key = ("welcome", (channel.interest.channel, node))
        self._timers.set(key, now + self._config.hello_retry_secs)
        self._reroute(channel)

    def heard_welcome(self, node: NodeId, welcome: Welcome, now: float) -> None:
        """A peer owes us everything from here on."""
        channel = self.open_ones.get(welcome.channel)
        member = channel.members.get(node) if channel else None
        if channel is None or member is None or not member.admitted:
            self._counters["welcome_ignored"] += 1
            return
        if member.inlets is None:
            limits = self._config.early_msgs, self._config.early_bytes
            member.inlets = (
                Inlet(self._me, welcome.system, *limits),
                Inlet(self._me, welcome.data, *limits),
            )
            member.inlets[Plane.DATA].stalled = channel.stalled
            event = SnapshotsArrived(welcome.channel, node, welcome.snapshots)
            self._out.events.append(event)
            if not member.confirmed:  # ours may have come too early to be taken
                self._welcome(node, channel, now)
        for inlet in member.inlets:
            inlet.told_cursor = -1
        self.links.liveness.hurry(node, now)
        self._maybe_joined(node, channel)

    def _maybe_joined(self, node: NodeId, channel: Channel) -> None:
        member = channel.members[node]
        ready = member.inlets and member.confirmed and member.admitted and not member.joined
        if ready and self.links.peers[node].linked:
            member.joined = True
            event = PeerJoined(channel.interest.channel, node, member.interest)
            self._out.events.append(event)

    def _depart(
        self, node: NodeId, channel: Channel, how: Departure, reason: str, now: float
    ) -> None:
        """The peer is away. What it is owed, and where we stood with it, is kept (R3)."""
        self._say_gone(node, channel, how, reason)
        channel.members[node].present = channel.members[node].confirmed = False
        for outlet in channel.outlets:
            outlet.set_live(node, False)
        self._timers.cancel(("welcome", (channel.interest.channel, node)))
        self._settle(channel, now)
        self._reroute(channel)

    def _say_gone(self, node: NodeId, channel: Channel, how: Departure, reason: str) -> None:
        member = channel.members[node]
        if member.joined:
            member.joined = False
            event = PeerGone(channel.interest.channel, node, member.interest, how, reason)
            self._out.events.append(event)

    def _disown(self, node: NodeId, channel: Channel) -> None:
        """Owe the peer nothing, and take nothing from it."""
        member = channel.members[node]
        member.inlets, member.confirmed = None, False
        for outlet in channel.outlets:
            outlet.drop_reader(node)
        self._forget(node, channel.interest.channel)
        self._reroute(channel)

    def _forget(self, node: NodeId, channel: ChannelId) -> None:
        for kind in ("welcome", "conflict"):
            self._timers.cancel((kind, (channel, node)))
        self.traffic.forget(node, channel)

    def _drop(self, node: NodeId, channel: Channel) -> None:
        if node in channel.members:
            self._disown(node, channel)
            del channel.members[node]

    def _reroute(self, channel: Channel) -> None:
        for name, holder, other in channel.rebuild_routes():
            self._out.events.append(NameShared(channel.interest.channel, name, holder, other))

    def _refuse(self, node: NodeId, channel: Channel, reason: Refusal, text: str) -> None:
        """Tell both sides, once, that the peer cannot take part (R6)."""
        self._out.events.append(PeerRefused(channel.interest.channel, node, text))
        self.links.send(node, Refuse(reason, text, channel.interest.channel))

    def heard_refuse(self, node: NodeId, refuse: Refuse) -> None:
        """A peer will not have us on a channel."""
        if refuse.channel in self.open_ones:
            self._out.events.append(PeerRefused(refuse.channel, node, refuse.text))

    # -- timers

    def fire(self, kind: str, what: Any, now: float) -> bool:
        """Handle a timer that came due; False if it is not one of the channels'."""
        if kind not in ("welcome", "conflict"):
            return False
        channel, node = self.open_ones[what[0]], what[1]
        member = channel.members[node]
        if kind == "welcome":
            self._welcome(node, channel, now)
        elif member.present and not member.admitted:
            self._tell_conflict(node, channel)
        return True

    def _tell_conflict(self, node: NodeId, channel: Channel) -> None:
        name = channel.members[node].interest.runner
        owner = channel.owner_of(name)
        if owner is not None and channel.age(owner) < channel.age(node):
            text = f"runner name {name!r} is taken by an older runner; give this one another name"
            self._refuse(node, channel, Refusal.RUNNER_NAME, text)
