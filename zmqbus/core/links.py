"""Links to other nodes: the door to dialling, handshake, liveness and gossip.

Theory of operation
-------------------
Every pair of nodes has two one-way links on the system plane, a DEALER of each to the ROUTER of
the other (the Harmony pattern of the ZeroMQ guide, chapter 8; R2). Whoever learns of an address,
from discovery, a seed, gossip or a hello, dials it (`dials`, `contacts`, `gossip`). The two prove
themselves to each other (`handshake`). A peer is *linked* when the token came back and each side
has seen the other's subscription on its XPUB: both directions of both planes (R4). From then on
each judges by its own link whether the other lives (`liveness`).
"""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

from zmqbus.config import MeshConfig
from zmqbus.core.conduct import Conduct
from zmqbus.core.contacts import Contacts
from zmqbus.core.gossip import Gossip
from zmqbus.core.handshake import Handshake
from zmqbus.core.liveness import Liveness
from zmqbus.core.outbox import Departure, DialFailed, Outbox, PeerRefused, Probe
from zmqbus.core.overlay import Overlay
from zmqbus.core.peers import Peer, Whereabouts
from zmqbus.core.timers import Timers
from zmqbus.packets import Bye, NodeId, Refuse, Status

_HEARSAY_SHARE = 8
"""What part of all dials may be attempts when one more is made on a stranger's word (R31b)."""


