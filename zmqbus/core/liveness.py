"""Who is alive: heartbeats, silence, and the departure of peers.

Theory of operation
-------------------
Deaths are not gossiped: each node judges by its own link, so a false rumour cannot kill anybody
and nobody needs to refute one (R9a). There are two levels (R20). That host, link and process live
is told by ZMTP heartbeats, which need no event loop at the other end; a link that is down for
``grace_secs``, or whose address refuses connections, makes the peer *lost*. That the event loop
turns is told by `Status`; its silence over a live link makes the peer *busy*, never lost, and the
lateness of this node's own loop is never held against a peer (R21). Among hundreds heartbeats would
be most of the traffic, so there they come less often, which each of them announces: nothing but
"busy" depends on them.

A lost peer is dialled, and what it is owed is kept, for ``tombstone_secs``. The departed and the
provably dead leave a tombstone, so that gossip does not bring them back (R10).
"""

from __future__ import annotations

from zmqbus.config import MeshConfig
from zmqbus.core.contacts import Contacts
from zmqbus.core.gossip import Gossip
from zmqbus.core.outbox import Departure
from zmqbus.core.overlay import Overlay
from zmqbus.core.peers import Peer
from zmqbus.core.timers import Timers
from zmqbus.packets import NodeId, Status


class Liveness:
    """What this node says of its own life, and believes of that of others."""

    def __init__(
        self,
        contacts: Contacts,
        gossip: Gossip,
        config: MeshConfig,
        timers: Timers,
        overlay: Overlay,
    ) -> None:
        self.lag_secs = 0.0
        self._contacts = contacts
        self._gossip = gossip
        self._config = config
        self._timers = timers
        self._overlay = overlay

    # -- heartbeats

    def heard_status(self, peer: Peer, status: Status, now: float) -> None:
        """A heartbeat: the peer's event loop turns."""
        peer.heard_at, peer.busy = now, False
        peer.clock_us, peer.clock_at = status.sent_at_us, now
        peer.lag_secs, peer.every_secs = status.lag_us / 1e6, status.every_ms / 1e3
        if status.echo_us:
            peer.rtt_secs = max(0.0, now - status.echo_us / 1e6)
        peer.sees_reader = status.sees_reader
        for state in status.states:
            self._overlay.heard_state(peer.node, state, now)
        self.refresh(peer, now)

    def hurry(self, node: NodeId, at: float) -> None:
        """Let the next status to ``node`` leave no later than ``at``."""
        if node in self._contacts.peers:
            self._timers.hasten(("status", node), at)

    def say_status(self, peer: Peer, now: float) -> None:
        """Say that this node's event loop turns, and where the streams stand."""
        every_secs = self._every_secs(peer)
        self._timers.set(("status", peer.node), now + every_secs)
        silent_secs = now - peer.heard_at - self.lag_secs
        stretch_secs = max(0.0, peer.every_secs - self._config.heartbeat_secs)
        if silent_secs > self._config.busy_after_secs + stretch_secs:
            self._mind_silence(peer, silent_secs, now)
        held_us = int((now - peer.clock_at) * 1e6)
        status = Status(
            heard=peer.hello.token,
            sees_reader=peer.reader_seen,
            sent_at_us=int(now * 1e6),
            echo_us=peer.clock_us + held_us if peer.clock_us else 0,
            lag_us=int(self.lag_secs * 1e6),
            states=self._overlay.take_states(peer.node) if peer.confirmed else (),
            met=peer.met,
            every_ms=int(every_secs * 1e3),
        )
        self._contacts.send(peer.node, status)

    def _every_secs(self, peer: Peer) -> float:
        """How long to wait between two heartbeats: longer when many linked peers hear them."""
        if not peer.stands:
            return self._config.heartbeat_secs
        share_secs = len(self._contacts.peers) / self._config.heartbeats_per_sec
        return max(self._config.heartbeat_secs, share_secs)

    def _mind_silence(self, peer: Peer, silent_secs: float, now: float) -> None:
        if peer.was_linked:
            if peer.live and not peer.busy:
                peer.busy = True
                self._overlay.busy(peer.node, silent_secs)
        elif peer.confirmed and peer.dial is not None:
            self._contacts.say_hello(peer.dial, now)  # it may have forgotten us

    def refresh(self, peer: Peer, now: float) -> None:
        """Draw the conclusions from a changed fact."""
        key = ("grace", peer.node)
        broken = peer.was_linked and not peer.live or peer.dial is not None and not peer.up
        if peer.lost_reason or not broken:
            self._timers.cancel(key)
        else:
            if not self._timers.is_set(key):
                peer.down_at = now
            self._timers.hasten(key, now + self._config.grace_secs)
        stood, peer.stands = peer.stands, peer.linked
        if peer.stands and not stood:
            self._overlay.linked(peer.node, now)
            if not peer.was_linked:
                self._gossip.greet(peer)
            peer.was_linked = True

    # -- departure

    def run_out(self, peer: Peer, now: float) -> None:
        """The grace of a peer that cannot be reached is over.

        If the link stands and the peer has said nothing since the data plane went down, then its
        event loop stands still, without which no subscription is made again: it is busy, and its
        grace begins when it speaks. Or it has lost us: then it forgets us after ``tombstone_secs``.
        If this node's own loop stood still, what came meanwhile may not be read yet (R21).
        """
        if self.lag_secs > self._config.grace_secs / 2:
            self._timers.set(("grace", peer.node), now + self._config.grace_secs)
            return
        excused_until = peer.down_at + self._config.tombstone_secs
        if peer.up and peer.heard_at < peer.down_at and now < excused_until:
            self._timers.set(("grace", peer.node), excused_until)
            return
        which = "data plane" if peer.up else "link"
        self._give_up(peer, f"its {which} was down for {self._config.grace_secs:g} s", now)

    def give_up(self, node: NodeId, reason: str, now: float) -> None:
        """Declare a peer lost for a reason of the caller's."""
        peer = self._contacts.peers.get(node)
        if peer:
            self._give_up(peer, reason, now)

    def _give_up(self, peer: Peer, reason: str, now: float) -> None:
        """Declare a peer lost, and say hello to it until it answers or is forgotten."""
        self.lose(peer, Departure.LOST, reason, now)
        dials = self._contacts.dials
        for dial, state in dials.of(peer.node):
            if state.up:
                dials.renew_token(dial)
                self._contacts.say_hello(dial, now)

    def lose(self, peer: Peer, how: Departure, reason: str, now: float) -> None:
        """A peer is away; it is remembered in case it comes back."""
        self._timers.cancel(("grace", peer.node))
        self._timers.set(("forget", peer.node), now + self._config.tombstone_secs)
        peer.lost_reason, peer.was_linked, peer.confirmed = reason, False, False
        peer.sees_reader = peer.stands = False
        self._contacts.detach(peer)
        self._overlay.unlinked(peer.node, how, reason, now)

    def part(self, peer: Peer, how: Departure, reason: str, now: float) -> None:
        """Part with a peer that will not come back (R10)."""
        if not peer.lost_reason:
            self.lose(peer, how, reason, now)
        self._contacts.bury(peer.node, how, now)
        self._contacts.forget(peer, now)
