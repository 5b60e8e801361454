"""The handshake: hellos, the proof of dials, and who is turned down.

Theory of operation
-------------------
On each dial that comes up a node says `Hello` with a token that names the dial; the other side
repeats the token in whatever it sends next, and that proves the way there *and* back (R4). Of
several dials that lead to one node the first that proves itself stays (R5). What a node calls its
memory of a peer (``met``) comes along, so that both begin anew when one has forgotten (R5b).
"""

from __future__ import annotations

import random
from collections import Counter

from zmqbus.config import MeshConfig
from zmqbus.core.contacts import Contacts
from zmqbus.core.liveness import Liveness
from zmqbus.core.outbox import Departure, Outbox, PeerRefused
from zmqbus.core.overlay import Overlay
from zmqbus.core.peers import Peer
from zmqbus.core.timers import Timers
from zmqbus.packets import MIN_VERSION, VERSION, Hello, NodeId, Refusal, Refuse

NAMED_EVERY_SECS = 0.2
"""How soon after one stranger that was turned down another one is reported. Each report is a line
in the log and a call of the application; whoever makes up ids makes up thousands a second."""


class Handshake:
    """How strangers become peers."""

    def __init__(
        self,
        contacts: Contacts,
        liveness: Liveness,
        config: MeshConfig,
        rng: random.Random,
        timers: Timers,
        out: Outbox,
        counters: Counter[str],
        overlay: Overlay,
    ) -> None:
        self._contacts = contacts
        self._dials = contacts.dials
        self._peers = contacts.peers
        self._liveness = liveness
        self._config = config
        self._rng = rng
        self._timers = timers
        self._out = out
        self._counters = counters
        self._overlay = overlay
        self._refused: dict[NodeId, None] = {}
        self._named_at = -NAMED_EVERY_SECS

    # -- hellos

    def heard_hello(
        self, node: NodeId, hello: Hello, reader_seen: bool, now: float
    ) -> Refuse | None:
        """Somebody introduces itself (R3); returns the refusal to send back, if it is one."""
        if node == self._contacts.me:
            dial = self._dials.mine(hello.token)
            if dial is not None:
                self._dials.shun(dial, now)
            return None
        if self._contacts.has_left(node):
            self._counters["hello_after_bye"] += 1
            return None
        if not self._is_sound(node, hello):
            self._counters["hello_unsound"] += 1
            return None
        refuse = self._objection(node, hello)
        if refuse is None:
            self._greet(node, hello, reader_seen, now)
        else:
            self._turn_down(node, refuse, now)
        return refuse

    def _is_sound(self, node: NodeId, hello: Hello) -> bool:
        """Whether a hello can be true: only who knows our token has a new address (R1)."""
        if not hello.endpoints or not hello.data_endpoints:
            return False
        peer = self._peers.get(node)
        if peer is None:
            return True
        stays = (peer.hello.endpoints, peer.hello.data_endpoints) == (
            hello.endpoints,
            hello.data_endpoints,
        )
        lost = not self._contacts.is_reached(peer)
        return peer.hello.pid == hello.pid and (
            stays or self._dials.is_told(hello.heard, node, lost)
        )

    def _objection(self, node: NodeId, hello: Hello) -> Refuse | None:
        if hello.max_version < MIN_VERSION or hello.min_version > VERSION:
            text = (
                f"no common protocol version: {hello.min_version} to {hello.max_version} there, "
                f"{MIN_VERSION} to {VERSION} here"
            )
            return Refuse(Refusal.VERSION, text)
        if node not in self._peers and len(self._peers) >= self._config.max_peers:
            return Refuse(Refusal.FULL, f"max_peers={self._config.max_peers} is reached here")
        return None

    def _turn_down(self, node: NodeId, refuse: Refuse, now: float) -> None:
        """Report it, once; who comes in a crowd is reported when it says hello again."""
        self._counters["hello_refused"] += 1
        if node in self._refused or now < self._named_at + NAMED_EVERY_SECS:
            return
        self._named_at = now
        if len(self._refused) >= self._config.max_peers:
            del self._refused[next(iter(self._refused))]
        self._refused[node] = None
        self._out.events.append(PeerRefused(None, node, refuse.text))

    def _greet(self, node: NodeId, hello: Hello, reader_seen: bool, now: float) -> None:
        self._contacts.exhume(node)
        peer = self._peers.get(node)
        if peer is None:
            met = self._rng.getrandbits(31) | 1
            peer = self._peers[node] = Peer(node, met, hello, now, reader_seen=reader_seen)
            self._timers.set(("forget", node), now + self._config.tombstone_secs)
        dial = self._prove(peer, hello.heard, hello.met, now)
        self._dials.move(node, peer.hello.endpoints, hello.endpoints)
        peer.hello, peer.heard_at = hello, now
        self._dials.expect(hello.endpoints, node)
        if not self._contacts.is_reached(peer):
            self._contacts.redial(peer, now)
        if dial is not None:
            self._proved(peer, dial, now)
        self._overlay.greeted(node, hello.interests, now)
        if not (peer.confirmed and hello.met):  # one of us does not know the other yet
            for dial, state in self._dials.of(node):
                if state.up:
                    self._contacts.say_hello(dial, now)
        self._liveness.hurry(node, now)

    # -- proof

    def heard_token(self, peer: Peer, token: int, met: int, now: float) -> None:
        """A peer repeats a token, and says what it calls its memory of this node."""
        if peer.confirmed and met == peer.remembers and self._dials.is_proof(peer.dial, token):
            return  # as with nearly every heartbeat
        dial = self._prove(peer, token, met, now)
        if dial is not None:
            self._proved(peer, dial, now)

    def _prove(self, peer: Peer, token: int, met: int, now: float) -> int | None:
        """The dial that the token proves; if it has forgotten us, the streams begin anew (R5b)."""
        dial = self._dials.prove(token, peer.node)
        if dial is not None:
            if peer.remembers not in (0, met):
                if not peer.lost_reason:
                    reason = "it had given this node up"
                    self._liveness.lose(peer, Departure.LOST, reason, now)
                self._overlay.begin_anew(peer.node, now)
            peer.remembers = met
        return dial

    def _proved(self, peer: Peer, dial: int, now: float) -> None:
        self._evict_predecessors(peer, self._dials[dial].endpoint, now)
        self._use(peer, dial, now)
        if peer.dial == dial and not peer.confirmed:
            peer.confirmed, peer.lost_reason = True, ""
            self._timers.cancel(("forget", peer.node))
            if self._dials[dial].told != self._overlay.interests():
                self._contacts.say_hello(dial, now)  # what changed since was told to nobody
            self._overlay.reachable(peer.node, now)
            self._liveness.hurry(peer.node, now)
            self._liveness.refresh(peer, now)

    def _evict_predecessors(self, peer: Peer, endpoint: str, now: float) -> None:
        """Who does not answer where another node has proven to be is dead (R5)."""
        for state in self._dials.at(endpoint):
            other = self._peers.get(state.node) if state.node and state.owned else None
            if other and other is not peer and not other.confirmed:
                reason = "another node took over its address"
                self._liveness.part(other, Departure.LOST, reason, now)

    def _use(self, peer: Peer, dial: int, now: float) -> None:
        """Keep ``dial`` for ``peer`` if it has no proven one, and hang up the others (R5)."""
        if peer.dial != dial and not self._contacts.is_reached(peer):
            peer.dial, peer.up, peer.confirmed = dial, True, False
        assert peer.dial is not None, "a dial that is proven is reached"
        if self._dials[peer.dial].stale:
            return  # one of the others leads where it is now
        for other, _ in self._dials.of(peer.node):
            if other != peer.dial:
                self._dials.shun(other, now)
        kept = self._dials[peer.dial].endpoint
        self._dials.unshun(kept)
        self._contacts.attach(peer, kept)
