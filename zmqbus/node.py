"""`MeshNode`: one core on asyncio, with sockets, a clock and one timer; many channels share it.

After everything that goes into the core the node *settles*: it does what the core wants done,
hands on what the core reports, and re-arms the one timer. Messages sent within one turn of the
event loop leave together at its end, or earlier once they fill a packet.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol, TypeVar

from loguru import logger

from zmqbus import wire
from zmqbus.bell import Bell, Turnstile
from zmqbus.config import DEFAULT, MeshConfig
from zmqbus.core import Node
from zmqbus.core.channel import Channel
from zmqbus.core.outbox import (
    Action,
    Attach,
    Delivered,
    Detach,
    Dial,
    DialFailed,
    Event,
    Hangup,
    PeerRefused,
    Probe,
    Publish,
    Send,
)
from zmqbus.core.peers import Whereabouts
from zmqbus.errors import BusStateError, ConfigError, WireError
from zmqbus.net.discovery import Discovery
from zmqbus.net.probe import probe
from zmqbus.net.transport import Transport
from zmqbus.packets import NOBODY, ChannelId, Interest, NodeId, Packet, Plane
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
            ``ipc://path``; the XPUB binds beside it.
        advertise: What peers are told instead, ``host:port``, where that differs from ``bind``.
        peers: Seeds, ``tcp://host:port`` of any node's ROUTER; one is enough to meet everybody.
            A name with several addresses stands for all of them.
        discovery: How to find others: "local" (this user's processes on this host). Empty: seeds
            only.
        insecure: Whether addresses that others can reach may be bound without a key.
        config: Tunables.

    Raises:
        ConfigError: A setting cannot be used; an argument wins over ``ZMQBUS_BIND``,
            ``ZMQBUS_ADVERTISE``, ``ZMQBUS_PEERS``, ``ZMQBUS_DISCOVERY`` and ``ZMQBUS_INSECURE``.
        InsecureBindError: ``bind`` is neither loopback nor ipc, and not declared ``insecure``.
    """

    def __init__(
        self,
        *,
        bind: str | None = None,
        advertise: str | None = None,
        peers: Sequence[str] | None = None,
        discovery: Sequence[str] | None = None,
        insecure: bool | None = None,
        config: MeshConfig | None = None,
    ) -> None:
        self.config = check_kind("config", config, MeshConfig) or DEFAULT
        self._bind = choose("bind", bind, "tcp://127.0.0.1:*", text)
        self._advertise = choose("advertise", advertise, "", text) or None
        self._insecure = choose("insecure", insecure, False, switch)
        self._discovery = Discovery(
            seeds=choose("peers", peers, (), words),
            methods=choose("discovery", discovery, ("local",), words),
            found=self._found,
        )
        self._ports: dict[ChannelId, ChannelPort] = {}
        self._running = False
        self._turnstile = Turnstile()
        self._timer: asyncio.Handle | None = None
        self._armed_at = 0.0  # uvloop's handles do not tell
        self._flush_handle: asyncio.Handle | None = None
        self._unsent_msgs = self._unsent_bytes = 0
        self._unanswered: set[str] = set()
        self._bell = Bell()
        self._tasks: set[asyncio.Task[None]] = set()
        self._renew()
        self._check_reachable()

    def _check_reachable(self) -> None:
        """Whoever is dialled dials back: it must be able to (R2, R31)."""
        seed = self._discovery.remote_seed
        if seed and not self._advertise and self._transport.is_local:
            raise ConfigError(
                "bind",
                self._bind,
                f"only this host can reach it, and peers={seed!r} is on another",
                "bind an address of this machine that the others can reach",
            )

    def _renew(self) -> None:
        """Begin a new incarnation (R1)."""
        seed = int.from_bytes(os.urandom(8))
        self.core = Node(NodeId(os.urandom(8)), self.config, seed=seed)
        self._transport = Transport(
            self,
            bind=self._bind,
            advertise=self._advertise,
            config=self.config,
            insecure=self._insecure,
        )

    def __repr__(self) -> str:
        return f"<MeshNode {self.core!r}>"

    @property
    def endpoint(self) -> str:
        """Where other nodes reach this one: a seed for them.

        Raises:
            BusStateError: The node is not running.
        """
        if not self._running:
            raise BusStateError("The node has no endpoint before its first bus is started.")
        return self._transport.endpoints[0]

    @property
    def counters(self) -> dict[str, int]:
        """What went wrong or was dropped, by reason, on the whole node."""
        return dict(self.core.counters + self._transport.counters + self._discovery.counters)

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
            if not self._running:
                await self._start()
            port = make_port(self.core.open_channel(interest, self._now()))
            self._ports[interest.channel] = port
            self._transport.subscribe(wire.broadcast_topic(interest.channel))
            self._settle()
            try:
                self._discovery.join(interest.channel, self.core.id, self._transport.endpoints)
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
        self._discovery.leave(channel, self.core.id)
        if self._ports:
            self._transport.unsubscribe(wire.broadcast_topic(channel))
            self.core.close_channel(channel)
            self._settle()
            self._bell.ring()
        else:
            await self._stop()

    def alter_channel(self, interest: Interest) -> None:
        """Say something else of this node's part in a channel."""
        self.core.alter_channel(interest)
        self._flush_soon()

    async def _drain(self, channel_id: ChannelId) -> None:
        channel = self.core.channels.get(channel_id)
        deadline = self._now() + self.config.linger_secs
        self.core.hasten_acks(self._now())
        self._settle()
        while channel and not all(outlet.drained for outlet in channel.outlets):
            if not await self._news(deadline):
                return

    # -- sending

    def publish(
        self, channel: Channel, plane: Plane, audience: tuple[NodeId, ...] | None, body: bytes
    ) -> None:
        """Send a message: a system message now, data at the end of this turn of the loop."""
        self.core.publish(channel, plane, audience, body)
        self._unsent_msgs += 1
        self._unsent_bytes += len(body)
        if (
            plane is Plane.SYSTEM
            or self._unsent_msgs >= self.config.batch_msgs
            or self._unsent_bytes >= self.config.batch_bytes
        ):
            self._settle()
        else:
            self._flush_soon()

    async def make_room(self, channel: Channel, plane: Plane) -> None:
        """Wait until no healthy peer is further behind than the window, or for a bounded time.

        Waits up to ``slow_peer_timeout_secs`` for data, ``system_timeout_secs`` for system
        messages; who is behind then is not waited for (R16, R17).
        """
        config = self.config
        data = plane is Plane.DATA
        wait_secs = config.slow_peer_timeout_secs if data else config.system_timeout_secs
        deadline = self._now() + wait_secs
        while self._serves(channel) and channel.outlets[plane].blockers():
            if not await self._news(deadline):
                self.core.give_up_waiting(channel, plane, self._now())
                self._settle()

    def _serves(self, channel: Channel) -> bool:
        return self._running and self.core.channels.get(channel.interest.channel) is channel

    def stall(self, channel: Channel, stalled: bool) -> None:
        """Take no more data of a channel from the network for now, or take it again (R18)."""
        self.core.stall(channel, stalled, self._now())
        self._settle()

    async def _news(self, deadline: float) -> bool:
        """Wait until something came from a peer; False once the time is over."""
        remaining_secs = deadline - self._now()
        return self._running and remaining_secs > 0 and await self._bell.wait(remaining_secs)

    # -- life

    async def _start(self) -> None:
        self._renew()
        self._loop = asyncio.get_running_loop()
        await self._transport.open()
        self._running = True
        here = self._transport
        where = Whereabouts(socket.gethostname(), os.getpid(), here.endpoints, here.data_endpoints)
        self.core.start(where, self._now())
        here.subscribe(wire.reader_topic(self.core.id))
        self._discovery.start()

    async def _stop(self) -> None:
        self._discovery.stop()
        self.core.leave("it said goodbye")
        self._settle()
        self._running = False
        for handle in (self._timer, self._flush_handle):
            if handle:
                handle.cancel()
        self._timer = self._flush_handle = None
        for task in self._tasks:
            task.cancel()
        self._bell.ring()
        await self._transport.close(min(0.5, self.config.linger_secs))

    def _now(self) -> float:
        return self._loop.time()

    def _found(self, endpoints: tuple[str, ...], node: NodeId | None) -> None:
        """Discovery has found an address."""
        if self._running:
            self.core.discovered(endpoints, self._now(), node)
            self._settle()

    # -- transport.Handler

    def system_frame(self, frame: bytes, stranger: bytes) -> None:
        """A frame came in on the system plane."""
        try:
            sender, addressee, packet = wire.decode_system(frame)
        except WireError as error:
            self._count_bad(error)
            return
        refuse = self.core.receive(packet, sender, addressee, self._now())
        if refuse:
            self._transport.refuse(stranger, wire.encode_system(refuse, self.core.id, sender))

    def refusal_frame(self, dial: int, frame: bytes) -> None:
        """Whoever was dialled sent something back."""
        try:
            _, _, packet = wire.decode_system(frame)
        except WireError as error:
            self._count_bad(error)
            return
        self.core.refusal(dial, packet, self._now())

    def data_frame(self, frame: bytes) -> None:
        """A frame came in on the data plane."""
        try:
            sender, reader, batch = wire.decode_data(frame)
        except WireError as error:
            self._count_bad(error)
            return
        self.core.receive(batch, sender, reader or NOBODY, self._now())

    def link_up(self, dial: int) -> None:
        """The other side of a dial has completed the handshake."""
        self.core.link_up(dial, self._now())

    def link_down(self, dial: int, reason: str) -> None:
        """A link has broken."""
        self.core.link_down(dial, self._now())

    def reader(self, topic: bytes, present: bool) -> None:
        """Somebody subscribed to a topic, or the last of its readers has gone."""
        node = wire.parse_reader_topic(topic)
        if node is not None:
            self.core.reader(node, present, self._now())

    def turn_done(self) -> None:
        """Everything of this turn has been delivered."""
        self._settle()
        self._bell.ring()

    def _count_bad(self, error: WireError) -> None:
        key = f"wire_{error.reason}"
        self.core.counters[key] += 1
        if self.core.counters[key] == 1:
            logger.warning(f"{self}: dropped a packet ({error}); more of its kind are only counted")

    # -- settling

    def _flush_soon(self) -> None:
        if self._flush_handle is None and self._running:
            self._flush_handle = self._loop.call_soon(self._settle)

    def _settle(self) -> None:
        if not self._running:
            return
        if self._flush_handle:
            self._flush_handle.cancel()
            self._flush_handle = None
        self._unsent_msgs = self._unsent_bytes = 0
        for action in self.core.take_actions():
            self._do(action)
        for event in self.core.take_events():
            self._report(event)
        self._arm()

    def _do(self, action: Action) -> None:
        transport, me = self._transport, self.core.id
        match action:
            case Publish(reader, batch):
                transport.publish(wire.encode_data(batch, me, reader))
            case Send(dial, addressee, packet):
                self._send(dial, addressee, packet)
            case Dial(dial, endpoint):
                transport.dial(dial, endpoint)
            case Hangup(dial):
                transport.hangup(dial)
            case Attach(endpoint):
                transport.attach(endpoint)
            case Detach(endpoint):
                transport.detach(endpoint)
            case Probe(dial, endpoint):
                self._spawn(self._probe(dial, endpoint))

    def _send(self, dial: int, addressee: NodeId, packet: Packet) -> None:
        try:
            frame = wire.encode_system(packet, self.core.id, addressee)
        except WireError as error:  # thousands of channels or subscribers with long names
            self.core.counters["unsendable"] += 1
            logger.error(f"{self}: cannot tell a peer all of this node: {error}")
        else:
            self._transport.send(dial, frame)

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

    def _arm(self) -> None:
        deadline = self.core.deadline()
        if deadline is None:
            return
        if self._timer:
            if self._armed_at <= deadline:
                return
            self._timer.cancel()
        self._armed_at = max(deadline, self._now())
        self._timer = self._loop.call_at(self._armed_at, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self.core.advance(self._now())
        self._settle()

    async def _probe(self, dial: int, endpoint: str) -> None:
        if await probe(endpoint, self.config.grace_secs) == "refused":
            self.core.refused(dial, self._now())
            self._settle()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
