"""Gossip of members: who is where, told by those that are linked with them.

One seed is enough to meet everybody: a newcomer is told of all peers when it links, again when it
takes part in another channel, and now and then somebody is told of some at random, which heals what
the first meeting missed (R9). Only what a node has itself proven is handed on, deaths never (R9a).
"""

from __future__ import annotations

import random
from collections.abc import Iterable

from zmqbus.config import MeshConfig
from zmqbus.core.contacts import Contacts, meant_for
from zmqbus.core.overlay import Overlay
from zmqbus.core.peers import Peer
from zmqbus.core.timers import Timers
from zmqbus.packets import Member, Members, NodeId

_MEMBERS_PER_PACKET = 512
_SOME_MEMBERS = 64
"""Of how many peers somebody is told at random. More heals sooner; all of them would be most of the
traffic of a large mesh."""


class Gossip:
    """What a node tells of its peers, and what it makes of what it is told."""

    def __init__(
        self,
        contacts: Contacts,
        config: MeshConfig,
        rng: random.Random,
        timers: Timers,
        overlay: Overlay,
    ) -> None:
        self._contacts = contacts
        self._config = config
        self._rng = rng
        self._timers = timers
        self._overlay = overlay

    def greet(self, peer: Peer) -> None:
        """Tell a peer that has just linked, if it knows fewer than this node: of all, or of some.

        Who knows half of them is no newcomer, but was away, or has others to ask.
        """
        count = len(self._contacts.peers)
        if 2 * peer.hello.known < count:
            self.tell(peer.node)
        elif peer.hello.known < count:
            self._tell_some(peer.node)

    def tell(self, node: NodeId) -> None:
        """Tell ``node`` of every linked peer that shares a channel with it (R9)."""
        self._tell(node, self._contacts.peers.values())

    def _tell_some(self, node: NodeId) -> None:
        peers = list(self._contacts.peers.values())
        self._tell(node, self._rng.sample(peers, min(len(peers), _SOME_MEMBERS)))

    def _tell(self, node: NodeId, peers: Iterable[Peer]) -> None:
        told = self._contacts.peers[node]
        members = [
            Member(p.node, endpoints)
            for p in peers
            if p.linked and p.node != node and self._overlay.share_channel(p.node, node)
            if (endpoints := meant_for(p.hello.endpoints, p.hello.host, told.hello.host))
        ]
        for i in range(0, len(members), _MEMBERS_PER_PACKET):
            self._contacts.send(node, Members(tuple(members[i : i + _MEMBERS_PER_PACKET])))

    def heard(self, members: Members, now: float) -> None:
        """A peer names others. Hearsay may only use half of the dials."""
        for member in members.members:
            self._contacts.dial(member.endpoints, member.node, self._config.max_dials // 2, now)

    def chat(self, now: float) -> None:
        """Tell one peer at random of some others, and again after ``gossip_secs``."""
        linked = [p for p in self._contacts.peers.values() if p.linked]
        if linked:
            self._tell_some(self._rng.choice(linked).node)
        self.rest(now)

    def rest(self, now: float) -> None:
        """Say nothing before ``gossip_secs`` have passed."""
        self._timers.set(("gossip", None), now + self._config.gossip_secs)
