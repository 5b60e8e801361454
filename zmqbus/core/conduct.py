"""How much a peer may do wrong: who keeps saying what cannot be is refused (R26a).

One impossible packet may be a fault of ours, or late news from before a restart, so each is only
counted. A peer that goes on is told why, hung up, and not listened to for ``tombstone_secs``;
nobody else notices anything of it.
"""

from __future__ import annotations

from collections import Counter

from zmqbus.core.contacts import Contacts
from zmqbus.core.liveness import Liveness
from zmqbus.core.outbox import Departure, Outbox, PeerRefused
from zmqbus.core.peers import Peer
from zmqbus.core.timers import Timers
from zmqbus.packets import NodeId, Refusal, Refuse

MOST_FAULTS = 100
"""How many faults of a peer are forgiven within `FAULTS_SECS`. An honest one commits a handful
around a lost connection; a liar that stays below it costs a few microseconds a fault."""
FAULTS_SECS = 10.0


class Conduct:
    """The faults of all peers."""

    def __init__(
        self,
        contacts: Contacts,
        liveness: Liveness,
        timers: Timers,
        out: Outbox,
        counters: Counter[str],
    ) -> None:
        self._contacts = contacts
        self._liveness = liveness
        self._timers = timers
        self._out = out
        self._counters = counters

    def accuse(self, node: NodeId, fault: str, now: float) -> None:
        """A peer has said what cannot be. The verdict comes when what it said is dealt with."""
        self._counters[fault] += 1
        peer = self._contacts.peers.get(node)
        if peer is None:
            return  # this node is leaving
        if now - peer.faults_since > FAULTS_SECS:
            peer.faults, peer.faults_since = 0, now
        peer.faults += 1
        if peer.faults > MOST_FAULTS:
            self._timers.hasten(("refuse", node), now)

    def refuse(self, peer: Peer, now: float) -> None:
        """Turn a peer out, and say why."""
        text = f"it broke the protocol {peer.faults} times within {FAULTS_SECS:g} s"
        self._contacts.send(peer.node, Refuse(Refusal.MISCONDUCT, text))
        self._turn_out(peer, f"{_called(peer)} is refused: {text}", now)

    def heard_refuse(self, node: NodeId, refuse: Refuse, now: float) -> None:
        """A peer turns this node out."""
        peer = self._contacts.peers[node]
        self._turn_out(peer, f"{_called(peer)} refuses this node: {refuse.text}", now)

    def _turn_out(self, peer: Peer, text: str, now: float) -> None:
        self._counters["peers_refused"] += 1
        self._out.events.append(PeerRefused(None, peer.node, text))
        self._liveness.part(peer, Departure.LOST, text, now)
        self._contacts.bury(peer.node, Departure.LEFT, now)  # it is not listened to either


def _called(peer: Peer) -> str:
    return f"the node with pid {peer.hello.pid} on {peer.hello.host}"
