"""Links to other nodes: dialling, the handshake, gossip of members, and who is alive.

Theory of operation
-------------------
Every pair of nodes has two one-way links on the system plane, a DEALER of each to the ROUTER of
the other (the Harmony pattern of the ZeroMQ guide, chapter 8; R2). Whoever learns of an address,
from discovery, a seed, gossip or a hello, dials it. On each dial that comes up a node says
`Hello` with a token that names the dial; the other side repeats the token in whatever it sends
next, and that proves the way there *and* back. Of several dials that lead to one node the first
that proves itself stays (R5). A peer is *linked* when the token came back and each side has seen
the other's subscription on its XPUB: both directions of both planes (R4).

Deaths are not gossiped: each node judges by its own link, so a false rumour cannot kill anybody
and nobody needs to refute one. A link that is down for ``grace_secs``, or whose address refuses
connections, makes the peer *lost* (R20); a lost peer is dialled, and what it is owed is kept, for
``tombstone_secs``. The departed and the provably dead leave a tombstone, so that gossip does not
bring them back (R10); only linked nodes are gossiped at all.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

from zmqbus.config import MeshConfig
from zmqbus.core.dials import Dials
from zmqbus.core.outbox import (
    Attach,
    Departure,
    Detach,
    Outbox,
    PeerRefused,
    Probe,
    Send,
)
from zmqbus.core.overlay import Overlay
from zmqbus.core.peers import Peer, Whereabouts
from zmqbus.core.timers import Timers
from zmqbus.packets import (
    MIN_VERSION,
    NOBODY,
    VERSION,
    Bye,
    Hello,
    Member,
    Members,
    NodeId,
    Packet,
    Refusal,
    Refuse,
    Status,
)

_MEMBERS_PER_PACKET = 512
_TOMBS_PER_PEER = 4


class Links:
    """All links of one node.

    Invariants: a peer's ``dial`` is in the table and leads to that peer; every other dial has a
    deadline by which it proves itself or is hung up.
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
        self.peers: dict[NodeId, Peer] = {}
        self.lag_secs = 0.0
        self._me = me
        self._config = config
        self._rng = rng
        self._timers = timers
        self._out = out
        self._counters = counters
        self._overlay = overlay
        self._dials = Dials(config, rng, timers, out, counters)
        self._tombs: dict[NodeId, Departure] = {}
        self._refused: dict[NodeId, None] = {}
        self._attached: Counter[str] = Counter()
        self._where = Whereabouts("", 0, (), ())

    def start(self, where: Whereabouts, now: float) -> None:
        """Say where this node listens. Nothing is dialled before."""
        self._where = where
        self._timers.set(("gossip", None), now + self._config.gossip_secs)

    # -- dialling

    def discovered(
        self, endpoints: tuple[str, ...], now: float, node: NodeId | None = None
    ) -> None:
        """Somebody may listen at these addresses: all are tried at once, the first answer wins."""
        self._try(endpoints, node, self._config.max_dials, now)

    def _try(self, endpoints: tuple[str, ...], node: NodeId | None, limit: int, now: float) -> None:
        peer = self.peers.get(node) if node else None
        if node == self._me or node in self._tombs or (peer and peer.dial is not None):
            return
        fresh = [
            e for e in endpoints if e not in self._where.endpoints and not self._dials.is_shunned(e)
        ]
        self._dials.open(fresh, node, now, limit)

    def link_up(self, dial: int, now: float) -> None:
        """The ZMTP handshake on ``dial`` is done, for the first time or again."""
        state = self._dials.get(dial)
        if state:
            state.up = True
            self._dials.renew_token(dial)
            self._say_hello(dial, now)
            self._note_up(dial, True, now)

    def link_down(self, dial: int, now: float) -> None:
        """The connection of ``dial`` broke; libzmq tries to make it again."""
        state = self._dials.get(dial)
        if not state:
            return
        state.up = state.proven = False
        self._timers.cancel(("hello", dial))
        peer = self._peer_on(dial)
        if peer:
            peer.confirmed = False
            if not peer.was_linked:
                self._timers.hasten(("forget", peer.node), now + self._config.tombstone_secs)
            self._out.actions.append(Probe(dial, state.endpoint))
        self._note_up(dial, False, now)

    def _note_up(self, dial: int, up: bool, now: float) -> None:
        peer = self._peer_on(dial)
        if peer:
            peer.up = up
            self._refresh(peer, now)

    def refused(self, dial: int, now: float) -> None:
        """Nobody listens at the address of ``dial`` any more (R20)."""
        peer = self._peer_on(dial)
        if peer and not self._dials[dial].up:
            self._part(peer, Departure.LOST, "nobody listens on its port any more", now)

    def refusal(self, dial: int, refuse: Refuse, now: float) -> None:
        """Who listens at the address of ``dial`` turns us down."""
        if dial in self._dials and self._peer_on(dial) is None:
            node = self._dials[dial].node
            endpoint = self._dials.shun(dial, now)
            text = f"{endpoint} refuses this node: {refuse.text}"
            self._out.events.append(PeerRefused(None, node, text))

    def reader(self, node: NodeId, present: bool, now: float) -> None:
        """The subscription of ``node`` came to, or went from, our XPUB."""
        peer = self.peers.get(node)
        if peer:
            peer.reader_seen = present
            self._refresh(peer, now)
            self.hurry(node, now)

    def _peer_on(self, dial: int) -> Peer | None:
        state = self._dials.get(dial)
        peer = self.peers.get(state.node) if state and state.node else None
        return peer if peer and peer.dial == dial else None

    # -- handshake

    def _say_hello(self, dial: int, now: float) -> None:
        state = self._dials[dial]
        peer = self.peers.get(state.node) if state.node else None
        state.told = self._overlay.interests()
        hello = Hello(
            min_version=MIN_VERSION,
            max_version=VERSION,
            token=state.token,
            heard=peer.hello.token if peer else 0,
            host=self._where.host,
            pid=self._where.pid,
            endpoints=self._where.endpoints,
            data_endpoints=self._where.data_endpoints,
            interests=state.told,
            known=len(self.peers),
            met=peer.met if peer else 0,
        )
        addressee = state.node if state.node and state.owned else NOBODY
        self._out.actions.append(Send(dial, addressee, hello))
        self._timers.set(("hello", dial), now + self._config.hello_retry_secs)

    def heard_hello(
        self, node: NodeId, hello: Hello, reader_seen: bool, now: float
    ) -> Refuse | None:
        """Somebody introduces itself (R3); returns the refusal to send back, if it is one."""
        if node == self._me:
            dial = self._dials.mine(hello.token)
            if dial is not None:
                self._dials.shun(dial, now)
            return None
        if self._tombs.get(node) is Departure.LEFT:
            self._counters["hello_after_bye"] += 1
            return None
        if not self._is_sound(node, hello):
            self._counters["hello_unsound"] += 1
            return None
        refuse = self._objection(node, hello)
        if refuse is None:
            self._greet(node, hello, reader_seen, now)
        else:
            self._turn_down(node, refuse)
        return refuse

    def _is_sound(self, node: NodeId, hello: Hello) -> bool:
        """Whether a hello can be true: an incarnation never moves."""
        if not hello.endpoints or not hello.data_endpoints:
            return False
        peer = self.peers.get(node)
        return peer is None or (
            (peer.hello.pid, peer.hello.endpoints, peer.hello.data_endpoints)
            == (hello.pid, hello.endpoints, hello.data_endpoints)
        )

    def _turn_down(self, node: NodeId, refuse: Refuse) -> None:
        self._counters["hello_refused"] += 1
        if node in self._refused:
            return
        if len(self._refused) >= self._config.max_peers:
            del self._refused[next(iter(self._refused))]
        self._refused[node] = None
        self._out.events.append(PeerRefused(None, node, refuse.text))

    def _greet(self, node: NodeId, hello: Hello, reader_seen: bool, now: float) -> None:
        if self._tombs.pop(node, None):
            self._timers.cancel(("tomb", node))
        peer = self.peers.get(node)
        if peer is None:
            met = self._rng.getrandbits(31) | 1
            peer = self.peers[node] = Peer(node, met, hello, now, reader_seen=reader_seen)
            self._timers.set(("forget", node), now + self._config.tombstone_secs)
        dial = self._dials.prove(hello.heard, node)
        if dial is not None:
            self._compare_memory(peer, hello.met, now)
        peer.hello, peer.heard_at = hello, now
        self._dials.expect(hello.endpoints, node)
        if peer.dial is None:
            self._dials.open(hello.endpoints, node, now)
        self._proved(peer, dial, now)
        self._overlay.greeted(node, hello.interests, now)
        if not (peer.confirmed and hello.met):  # one of us does not know the other yet
            for dial, state in self._dials.of(node):
                if state.up:
                    self._say_hello(dial, now)
        self.hurry(node, now)

    def _objection(self, node: NodeId, hello: Hello) -> Refuse | None:
        if hello.max_version < MIN_VERSION or hello.min_version > VERSION:
            text = (
                f"no common protocol version: {hello.min_version} to {hello.max_version} there, "
                f"{MIN_VERSION} to {VERSION} here"
            )
            return Refuse(Refusal.VERSION, text)
        if node not in self.peers and len(self.peers) >= self._config.max_peers:
            return Refuse(Refusal.FULL, f"max_peers={self._config.max_peers} is reached here")
        return None

    def _compare_memory(self, peer: Peer, met: int, now: float) -> None:
        """If the peer has forgotten us, the streams with it begin anew on this side too."""
        if peer.remembers not in (0, met):
            if not peer.lost_reason:
                self._lose(peer, Departure.LOST, "it had given this node up", now)
            self._overlay.begin_anew(peer.node)
        peer.remembers = met

    def _evict_predecessors(self, peer: Peer, endpoint: str, now: float) -> None:
        """Who does not answer where another node has proven to be is dead (R5)."""
        for state in self._dials.at(endpoint):
            other = self.peers.get(state.node) if state.node and state.owned else None
            if other and other is not peer and not other.confirmed:
                self._part(other, Departure.LOST, "another node took over its address", now)

    def _proved(self, peer: Peer, dial: int | None, now: float) -> None:
        """The peer has repeated the token of ``dial``, if that is not None."""
        if dial is None:
            return
        self._evict_predecessors(peer, self._dials[dial].endpoint, now)
        self._use(peer, dial, now)
        if peer.dial == dial and not peer.confirmed:
            peer.confirmed, peer.lost_reason = True, ""
            self._timers.cancel(("forget", peer.node))
            if self._dials[dial].told != self._overlay.interests():
                self._say_hello(dial, now)  # what changed since was told to nobody
            self._overlay.reachable(peer.node, now)
            self.hurry(peer.node, now)
            self._refresh(peer, now)

    def _use(self, peer: Peer, dial: int, now: float) -> None:
        """Keep ``dial`` for ``peer`` if it has no proven one, and hang up the others (R5)."""
        if peer.dial is None or not self._dials[peer.dial].proven:
            peer.dial, peer.up = dial, True
        for other, _ in self._dials.of(peer.node):
            if other != peer.dial:
                self._dials.shun(other, now)
        kept = self._dials[peer.dial].endpoint
        self._dials.unshun(kept)
        endpoint = self._data_endpoint(peer, kept)
        if endpoint != peer.data_endpoint:
            self._detach(peer)
            peer.data_endpoint = endpoint
            self._attached[endpoint] += 1
            if self._attached[endpoint] == 1:
                self._out.actions.append(Attach(endpoint))

    @staticmethod
    def _data_endpoint(peer: Peer, endpoint: str) -> str:
        """The XPUB address that goes with the ROUTER address that answered."""
        hello = peer.hello
        if endpoint in hello.endpoints[: len(hello.data_endpoints)]:
            return hello.data_endpoints[hello.endpoints.index(endpoint)]
        return hello.data_endpoints[0]

    def _detach(self, peer: Peer) -> None:
        endpoint, peer.data_endpoint = peer.data_endpoint, None
        if endpoint is not None:
            self._attached[endpoint] -= 1
            if not self._attached[endpoint]:
                del self._attached[endpoint]
                self._out.actions.append(Detach(endpoint))

    # -- liveness

    def heard_status(self, node: NodeId, status: Status, now: float) -> None:
        """A heartbeat: the peer's event loop turns."""
        peer = self.peers[node]
        peer.heard_at, peer.busy = now, False
        peer.clock_us, peer.clock_at = status.sent_at_us, now
        peer.lag_secs = status.lag_us / 1e6
        if status.echo_us:
            peer.rtt_secs = max(0.0, now - status.echo_us / 1e6)
        dial = self._dials.prove(status.heard, node)
        if dial is not None:
            self._compare_memory(peer, status.met, now)
        self._proved(peer, dial, now)
        peer.sees_reader = status.sees_reader
        for state in status.states:
            self._overlay.heard_state(node, state, now)
        self._refresh(peer, now)

    def hurry(self, node: NodeId, now: float) -> None:
        """Let the next status to ``node`` leave at once."""
        if node in self.peers:
            self._timers.hasten(("status", node), now)

    def _say_status(self, peer: Peer, now: float) -> None:
        self._timers.set(("status", peer.node), now + self._config.heartbeat_secs)
        silent_secs = now - peer.heard_at - self.lag_secs
        if silent_secs > self._config.busy_after_secs:
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
        )
        self.send(peer.node, status)

    def _mind_silence(self, peer: Peer, silent_secs: float, now: float) -> None:
        if peer.was_linked:
            if peer.live and not peer.busy:
                peer.busy = True
                self._overlay.busy(peer.node, silent_secs)
        elif peer.confirmed and peer.dial is not None:
            self._say_hello(peer.dial, now)  # it may have forgotten us

    def _refresh(self, peer: Peer, now: float) -> None:
        """Draw the conclusions from a changed fact."""
        key = ("grace", peer.node)
        if peer.live or not peer.was_linked:
            self._timers.cancel(key)
        elif not self._timers.is_set(key):
            self._timers.set(key, now + self._config.grace_secs)
        stood, peer.stands = peer.stands, peer.linked
        if peer.stands and not stood:
            self._overlay.linked(peer.node, now)
            if not peer.was_linked and peer.hello.known < len(self.peers):
                self.tell_members(peer.node)
            peer.was_linked = True

    def give_up(self, node: NodeId, reason: str, now: float) -> None:
        """Declare a peer lost for a reason of the caller's."""
        peer = self.peers.get(node)
        if peer:
            self._lose(peer, Departure.LOST, reason, now)
            self._try_again(peer, now)

    def _try_again(self, peer: Peer, now: float) -> None:
        """Say hello to a lost peer, until it answers or is forgotten."""
        for dial, state in self._dials.of(peer.node):
            if state.up:
                self._dials.renew_token(dial)
                self._say_hello(dial, now)

    def _lose(self, peer: Peer, how: Departure, reason: str, now: float) -> None:
        self._timers.cancel(("grace", peer.node))
        self._timers.set(("forget", peer.node), now + self._config.tombstone_secs)
        peer.lost_reason, peer.was_linked, peer.confirmed = reason, False, False
        peer.sees_reader = peer.stands = False
        self._detach(peer)
        self._overlay.unlinked(peer.node, how, reason, now)

    def heard_bye(self, node: NodeId, bye: Bye, now: float) -> None:
        """The peer says goodbye (R23)."""
        self._part(self.peers[node], Departure.LEFT, bye.reason or "it said goodbye", now)

    def _part(self, peer: Peer, how: Departure, reason: str, now: float) -> None:
        """Part with a peer that will not come back (R10)."""
        if not peer.lost_reason:
            self._lose(peer, how, reason, now)
        self._bury(peer.node, how, now)
        self._forget(peer)

    def _bury(self, node: NodeId, how: Departure, now: float) -> None:
        if len(self._tombs) >= _TOMBS_PER_PEER * self._config.max_peers:
            oldest = next(iter(self._tombs))
            del self._tombs[oldest]
            self._timers.cancel(("tomb", oldest))
        self._tombs[node] = how
        self._timers.set(("tomb", node), now + self._config.tombstone_secs)

    def _forget(self, peer: Peer) -> None:
        for dial, _ in self._dials.of(peer.node):
            self._dials.hang_up(dial)
        for endpoint in peer.hello.endpoints:
            self._dials.unshun(endpoint)
        self._detach(peer)
        for kind in ("forget", "status", "grace"):
            self._timers.cancel((kind, peer.node))
        del self.peers[peer.node]
        self._overlay.forgotten(peer.node)

    def leave(self, reason: str) -> None:
        """Say goodbye to everybody and close all links."""
        for node in self.peers:
            self.send(node, Bye(reason))
        for dial in self._dials:
            self._dials.hang_up(dial)
        for peer in self.peers.values():
            self._detach(peer)
        self.peers.clear()

    # -- gossip

    def tell_members(self, node: NodeId) -> None:
        """Tell ``node`` of every linked peer that shares a channel with it (R9)."""
        members = [
            Member(p.node, p.hello.endpoints)
            for p in self.peers.values()
            if p.linked and p.node != node and self._overlay.share_channel(p.node, node)
        ]
        for i in range(0, len(members), _MEMBERS_PER_PACKET):
            self.send(node, Members(tuple(members[i : i + _MEMBERS_PER_PACKET])))

    def heard_members(self, members: Members, now: float) -> None:
        """A peer names others. Hearsay may only use half of the dials."""
        for member in members.members:
            self._try(member.endpoints, member.node, self._config.max_dials // 2, now)

    def _gossip(self, now: float) -> None:
        self._timers.set(("gossip", None), now + self._config.gossip_secs)
        linked = [p.node for p in self.peers.values() if p.linked]
        if linked:
            self.tell_members(self._rng.choice(linked))

    # -- sending and timers

    def send(self, node: NodeId, packet: Packet) -> bool:
        """Send a packet to a peer whose link is proven; False if there is no such link now."""
        peer = self.peers.get(node)
        if peer is None or peer.dial is None or not peer.confirmed:
            return False
        self._out.actions.append(Send(peer.dial, node, packet))
        return True

    def fire(self, kind: str, what: Any, now: float) -> bool:
        """Handle a timer that came due; False if it is not one of the links'."""
        match kind:
            case "status":
                self._say_status(self.peers[what], now)
            case "dial":
                self._dials.hang_up(what)
            case "hello":
                self._say_hello(what, now)
            case "grace":
                peer = self.peers[what]
                which = "data plane" if peer.up else "link"
                reason = f"its {which} was down for {self._config.grace_secs:g} s"
                self._lose(peer, Departure.LOST, reason, now)
                self._try_again(peer, now)
            case "forget":
                self._forget(self.peers[what])
            case "tomb":
                del self._tombs[what]
            case "gossip":
                self._gossip(now)
            case "shun":
                pass
            case _:
                return False
        return True
