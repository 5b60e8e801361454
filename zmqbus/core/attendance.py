"""Who takes part in which open channel: coming, joining, going, and who may use which name.

Theory of operation
-------------------
When each of two linked nodes knows the other's interest, each says *welcome*: the numbers from
which on it owes the other everything, and the snapshots the newcomer missed (R7, R8). The number
is fixed when the welcome is sent, so what is published between then and the first arrival is a
hole like any other, found and repaired (R4). The first cursors heard of our streams confirm our
welcome; an unconfirmed one is said again. A peer has *joined* the channel when its welcome came,
ours is confirmed and the link works both ways on both planes.
"""

from __future__ import annotations

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
    PeerGone,
    PeerJoined,
    PeerRefused,
    PeerWithdrew,
    SnapshotsArrived,
)
from zmqbus.core.timers import Timers
from zmqbus.core.traffic import Traffic
from zmqbus.packets import ChannelId, Interest, NodeId, Plane, Refusal, Refuse, Welcome


class Attendance:
    """The members of all open channels.

    Args:
        me: This node.
        channels: The open channels.
        links: For sending.
        traffic: What travels on the streams of members.
    """

    def __init__(
        self,
        me: NodeId,
        channels: dict[ChannelId, Channel],
        links: Links,
        traffic: Traffic,
        config: MeshConfig,
        timers: Timers,
        out: Outbox,
        counters: Counter[str],
    ) -> None:
        self._me = me
        self._channels = channels
        self._links = links
        self._traffic = traffic
        self._config = config
        self._timers = timers
        self._out = out
        self._counters = counters

    def meet(self, node: NodeId, channel: Channel, interest: Interest, now: float) -> None:
        """A peer says that it takes part in a channel, or what it is there."""
        if interest.name != channel.interest.name:
            text = f"channels {interest.name!r} and {channel.interest.name!r} have the same id"
            self._refuse(node, channel, Refusal.CHANNEL_ID, text)
            return
        member = channel.members.get(node)
        present = self._links.peers[node].confirmed or (member is not None and member.present)
        if member is None:
            member = channel.members[node] = Membership(interest)
        elif (member.interest, member.present) == (interest, present):
            return  # said again
        member.interest, member.present = interest, present
        self._settle(node, channel, now)
        if member.present and not member.admitted and node in channel.outlets[Plane.DATA].readers:
            self._disown(node, channel)  # its name was taken while it was lost
        self._reroute(node, channel)
        if not member.admitted:
            key = ("conflict", (channel.interest.channel, node))
            if not self._timers.is_set(key):
                self._timers.set(key, now + 2 * self._config.grace_secs)

    def _settle(self, node: NodeId, channel: Channel, now: float) -> None:
        """Apply what a member's coming, going or change means for who may be here."""
        for other in channel.settle_names(node):
            member = channel.members[other]
            if member.admitted:
                self._welcome(other, channel, now)
            elif member.present:
                self._say_gone(other, channel, Departure.LOST, "an older runner has the same name")
                self._disown(other, channel)
            self._reroute(other, channel)

    def _welcome(self, node: NodeId, channel: Channel, now: float) -> None:
        for outlet in channel.outlets:
            if node not in outlet.readers:
                outlet.add_reader(node)
            outlet.set_live(node, True)
        system, data = (outlet.readers[node].acked for outlet in channel.outlets)
        snapshots, member = tuple(channel.snapshots.values()), channel.members[node]
        channel_id = channel.interest.channel
        self._links.send(node, Welcome(channel_id, system, data, snapshots, member.heard))
        if not member.confirmed:
            key = ("welcome", (channel_id, node))
            self._timers.set(key, now + self._config.hello_retry_secs)

    def remind(self, node: NodeId, channel: Channel, now: float) -> None:
        """Say welcome again to a member that has not confirmed it."""
        if not channel.members[node].confirmed:
            self._welcome(node, channel, now)

    def heard_welcome(self, node: NodeId, welcome: Welcome, now: float) -> None:
        """A peer owes us everything from here on."""
        channel = self._channels.get(welcome.channel)
        member = channel.members.get(node) if channel else None
        if channel is None or member is None or not member.admitted:
            self._counters["welcome_ignored"] += 1
            return
        if member.inlets is None:
            limits = self._config.early_msgs, self._config.early_bytes
            system = Inlet(self._me, welcome.system, *limits)
            member.inlets = system, Inlet(self._me, welcome.data, *limits, leader=system)
            member.inlets[Plane.DATA].stalled = channel.stalled
        if not member.heard:  # it is new, or was away and forgotten by the registry (R24)
            member.heard = True
            event = SnapshotsArrived(welcome.channel, node, welcome.snapshots)
            self._out.events.append(event)
        if not welcome.heard:  # ours came too early to be taken, or it alone has lost us
            self._welcome(node, channel, now)
        for inlet in member.inlets:
            inlet.told_cursor = -1
        self._links.liveness.hurry(node, now)
        self.maybe_joined(node, channel, now)

    def confirmed(self, node: NodeId, channel: Channel, now: float) -> None:
        """A peer has heard our welcome; who has not said its own has not, whatever it has of us."""
        member = channel.members[node]
        if member.heard and not member.confirmed:
            member.confirmed = True
            self._timers.cancel(("welcome", (channel.interest.channel, node)))
            self.maybe_joined(node, channel, now)

    def maybe_joined(self, node: NodeId, channel: Channel, now: float) -> None:
        """Announce a peer if nothing is missing any more (R4)."""
        member = channel.members[node]
        ready = member.confirmed and member.admitted and not member.joined
        if ready and self._links.peers[node].linked:
            member.joined = True
            event = PeerJoined(channel.interest.channel, node, member.interest)
            self._out.events.append(event)
            self._traffic.catch_up(node, channel, now)

    def depart(
        self, node: NodeId, channel: Channel, how: Departure, reason: str, now: float
    ) -> None:
        """The peer is away. What it is owed, and where we stood with it, is kept (R3)."""
        self._say_gone(node, channel, how, reason)
        channel.members[node].present = channel.members[node].confirmed = False
        for outlet in channel.outlets:
            outlet.set_live(node, False)
        self._timers.cancel(("welcome", (channel.interest.channel, node)))
        self._settle(node, channel, now)

    def _say_gone(self, node: NodeId, channel: Channel, how: Departure, reason: str) -> None:
        member = channel.members[node]
        channel_id, interest = channel.interest.channel, member.interest
        if member.joined:
            self._out.events.append(PeerGone(channel_id, node, interest, how, reason))
        elif member.heard:
            self._out.events.append(PeerWithdrew(channel_id, node, interest, how, reason))
        member.joined = member.heard = False

    def _disown(self, node: NodeId, channel: Channel) -> None:
        """Owe the peer nothing, and take nothing from it."""
        member = channel.members[node]
        member.inlets, member.confirmed = None, False
        for outlet in channel.outlets:
            outlet.drop_reader(node)
        self.forget(node, channel.interest.channel)

    def forget(self, node: NodeId, channel: ChannelId) -> None:
        """Expect nothing more of a peer on a channel."""
        for kind in ("welcome", "conflict"):
            self._timers.cancel((kind, (channel, node)))
        self._traffic.forget(node, channel)

    def drop(self, node: NodeId, channel: Channel, now: float) -> None:
        """Remember nothing of a peer on a channel, neither what it is owed."""
        if node in channel.members:
            channel.members[node].present = False
            self._settle(node, channel, now)
            self._disown(node, channel)
            self._reroute(node, channel)
            del channel.members[node]

    def alter(self, interest: Interest, channel: Channel) -> None:
        """Replace what this node says of itself on a channel."""
        self._note_shared(channel, channel.alter(interest))

    def _reroute(self, node: NodeId, channel: Channel) -> None:
        self._note_shared(channel, channel.reroute(node))

    def _note_shared(self, channel: Channel, shared: list[tuple[str, NodeId, NodeId]]) -> None:
        for name, holder, other in shared:
            self._out.events.append(NameShared(channel.interest.channel, name, holder, other))

    def _refuse(self, node: NodeId, channel: Channel, reason: Refusal, text: str) -> None:
        """Tell both sides, once, that the peer cannot take part (R6)."""
        self._out.events.append(PeerRefused(channel.interest.channel, node, text))
        self._links.send(node, Refuse(reason, text, channel.interest.channel))

    def heard_refuse(self, node: NodeId, refuse: Refuse) -> None:
        """A peer will not have us on a channel."""
        if refuse.channel in self._channels:
            self._out.events.append(PeerRefused(refuse.channel, node, refuse.text))

    # -- timers

    def fire(self, kind: str, what: Any, now: float) -> bool:
        """Handle a timer that came due; False if it is not one of the channels'."""
        if kind not in ("welcome", "conflict"):
            return False
        channel, node = self._channels[what[0]], what[1]
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
            peer = self._links.peers[node].hello
            text = (
                f"runner name {name!r} is taken by an older runner; the one with pid {peer.pid} on "
                f"{peer.host} is turned down and needs another name"
            )
            self._refuse(node, channel, Refusal.RUNNER_NAME, text)
