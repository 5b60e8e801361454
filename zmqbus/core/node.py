"""`Node`: the one door to the core of a node."""

from __future__ import annotations

import random
from collections import Counter
from math import inf

from zmqbus.config import DEFAULT, MeshConfig
from zmqbus.core.channel import Channel
from zmqbus.core.channels import Channels
from zmqbus.core.outbox import Action, Event, Outbox
from zmqbus.core.peers import Peer, Whereabouts
from zmqbus.core.timers import Timers
from zmqbus.packets import (
    NO_CHANNEL,
    NOBODY,
    Announce,
    Batch,
    Bye,
    ChannelId,
    Gone,
    Hello,
    Interest,
    Members,
    Nack,
    NodeId,
    Packet,
    Plane,
    Refuse,
    Status,
    Welcome,
)

_TO_ANYBODY = (Batch, Hello)


class Node:
    """One node of a mesh, as a machine of inputs and outputs.

    After any call that takes something in, the caller does what `take_actions` gives, reports what
    `take_events` gives, and calls `advance` no later than `deadline`. Times are seconds on any
    clock that never goes back.

    Args:
        me: The id of this incarnation, fresh for every start (R1).
        config: Tunables.
        seed: Seed of the node's own randomness.
    """

    def __init__(self, me: NodeId, config: MeshConfig = DEFAULT, *, seed: int = 0) -> None:
        self.id = me
        self.config = config
        self.counters: Counter[str] = Counter()
        self._timers = Timers()
        self._out = Outbox()
        self._channels = Channels(
            me, config, random.Random(seed), self._timers, self._out, self.counters
        )
        self._links = self._channels.links
        self._traffic = self._channels.traffic
        self._attendance = self._channels.attendance
        self._readers: dict[NodeId, None] = {}

    def __repr__(self) -> str:
        states = Counter(p.state.value for p in self.peers.values())
        peers = ", ".join(f"{n} {state}" for state, n in sorted(states.items())) or "alone"
        kept = sum(o.kept[0] for c in self.channels.values() for o in c.outlets)
        return f"<Node {self.id.hex()[:4]} [{peers} | history {kept:,} msgs]>"

    # -- views

    @property
    def peers(self) -> dict[NodeId, Peer]:
        """All nodes this one has met and not forgotten."""
        return self._links.peers

    @property
    def channels(self) -> dict[ChannelId, Channel]:
        """The channels this node has open."""
        return self._channels.open_ones

    def endpoint_of(self, peer: Peer) -> str:
        """Where a peer is reached; before that, where it says first that it is."""
        return self._links.endpoint_of(peer)

    @property
    def lag_secs(self) -> float:
        """How late its last timer was: how long its event loop was busy with something else."""
        return self._links.liveness.lag_secs

    def is_up(self, endpoint: str) -> bool:
        """Whether ZeroMQ's handshake is done with an address that is dialled."""
        return self._links.is_up(endpoint)

    # -- in: from the sockets

    def start(self, where: Whereabouts, now: float) -> None:
        """Say where this node listens; comes before everything else."""
        self._links.start(where, now)
        self._traffic.mind_tails(now)

    def moved(self, where: Whereabouts, now: float) -> None:
        """Say where this node listens from now on."""
        self._links.moved(where, now)

    def discovered(
        self,
        endpoints: tuple[str, ...],
        now: float,
        node: NodeId | None = None,
        hearsay: bool = False,
    ) -> None:
        """Somebody, perhaps ``node``, may listen at these addresses; anybody may have said so."""
        self._links.discovered(endpoints, now, node, hearsay)

    def link_up(self, dial: int, now: float) -> None:
        """The connection of a dial was made."""
        self._links.link_up(dial, now)

    def link_down(self, dial: int, now: float) -> None:
        """The connection of a dial broke."""
        self._links.link_down(dial, now)

    def refused(self, dial: int, now: float) -> None:
        """A probe found nobody at the address of a dial."""
        self._links.refused(dial, now)

    def refusal(self, dial: int, packet: Packet, now: float) -> None:
        """Something came back on a dial; only refusals do (R2)."""
        if isinstance(packet, Refuse):
            self._links.refusal(dial, packet, now)

    def reader(self, node: NodeId, present: bool, now: float) -> None:
        """The subscription of ``node`` came to, or went from, our XPUB."""
        if present:
            self._readers[node] = None
        else:
            self._readers.pop(node, None)
        self._links.reader(node, present, now)

    def receive(
        self, packet: Packet, sender: NodeId, addressee: NodeId, now: float
    ) -> Refuse | None:
        """A packet came, on either plane.

        Args:
            packet: The packet.
            sender: Who says it sent it.
            addressee: The incarnation it is meant for (R5a); `NOBODY` for a broadcast, or a hello
                to whoever listens.
            now: The time.

        Returns:
            A refusal to send back the way the packet came, to a stranger that is turned down (R2).
        """
        if addressee != self.id and not (addressee == NOBODY and isinstance(packet, _TO_ANYBODY)):
            self.counters["not_for_us"] += 1
        elif isinstance(packet, Batch):
            self._traffic.heard_batch(sender, packet, now)
        elif isinstance(packet, Hello):
            return self._links.heard_hello(sender, packet, sender in self._readers, now)
        elif sender not in self.peers:
            self.counters["stranger"] += 1
        else:
            self._dispatch(packet, sender, now)
        return None

    def _dispatch(self, packet: Packet, sender: NodeId, now: float) -> None:
        match packet:
            case Status():
                self._links.heard_status(sender, packet, now)
            case Announce():
                self._channels.heard_announce(sender, packet, now)
            case Welcome():
                self._attendance.heard_welcome(sender, packet, now)
            case Nack():
                self._traffic.heard_nack(sender, packet, now)
            case Gone():
                self._traffic.heard_gone(sender, packet, now)
            case Members():
                self._links.gossip.heard(packet, now)
            case Bye():
                self._links.heard_bye(sender, packet, now)
            case _:
                assert isinstance(packet, Refuse), f"nobody handles {type(packet).__name__}"
                if packet.channel == NO_CHANNEL:
                    self._links.conduct.heard_refuse(sender, packet, now)
                else:
                    self._attendance.heard_refuse(sender, packet)

    def expel(self, node: NodeId, reason: str, now: float) -> None:
        """A peer is turned out, and not called again."""
        if node in self.peers:
            self._links.expel(node, reason, now)

    # -- in: from the application

    def open_channel(self, interest: Interest, now: float) -> Channel:
        """Take part in a channel; its id must not be open."""
        self._channels.open(interest, now)
        return self.channels[interest.channel]

    def alter_channel(self, interest: Interest) -> None:
        """Replace what this node says of itself on an open channel."""
        self._channels.alter(interest)

    def close_channel(self, channel: ChannelId) -> None:
        """Leave a channel at once; see `drained`."""
        self._channels.close(channel)

    def publish(
        self,
        channel: Channel,
        plane: Plane,
        audience: tuple[NodeId, ...] | None,
        body: bytes,
        expires_at: float = inf,
        note: object = None,
    ) -> None:
        """Send a message to ``audience``, as `Channel.audience` gives it (None: to all).

        Who has not got it when it expires gets an empty body in its place (R18a). If it is lost
        to somebody, `MessageForgone` brings the ``note``.
        """
        self._channels.append(channel, plane, audience, body, expires_at, note)

    def stall(self, channel: Channel, stalled: bool, now: float) -> None:
        """Take no more data of a channel for now, or take it again (R18)."""
        self._traffic.stall(channel, stalled, now)

    def give_up_waiting(
        self,
        channel: Channel,
        plane: Plane,
        now: float,
        audience: tuple[NodeId, ...] | None = None,
    ) -> list[NodeId]:
        """Wait no longer for those of ``audience`` that hold this stream up; returns them.

        On the data plane they count as lagging (R17), on the system plane as lost (R16).
        """
        outlet = channel.outlets[plane]
        blockers = outlet.blockers(audience)
        for node in blockers:
            if plane is Plane.DATA:
                outlet.give_up_on(node)
            else:
                reason = (
                    f"it left {self.config.system_hwm_msgs} system messages unacknowledged for "
                    f"{self.config.system_timeout_secs:g} s"
                )
                self._links.liveness.give_up(node, reason, now)
        return blockers

    def hasten_acks(self, now: float) -> None:
        """Tell every peer now what it is owed, so that it acknowledges at once (R23)."""
        for node in self.peers:
            self._links.liveness.hurry(node, now)

    def leave(self, reason: str) -> None:
        """Say goodbye to all peers and hang up."""
        self._channels.flush()
        self._links.leave(reason)
        self._timers.clear()

    # -- time

    def advance(self, now: float) -> None:
        """Fire every timer due at or before ``now``."""
        due = self._timers.next_due()
        self._links.liveness.lag_secs = max(0.0, now - due) if due is not None else 0.0
        while key := self._timers.pop_due(now):
            kind, what = key
            if not (self._links.fire(kind, what, now) or self._attendance.fire(kind, what, now)):
                self._traffic.fire(kind, what, now)

    def deadline(self) -> float | None:
        """When `advance` has to be called next; None for never."""
        return self._timers.next_due()

    # -- out

    def take_actions(self) -> list[Action]:
        """What is to be done now, in order; each action is returned once."""
        self._channels.flush()
        return self._out.take_actions()

    def take_events(self) -> list[Event]:
        """What happened, in order; each event is returned once."""
        return self._out.take_events()
