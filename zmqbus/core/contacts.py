"""Whom a node knows, how to reach them, and whom it wants nothing of any more."""

from __future__ import annotations

import random
from collections import Counter

from zmqbus.config import MeshConfig
from zmqbus.core.dials import Dials
from zmqbus.core.outbox import Attach, Departure, Detach, Outbox, Send
from zmqbus.core.overlay import Overlay
from zmqbus.core.peers import Peer, Whereabouts
from zmqbus.core.timers import Timers
from zmqbus.packets import MIN_VERSION, NOBODY, VERSION, Hello, NodeId, Packet

_TOMBS_PER_PEER = 4
_THIS_HOST = ("ipc:", "tcp://127.", "tcp://[::1]", "tcp://localhost:")


class Contacts:
    """The peers, the dials that lead to them, and the tombstones of the departed.

    Invariants: a peer's ``dial`` is in the table and leads to that peer; every other dial has a
    deadline by which it proves itself or is hung up. Our SUB is attached to an address as long as
    it is the ``data_endpoint`` of some peer.
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
        self.me = me
        self.peers: dict[NodeId, Peer] = {}
        self.dials = Dials(config, rng, timers, out, counters)
        self.where = Whereabouts("", 0, (), ())
        self._config = config
        self._timers = timers
        self._out = out
        self._overlay = overlay
        self._tombs: dict[NodeId, Departure] = {}
        self._attached: Counter[str] = Counter()

    # -- dialling

    def dial(self, endpoints: tuple[str, ...], node: NodeId | None, limit: int, now: float) -> None:
        """Somebody, perhaps ``node``, may listen at these addresses: try those worth trying."""
        peer = self.peers.get(node) if node else None
        if node == self.me or node in self._tombs or (peer and self.is_reached(peer)):
            return
        fresh = [
            e for e in endpoints if e not in self.where.endpoints and not self.dials.is_shunned(e)
        ]
        self.dials.open(fresh, node, now, limit)

    def is_reached(self, peer: Peer) -> bool:
        """Whether a peer has proven to be where it is dialled, and says nothing else since."""
        state = self.dials.get(peer.dial) if peer.dial is not None else None
        return state is not None and state.proven and not state.stale

    def redial(self, peer: Peer, now: float) -> None:
        """Try all addresses of a peer at once, also those there was no use for before."""
        for endpoint in peer.hello.endpoints:
            self.dials.unshun(endpoint)
        there = meant_for(peer.hello.endpoints, peer.hello.host, self.where.host)
        self.dials.open(there, peer.node, now)

    def on(self, dial: int) -> Peer | None:
        """The peer that this dial is the link to."""
        state = self.dials.get(dial)
        peer = self.peers.get(state.node) if state and state.node else None
        return peer if peer and peer.dial == dial else None

    # -- saying

    def send(self, node: NodeId, packet: Packet) -> bool:
        """Send a packet to a peer whose link is proven; False if there is no such link now."""
        peer = self.peers.get(node)
        if peer is None or peer.dial is None or not peer.confirmed:
            return False
        self._out.actions.append(Send(peer.dial, node, packet))
        return True

    def say_hello(self, dial: int, now: float) -> None:
        """Introduce this node, now and until it is answered."""
        state = self.dials[dial]
        peer = self.peers.get(state.node) if state.node else None
        state.told = self._overlay.interests()
        hello = Hello(
            min_version=MIN_VERSION,
            max_version=VERSION,
            token=state.token,
            heard=peer.hello.token if peer else 0,
            host=self.where.host,
            pid=self.where.pid,
            endpoints=self.where.endpoints,
            data_endpoints=self.where.data_endpoints,
            interests=state.told,
            known=self.dials.nodes,
            met=peer.met if peer else 0,
        )
        addressee = state.node if state.node and state.proven else NOBODY
        self._out.actions.append(Send(dial, addressee, hello))
        self._timers.set(("hello", dial), now + self._config.hello_retry_secs)

    # -- the data plane

    def attach(self, peer: Peer, endpoint: str) -> None:
        """Read what a peer publishes at the XPUB that goes with this ROUTER address of it."""
        data_endpoint = _data_endpoint(peer, endpoint)
        if data_endpoint != peer.data_endpoint:
            self.detach(peer)
            peer.data_endpoint = data_endpoint
            self._attached[data_endpoint] += 1
            if self._attached[data_endpoint] == 1:
                self._out.actions.append(Attach(data_endpoint))

    def detach(self, peer: Peer) -> None:
        """Read no more of what a peer publishes."""
        endpoint, peer.data_endpoint = peer.data_endpoint, None
        if endpoint is not None:
            self._attached[endpoint] -= 1
            if not self._attached[endpoint]:
                del self._attached[endpoint]
                self._out.actions.append(Detach(endpoint))

    # -- the end

    def forget(self, peer: Peer, now: float) -> None:
        """Close all that leads to a peer, and remember nothing of it."""
        for dial, _ in self.dials.of(peer.node):
            self.dials.hang_up(dial)
        for endpoint in peer.hello.endpoints:
            self.dials.unshun(endpoint)
        self.detach(peer)
        for kind in ("forget", "status", "grace", "refuse"):
            self._timers.cancel((kind, peer.node))
        del self.peers[peer.node]
        self._overlay.forgotten(peer.node, now)

    def bury(self, node: NodeId, how: Departure, now: float) -> None:
        """Let no gossip revive a node for a while (R10)."""
        if len(self._tombs) >= _TOMBS_PER_PEER * self._config.max_peers:
            oldest = next(iter(self._tombs))
            del self._tombs[oldest]
            self._timers.cancel(("tomb", oldest))
        self._tombs[node] = how
        self._timers.set(("tomb", node), now + self._config.tombstone_secs)

    def exhume(self, node: NodeId) -> None:
        """Let a node be known again: its time is over, or it lives."""
        if self._tombs.pop(node, None):
            self._timers.cancel(("tomb", node))

    def has_left(self, node: NodeId) -> bool:
        """Whether a node has said goodbye, so that whatever still comes from it is late."""
        return self._tombs.get(node) is Departure.LEFT

    def close(self) -> None:
        """Hang up on everybody."""
        for dial in self.dials:
            self.dials.hang_up(dial)
        for peer in self.peers.values():
            self.detach(peer)
        self.peers.clear()


def meant_for(endpoints: tuple[str, ...], there: str, here: str) -> tuple[str, ...]:
    """Addresses that a node on host ``there`` gave, as far as they mean the same ``here`` (R31)."""
    if there == here:
        return endpoints
    return tuple(e for e in endpoints if not e.startswith(_THIS_HOST))


def _data_endpoint(peer: Peer, endpoint: str) -> str:
    """The XPUB address that goes with the ROUTER address that answered.

    One that the peer does not name, link-local or behind a router that forwards, is the one of the
    same host with the port that goes with this port.
    """
    pairs = list(zip(peer.hello.endpoints, peer.hello.data_endpoints, strict=False))
    for named, data_endpoint in pairs:
        if named == endpoint:
            return data_endpoint
    host, _, port = endpoint.rpartition(":")
    for named, data_endpoint in pairs:
        if named.startswith("tcp:") and named.rpartition(":")[2] == port:
            return f"{host}:{data_endpoint.rpartition(':')[2]}"
    return peer.hello.data_endpoints[0]
