"""`MeshNode`: one node of the mesh, on which many channels share one set of sockets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from loguru import logger

from zmqbus import wire
from zmqbus.bell import Turnstile
from zmqbus.config import DEFAULT, MeshConfig
from zmqbus.core import Node
from zmqbus.core.channel import Channel
from zmqbus.core.outbox import Delivered, DialFailed, Event, PeerRefused
from zmqbus.errors import BusStateError, ConfigError
from zmqbus.incarnation import Incarnation
from zmqbus.keys import KeyArgument, choose_ring, hide
from zmqbus.net.discovery import Discovery
from zmqbus.packets import ChannelId, Interest, NodeId, Plane
from zmqbus.settings import check_kind, choose, switch, text, words


class ChannelPort(Protocol):
    """What a node serves: one channel of one bus."""

    def deliver(self, event: Delivered) -> None:
        """Messages of a peer came."""

    def report(self, event: Event) -> None:
        """Something else happened on the channel."""


P = TypeVar("P", bound=ChannelPort)


class MeshNode:
    """One node of the mesh: a ROUTER, an XPUB, a SUB and a DEALER for each peer.

    A `ZmqBus` makes one for itself. To run many channels in one process, make one and give it to
    every bus: the number of sockets does not grow with channels. The node starts with its first
    bus and stops with its last.

    Args:
        bind: Where the ROUTER binds, ``tcp://host:port`` (``*`` for any free port) or
            ``ipc://path``; the XPUB binds beside it. With ``tcp://*:port`` peers are told every
            address of this machine, also those that it gets later. That is the default with
            "lan", and else ``tcp://127.0.0.1:*``.
        advertise: What peers are told instead, ``host:port``, where that differs from ``bind``.
        peers: Seeds, ``tcp://host:port`` of any node's ROUTER; one is enough to meet everybody.
            A name with several addresses stands for all of them.
        discovery: How to find others: "local" (this user's processes on this host), "lan" (mDNS,
            other hosts on the same network; needs ``pipecat-zmqbus[lan]``), or both. Empty: seeds
            only.
        key: The mesh key, without which nobody comes in (see `zmqbus.keys`): its text, a
            `MeshKey`, or a `KeyRing`, which can be changed while the node runs. None: no key.
        insecure: Whether addresses that others can reach may be bound without a key.
        config: Tunables.

    Raises:
        ConfigError: A setting cannot be used; an argument wins over ``ZMQBUS_BIND``,
            ``ZMQBUS_ADVERTISE``, ``ZMQBUS_PEERS``, ``ZMQBUS_DISCOVERY``, ``ZMQBUS_INSECURE``, and
            ``ZMQBUS_KEY`` or ``ZMQBUS_KEY_FILE``.
        InsecureBindError: ``bind`` is neither loopback nor ipc, and there is neither a key nor
            ``insecure``.
    """

    def __init__(
        self,
        *,
        bind: str | None = None,
        advertise: str | None = None,
        peers: Sequence[str] | None = None,
        discovery: Sequence[str] | None = None,
        key: KeyArgument = None,
        insecure: bool | None = None,
        config: MeshConfig | None = None,
    ) -> None:
        key = hide(key)  # from here on no traceback can show it
        self._ring = choose_ring(key)
        self.config = check_kind("config", config, MeshConfig) or DEFAULT
        told = choose("advertise", advertise, "", text)
        self._advertise = None if told == "" else told
        self._insecure = choose("insecure", insecure, False, switch)
        self._discovery = Discovery(
            seeds=choose("peers", peers, (), words),
            methods=choose("discovery", discovery, ("local",), words),
            found=self._found,
        )
        everywhere = "tcp://*:*" if self._discovery.wants_lan else "tcp://127.0.0.1:*"
        self._bind = choose("bind", bind, everywhere, text)
        self._ports: dict[ChannelId, ChannelPort] = {}
        self._turnstile = Turnstile()
        self._unanswered: set[str] = set()
        self._life = self._new_life()
        self._check_reachable()

    def _check_reachable(self) -> None:
        """Whoever is dialled dials back: it must be able to (R2, R31)."""
        if self._advertise or not self._life.transport.is_local:
            return
        remedy = "bind an address of this machine that the others can reach, or tcp://*:*"
        if seed := self._discovery.remote_seed:
            reason = f"only this host can reach it, and peers={seed!r} is on another"
            raise ConfigError("bind", self._bind, reason, remedy)
        if self._discovery.wants_lan:
            reason = "only this host can reach it, and discovery='lan' is for others"
            raise ConfigError("bind", self._bind, reason, remedy)

    def _new_life(self) -> Incarnation:
        keys = self._ring.keys if self._ring else None
        return Incarnation(
            self.config,
            self._report,
            self._moved,
            self._discovery.look_again,
            bind=self._bind,
            advertise=self._advertise,
            insecure=self._insecure,
            keys=keys,
        )

    def __repr__(self) -> str:
        return f"<MeshNode {self.core!r}>"

    @property
    def core(self) -> Node:
        """The decisions of this incarnation."""
        return self._life.core

    @property
    def endpoint(self) -> str:
        """Where other nodes reach this one: a seed for them.

        Raises:
            BusStateError: The node is not running.
        """
        if not self._life.running:
            raise BusStateError("The node has no endpoint before its first bus is started.")
        return self._life.transport.endpoints[0]

    @property
    def counters(self) -> dict[str, int]:
        """What went wrong or was dropped, by reason, on the whole node."""
        return dict(self.core.counters + self._life.transport.counters + self._discovery.counters)

    # -- channels

    async def open_channel(self, interest: Interest, make_port: Callable[[Channel], P]) -> P:
        """Take part in a channel; the first one starts the node.

        Args:
            interest: The channel, and what is said of this end of it.
            make_port: Makes what the node will serve; is returned.

        Raises:
            BindError: The address is taken or not one of this machine.
            BusStateError: The channel is open on this node.
            ConfigError: The directory of local discovery cannot be used.
        """
        async with self._turnstile():
            if interest.channel in self._ports:
                raise BusStateError(f"Channel {interest.name!r} is open on this node already.")
            if not self._life.running:
                await self._start()
            port = make_port(self.core.open_channel(interest, self._life.now()))
            self._ports[interest.channel] = port
            self._life.transport.subscribe(wire.broadcast_topic(interest.channel))
            self._life.settle()
            try:
                self._discovery.join(interest.channel, self.core.id, self._life.transport.told)
            except BaseException:
                await self._close(interest.channel)
                raise
            return port

    async def close_channel(self, channel: ChannelId) -> None:
        """Leave a channel when all has been taken, or after ``linger_secs``; the last ends all."""
        await self._drain(channel)
        async with self._turnstile():
            await self._close(channel)

    async def _close(self, channel: ChannelId) -> None:
        if self._ports.pop(channel, None) is None:
            return
        self._discovery.leave(channel, self.core.id, self._life.transport.told)
        if self._ports:
            self._life.transport.unsubscribe(wire.broadcast_topic(channel))
            self.core.close_channel(channel)
            self._life.settle()
            self._life.bell.ring()
        else:
            await self._stop()

    def alter_channel(self, interest: Interest) -> None:
        """Say something else of this node's part in a channel."""
        self.core.alter_channel(interest)
        self._life.settle_soon()

    async def _drain(self, channel_id: ChannelId) -> None:
        channel = self.core.channels.get(channel_id)
        deadline = self._life.now() + self.config.linger_secs
        self.core.hasten_acks(self._life.now())
        self._life.settle()
        while channel and not all(outlet.drained for outlet in channel.outlets):
            if not await self._life.news(deadline):
                return

    # -- sending

    def publish(
        self,
        channel: Channel,
        plane: Plane,
        audience: tuple[NodeId, ...] | None,
        body: bytes,
        expires_at: float,
        note: object,
    ) -> None:
        """Send a message: a system message now, data at the end of this turn of the loop.

        For ``expires_at`` and ``note`` see `Node.publish`.
        """
        self._life.publish(channel, plane, audience, body, expires_at, note)

    async def make_room(
        self, channel: Channel, plane: Plane, audience: tuple[NodeId, ...] | None
    ) -> None:
        """Wait until none of an audience is further behind than the window, or for a bounded time.

        Waits up to ``slow_peer_timeout_secs`` for data, ``system_timeout_secs`` for system
        messages; who is behind then is not waited for (R16, R17).
        """
        config = self.config
        data = plane is Plane.DATA
        wait_secs = config.slow_peer_timeout_secs if data else config.system_timeout_secs
        deadline = self._life.now() + wait_secs
        while self._serves(channel) and channel.outlets[plane].blockers(audience):
            if not await self._life.news(deadline):
                self.core.give_up_waiting(channel, plane, self._life.now(), audience)
                self._life.settle()

    def _serves(self, channel: Channel) -> bool:
        return self._life.running and self.core.channels.get(channel.interest.channel) is channel

    def stall(self, channel: Channel, stalled: bool) -> None:
        """Take no more data of a channel from the network for now, or take it again (R18)."""
        self.core.stall(channel, stalled, self._life.now())
        self._life.settle()

    # -- life

    async def _start(self) -> None:
        self._life = self._new_life()
        await self._life.start()
        if self._ring:
            self._unwatch = self._ring.watch(self._life.rekey)
            self._life.rekey(self._ring.keys)  # they may have changed meanwhile
        elif not self._life.transport.is_local:
            logger.warning(
                f"{self}: there is no key, and `insecure=True`: whoever reaches {self._bind} can "
                f"read and send"
            )
        self._discovery.start()

    async def _stop(self) -> None:
        if self._ring:
            self._unwatch()
        self._discovery.stop()
        await self._life.stop()

    def _found(self, endpoints: tuple[str, ...], node: NodeId | None, hearsay: bool) -> None:
        """Discovery has found an address."""
        if self._life.running:
            self.core.discovered(endpoints, self._life.now(), node, hearsay)
            self._life.settle()

    def _moved(self) -> None:
        """The addresses of this machine have changed."""
        self._discovery.moved(self.core.id, self._life.transport.told)

    # -- what happens

    def _report(self, event: Event) -> None:
        if isinstance(event, DialFailed):
            self._note_unanswered(event.endpoint)
            return
        if isinstance(event, PeerRefused) and event.channel is None:
            logger.warning(f"{self}: {event.text}")
            for port in self._ports.values():
                port.report(event)
            return
        channel_port = self._ports.get(event.channel) if event.channel else None
        if channel_port is None:
            return
        if isinstance(event, Delivered):
            channel_port.deliver(event)
        else:
            channel_port.report(event)

    def _note_unanswered(self, endpoint: str) -> None:
        if endpoint not in self._unanswered:
            self._unanswered.add(endpoint)
            waited_secs = self.config.dial_timeout_secs
            logger.warning(
                f"{self}: nobody has answered at {endpoint} for {waited_secs:g} s; "
                f"check that a runner listens there (its `bus.endpoint`), that nothing but zmqbus "
                f"does, and that no firewall is between; trying on"
            )
