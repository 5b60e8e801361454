"""A node without a runner, for a moment: it calls on all that is found, and notes what happens."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from zmqbus import wire
from zmqbus.config import MeshConfig
from zmqbus.core.outbox import Event, PeerRefused
from zmqbus.core.peers import Peer
from zmqbus.doctor.setup import Setup
from zmqbus.incarnation import Incarnation
from zmqbus.net.rendezvous import Registered
from zmqbus.packets import Interest, NodeId, channel_id

_TURN_SECS = 0.05
_SETTLE_SECS = 0.3
# No dial is hung up before it is judged.
_CONFIG = MeshConfig(dial_timeout_secs=600.0)


@dataclass(frozen=True, slots=True)
class Target:
    """Somebody who should be reached.

    Parameters:
        source: Who says so: "seed", "local" or "lan".
        endpoints: Where; any of them will do.
        node: Its id, if that is known.
        entry: Its entry in the directory of this host, if it has one.
    """

    source: str
    endpoints: tuple[str, ...]
    node: NodeId | None = None
    entry: Registered | None = None

    @property
    def source_and_pid(self) -> str:
        """Who says so, and which process it is, if that is known."""
        return f"{self.source}, pid {self.entry.pid}" if self.entry else self.source

    def __str__(self) -> str:
        return f"{self.endpoints[0]} ({self.source_and_pid})"


class Observer:
    """One node of the mesh, from `start` to `stop`, without a runner.

    Who takes part in a channel is told of the others on it, and is seen there, as an observer. Who
    does not is seen by nobody, and gets no message: to look at a runner changes nothing.

    Args:
        setup: What a bus here would use.
        bind: Where to bind, which may differ.
        advertise: What peers are told.
        takes_part: Whether it takes part in the channel.

    Attributes:
        texts: Who was turned down, and who turned this node down, in words.
        targets: Everybody that was called on.
    """

    def __init__(
        self, setup: Setup, bind: str, advertise: str | None, *, takes_part: bool = True
    ) -> None:
        self._channel = setup.channel if takes_part else ""
        self.texts: list[str] = []
        self.targets: list[Target] = []
        self._life = Incarnation(
            _CONFIG,
            self._report,
            lambda: None,
            lambda: None,
            bind=bind,
            advertise=advertise,
            insecure=setup.insecure,
            keys=setup.ring.keys if setup.ring else None,
        )

    async def start(self) -> None:
        """Bind, and take part in the channel, or not.

        Raises:
            BindError: The address is taken or not one of this machine.
            ConfigError: A name does not resolve.
        """
        await self._life.start()
        if self._channel:
            channel, now = channel_id(self._channel), self._life.now()
            self._life.core.open_channel(Interest(channel, self._channel, "", time.time_ns()), now)
            self._life.transport.subscribe(wire.broadcast_topic(channel))
            self._life.settle()

    async def stop(self) -> None:
        """Say goodbye."""
        await self._life.stop()

    def _report(self, event: Event) -> None:
        if isinstance(event, PeerRefused) and event.channel is None:
            self.texts.append(event.text)

    # -- views

    @property
    def id(self) -> NodeId:
        """This node."""
        return self._life.core.id

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Where peers are told that it is."""
        return self._life.transport.endpoints

    @property
    def peers(self) -> dict[NodeId, Peer]:
        """Everybody who has said hello."""
        return self._life.core.peers

    @property
    def lag_secs(self) -> float:
        """How late its own event loop is."""
        return self._life.core.lag_secs

    def endpoint_of(self, peer: Peer) -> str:
        """Where a peer is reached."""
        return self._life.core.endpoint_of(peer)

    def is_up(self, target: Target) -> bool:
        """Whether ZeroMQ's handshake with it is done."""
        return any(map(self._life.core.is_up, target.endpoints))

    def refusal_of(self, target: Target) -> str:
        """Why this node and a target do not want each other; empty if neither has said so."""
        starts = tuple(f"{endpoint} " for endpoint in target.endpoints)
        return next((text for text in self.texts if text.startswith(starts)), "")

    def peer_at(self, target: Target) -> Peer | None:
        """Who has said hello of those that a target may be."""
        if target.node is not None:
            return self.peers.get(target.node)
        for peer in self.peers.values():
            if self.endpoint_of(peer) in target.endpoints or (
                set(peer.hello.endpoints) & set(target.endpoints)
            ):
                return peer
        return None

    # -- calling

    def call(self, target: Target) -> None:
        """Dial somebody."""
        if target in self.targets:
            return
        self.targets.append(target)
        self._life.core.discovered(target.endpoints, self._life.now(), target.node)
        self._life.settle()

    def is_known(self, target: Target) -> bool:
        """Whether nothing more has to be waited for to judge a target."""
        peer = self.peer_at(target)
        if peer is None or not peer.linked:
            return bool(self.refusal_of(target))
        return peer.rtt_secs is not None

    async def wait(self, secs: float, done: Callable[[], bool]) -> None:
        """Let the mesh go on until all is known that can be, and for so long at most.

        Whoever was met last may tell of others, so nobody may have come for a moment.
        """
        now = self._life.now
        deadline, known, since = now() + secs, 0, now()
        while now() < deadline:
            if known != len(self.peers):
                known, since = len(self.peers), now()
            if done() and self._is_settled() and now() - since >= _SETTLE_SECS:
                return
            await self._life.bell.wait(_TURN_SECS)

    def _is_settled(self) -> bool:
        return all(map(self.is_known, self.targets)) and all(
            peer.linked or peer.lost_reason for peer in self.peers.values()
        )
