"""All channels of one node: which are open here and there, and what leaves on them.

Theory of operation
-------------------
An *interest* says that a node takes part in a channel: all of them are told with each hello, and
changes announced. Where two nodes meet on a channel they exchange welcomes (`attendance`), and from
then on owe each other every message, in two streams a channel (`outlet`, `inlet`, `traffic`).

What travels on the control packets is remembered nowhere else: after a reconnect the whole of it
is said again, and the streams, which are numbered, repair themselves.
"""

from __future__ import annotations

import random
from collections import Counter

from zmqbus.config import MeshConfig
from zmqbus.core.attendance import Attendance
from zmqbus.core.channel import Channel
from zmqbus.core.links import Links
from zmqbus.core.outbox import (
    Departure,
    Outbox,
    PeerBusy,
    Publish,
)
from zmqbus.core.timers import Timers
from zmqbus.core.traffic import Traffic
from zmqbus.packets import (
    Announce,
    Batch,
    ChannelId,
    Interest,
    NodeId,
    Plane,
    StreamState,
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
        self.attendance = Attendance(
            me, self.open_ones, self.links, self.traffic, config, timers, out, counters
        )
        self._me = me
        self._config = config
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
                self.attendance.meet(node, channel, interests[interest.channel], now)

    def alter(self, interest: Interest) -> None:
        """Replace what this node says of itself on a channel that is open."""
        channel = self.open_ones[interest.channel]
        if interest != channel.interest:
            self.attendance.alter(interest, channel)
            self._changed[interest.channel] = None

    def close(self, channel: ChannelId) -> None:
        """Leave a channel. What is still owed is given up."""
        self._flush()
        closed = self.open_ones.pop(channel)
        for node in closed.members:
            self.attendance.forget(node, channel)
        self._last_head = max(self._last_head, *(outlet.head for outlet in closed.outlets))
        self._changed.pop(channel, None)
        self._tell_all(Announce(closed=(channel,)))

    def append(
        self,
        channel: Channel,
        plane: Plane,
        audience: tuple[NodeId, ...] | None,
        body: bytes,
        expires_at: float,
        note: object,
    ) -> None:
        """Number a message for ``audience`` and let it leave with the next `flush`."""
        channel.outlets[plane].append(body, audience, expires_at, note)
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
                    self._hand_out(reader, batch, channel)
                self.traffic.tell_forgone(outlet)

    def _hand_out(self, reader: NodeId | None, batch: Batch, channel: Channel) -> None:
        """Send a batch on its plane: data once for all, unless one of them lags.

        To one that lags nothing is sent: libzmq would queue it without a bound in bytes. It asks
        for what it misses when it can take it (R17).
        """
        outlet = channel.outlets[batch.plane]
        if batch.plane is Plane.SYSTEM:
            for node in outlet.readers if reader is None else (reader,):
                self.links.send(node, batch)
        elif not outlet.laggards:
            self._out.actions.append(Publish(reader, batch))
        else:
            for node in outlet.readers if reader is None else (reader,):
                if node not in outlet.laggards:
                    self._out.actions.append(Publish(node, batch))

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
                self.attendance.meet(node, channel, interest, now)
        for closed in announce.closed:
            channel = self.open_ones.get(closed)
            if theirs.pop(closed, None) and channel and node in channel.members:
                self.attendance.depart(node, channel, Departure.LEFT, "it closed the channel", now)
                self.attendance.drop(node, channel, now)
        if grown and node in self.links.peers and self.links.peers[node].stands:
            self.links.gossip.tell(node)

    def reachable(self, node: NodeId, now: float) -> None:
        """Packets to ``node`` arrive from now on."""
        theirs = self._interests.get(node, {})
        for channel_id, channel in self.open_ones.items():
            member = channel.members.get(node)
            if member and member.admitted:
                self.attendance.remind(node, channel, now)
            elif channel_id in theirs:
                self.attendance.meet(node, channel, theirs[channel_id], now)

    def linked(self, node: NodeId, now: float) -> None:
        """Both directions of both planes work."""
        for channel in self.open_ones.values():
            if node in channel.members:
                self.attendance.maybe_joined(node, channel, now)

    def unlinked(self, node: NodeId, how: Departure, reason: str, now: float) -> None:
        """The peer departed or is lost; what it is owed is kept until `forgotten`."""
        for channel in self.open_ones.values():
            if node in channel.members:
                self.attendance.depart(node, channel, how, reason, now)

    def begin_anew(self, node: NodeId, now: float) -> None:
        """The peer has forgotten all it had with us: nothing of the streams goes on."""
        for channel in self.open_ones.values():
            self.attendance.drop(node, channel, now)

    def forgotten(self, node: NodeId, now: float) -> None:
        """Nothing of ``node`` is remembered any more, here or there."""
        self.begin_anew(node, now)
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
        if self.traffic.heard_state(node, state, now):
            self.attendance.confirmed(node, self.open_ones[state.channel], now)