class Links:
    """All links of one node.

    Attributes:
        peers: All nodes this one has met and not forgotten.
        liveness: For hurrying a status, or giving a peer up.
        gossip: For telling a peer of the others.
        conduct: For saying that a peer broke the rules.
        send: Sends a packet to a peer whose link is proven.
        heard_hello: Handles the introduction of somebody.
    """

    def __init__(
        self,
        me: NodeId,
        config: MeshConfig,
        rng: random.Random,
        timers: Timers,
        out: Outbox,
        counters: Counter[str],
        overlay: Overlay,
    ) -> None:
        self._contacts = Contacts(me, config, rng, timers, out, counters, overlay)
        self.gossip = Gossip(self._contacts, config, rng, timers, overlay)
        self.liveness = Liveness(self._contacts, self.gossip, config, timers, overlay)
        self._handshake = Handshake(
            self._contacts, self.liveness, config, rng, timers, out, counters, overlay
        )
        self.conduct = Conduct(self._contacts, self.liveness, timers, out, counters)
        self.peers = self._contacts.peers
        self.send = self._contacts.send
        self.heard_hello = self._handshake.heard_hello
        self._dials = self._contacts.dials
        self._config = config
        self._timers = timers
        self._out = out
        self._counters = counters

    def start(self, where: Whereabouts, now: float) -> None:
        """Say where this node listens. Nothing is dialled before."""
        self._contacts.where = where
        self.gossip.rest(now)

    def moved(self, where: Whereabouts, now: float) -> None:
        """This node listens elsewhere now: say so until it is heard (R1)."""
        self._contacts.where = where
        for dial in self._dials:
            if self._dials[dial].up:
                self._dials.renew_token(dial)
                self._contacts.say_hello(dial, now)

    def discovered(
        self, endpoints: tuple[str, ...], now: float, node: NodeId | None, hearsay: bool
    ) -> None:
        """Somebody may listen at these addresses: all are tried at once, the first answer wins."""
        limit = self._config.max_dials
        if hearsay and self._dials.attempts >= limit // _HEARSAY_SHARE:
            self._counters["dials_over_limit"] += len(endpoints)
        else:
            self._contacts.dial(endpoints, node, limit, now)

    def endpoint_of(self, peer: Peer) -> str:
        """Where a peer is reached; before that, where it says first that it is."""
        state = self._dials.get(peer.dial) if peer.dial is not None else None
        return state.endpoint if state else peer.hello.endpoints[0]

    def is_up(self, endpoint: str) -> bool:
        """Whether a connection to an address stands, whoever is there."""
        return any(state.up for state in self._dials.at(endpoint))

    # -- what becomes of connections

    def link_up(self, dial: int, now: float) -> None:
        """The ZMTP handshake on ``dial`` is done, for the first time or again."""
        state = self._dials.get(dial)
        if state:
            state.up = True
            self._dials.renew_token(dial)
            self._contacts.say_hello(dial, now)
            self._note_up(dial, True, now)

    def link_down(self, dial: int, now: float) -> None:
        """The connection of ``dial`` broke; libzmq tries to make it again."""
        state = self._dials.get(dial)
        if not state:
            return
        state.up = state.proven = False
        self._timers.cancel(("hello", dial))
        peer = self._contacts.on(dial)
        if peer:
            peer.confirmed = False
            if not peer.was_linked:
                self._timers.hasten(("forget", peer.node), now + self._config.tombstone_secs)
            self._out.actions.append(Probe(dial, state.endpoint))
            self._contacts.redial(peer, now)
        self._note_up(dial, False, now)

    def _note_up(self, dial: int, up: bool, now: float) -> None:
        peer = self._contacts.on(dial)
        if peer:
            peer.up = up
            self.liveness.refresh(peer, now)

    def refused(self, dial: int, now: float) -> None:
        """Nobody listens at the address of ``dial`` any more (R20)."""
        peer = self._contacts.on(dial)
        if peer and not self._dials[dial].up:
            self.liveness.part(peer, Departure.LOST, "nobody listens on its port any more", now)

    def refusal(self, dial: int, refuse: Refuse, now: float) -> None:
        """Who listens at the address of ``dial`` turns us down."""
        if dial in self._dials and self._contacts.on(dial) is None:
            node = self._dials[dial].node
            endpoint = self._dials.shun(dial, now)
            text = f"{endpoint} refuses this node: {refuse.text}"
            self._out.events.append(PeerRefused(None, node, text))

    def reader(self, node: NodeId, present: bool, now: float) -> None:
        """The subscription of ``node`` came to, or went from, our XPUB."""
        peer = self.peers.get(node)
        if peer:
            peer.reader_seen = present
            self.liveness.refresh(peer, now)
            self.liveness.hurry(node, now)

    def _time_out(self, dial: int) -> None:
        """Nobody has proven himself on ``dial``. Hearsay may be wrong; a seed should not be."""
        state = self._dials[dial]
        if state.node is None:
            self._counters["dials_unanswered"] += 1
            self._out.events.append(DialFailed(state.endpoint))
        self._dials.hang_up(dial)

    # -- what peers say

    def heard_status(self, node: NodeId, status: Status, now: float) -> None:
        """A heartbeat, which may also prove a dial."""
        peer = self.peers[node]
        self._handshake.heard_token(peer, status.heard, status.met, now)
        self.liveness.heard_status(peer, status, now)

    def heard_bye(self, node: NodeId, bye: Bye, now: float) -> None:
        """The peer says goodbye (R23)."""
        reason = bye.reason or "it said goodbye"
        self.liveness.part(self.peers[node], Departure.LEFT, reason, now)

    def expel(self, node: NodeId, reason: str, now: float) -> None:
        """Part with a peer of our own accord."""
        self.liveness.part(self.peers[node], Departure.LOST, reason, now)

    # -- the end, and timers

    def leave(self, reason: str) -> None:
        """Say goodbye to everybody and close all links."""
        for node in self.peers:
            self.send(node, Bye(reason))
        self._contacts.close()

    def fire(self, kind: str, what: Any, now: float) -> bool:
        """Handle a timer that came due; False if it is not one of the links'."""
        match kind:
            case "status":
                self.liveness.say_status(self.peers[what], now)
            case "dial":
                self._time_out(what)
            case "hello":
                self._contacts.say_hello(what, now)
            case "grace":
                self.liveness.run_out(self.peers[what], now)
            case "forget":
                self._contacts.forget(self.peers[what], now)
            case "tomb":
                self._contacts.exhume(what)
            case "refuse":
                self.conduct.refuse(self.peers[what], now)
            case "gossip":
                self.gossip.chat(now)
            case "shun":
                pass
            case _:
                return False
        return True
