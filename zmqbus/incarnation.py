"""`Incarnation`: one life of a node (R1): one core on asyncio, with sockets, a clock and one timer.

After everything that goes into the core the node *settles*: it does what the core wants done,
hands on what the core reports, and re-arms the one timer. Messages sent within one turn of the
event loop leave together at its end, or earlier once they fill a packet.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine
from typing import Any

from loguru import logger

from zmqbus import wire
from zmqbus.bell import Bell
from zmqbus.config import MeshConfig
from zmqbus.core import Node
from zmqbus.core.channel import Channel
from zmqbus.core.outbox import (
    Action,
    Attach,
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
from zmqbus.errors import WireError
from zmqbus.keys import Keys, PublicKey
from zmqbus.net.probe import is_deserted
from zmqbus.net.transport import Transport
from zmqbus.packets import NOBODY, NodeId, Packet, Plane

_LOOK_AROUND_SECS = 1.0
"""How often the addresses of this machine are looked at; takes half a millisecond."""

_USERS_PER_PEER = 4
"""How many nodes' keys are remembered for each of ``max_peers``. Those of peers always are: whoever
flooded the memory with made-up nodes could else take the name of a real one."""


class Incarnation:
    """From `start` to `stop`; the `Handler` of its transport.

    Args:
        config: Tunables.
        report: Takes what happened.
        moved: Called when it is reached under other addresses than before.
        cut: Called when a link has broken: whoever it led to may be elsewhere.
        bind: See `MeshNode`.
        advertise: See `MeshNode`.
        insecure: See `MeshNode`.
        keys: The keys to begin with.

    Attributes:
        core: The decisions.
        transport: The sockets.
        bell: Rings whenever something came from a peer.
        running: Whether it was started and not stopped.
    """

    def __init__(
        self,
        config: MeshConfig,
        report: Callable[[Event], None],
        moved: Callable[[], None],
        cut: Callable[[], None],
        *,
        bind: str,
        advertise: str | None,
        insecure: bool,
        keys: Keys | None = None,
    ) -> None:
        seed = int.from_bytes(os.urandom(8))
        self.core = Node(NodeId(os.urandom(8)), config, seed=seed)
        self.transport = Transport(
            self, bind=bind, advertise=advertise, config=config, insecure=insecure, keys=keys
        )
        self.bell = Bell()
        self.running = False
        self._config = config
        self._report = report
        self._moved = moved
        self._cut = cut
        self._timer: asyncio.Handle | None = None
        self._armed_at = 0.0  # uvloop's handles do not tell
        self._flush_handle: asyncio.Handle | None = None
        self._room_msgs, self._room_bytes = config.batch_msgs, config.batch_bytes
        self._users: dict[NodeId, str] = {}
        self._refusing: dict[str, None] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    # -- life

    async def start(self) -> None:
        """Bind, and listen.

        Raises:
            BindError: The address is taken or not one of this machine.
        """
        self._loop = asyncio.get_running_loop()
        await self.transport.open()
        self.running = True
        self.core.start(self._where(), self.now())
        self.transport.subscribe(wire.reader_topic(self.core.id))
        if self.transport.can_move:
            self._spawn(self._look_around())

    def _where(self) -> Whereabouts:
        told = self.transport.told
        return Whereabouts(socket.gethostname(), os.getpid(), told.endpoints, told.data_endpoints)

    async def _look_around(self) -> None:
        """Notice when the addresses of this machine change: DHCP, Wi-Fi, sleep (R1a)."""
        while True:
            await asyncio.sleep(_LOOK_AROUND_SECS)
            before = self.transport.endpoints
            if not self.transport.look_around():
                continue
            if self.transport.endpoints != before:
                logger.info(f"{self.core}: is at {', '.join(self.transport.endpoints)} now")
                self.core.moved(self._where(), self.now())
                self.settle()
            self._moved()

    async def stop(self) -> None:
        """Say goodbye and close."""
        self.core.leave("it said goodbye")
        self.settle()
        self.running = False
        for handle in (self._timer, self._flush_handle):
            if handle:
                handle.cancel()
        self._timer = self._flush_handle = None
        for task in self._tasks:
            task.cancel()
        self.bell.ring()
        await self.transport.close(min(0.5, self._config.linger_secs))

    def now(self) -> float:
        """The time of the core."""
        return self._loop.time()

    async def news(self, deadline: float) -> bool:
        """Wait until something came from a peer; False once the time is over."""
        remaining_secs = deadline - self.now()
        return self.running and remaining_secs > 0 and await self.bell.wait(remaining_secs)

    def publish(
        self,
        channel: Channel,
        plane: Plane,
        audience: tuple[NodeId, ...] | None,
        body: bytes,
        expires_at: float,
        note: object,
    ) -> None:
        """See `MeshNode.publish`."""
        self.core.publish(channel, plane, audience, body, expires_at, note)
        self._room_msgs -= 1
        self._room_bytes -= len(body)
        if plane is Plane.SYSTEM or self._room_msgs <= 0 or self._room_bytes <= 0:
            self.settle()
        elif self._flush_handle is None:
            self.settle_soon()

    # -- transport.Handler

    def system_frame(self, frame: bytes, stranger: bytes, user: str) -> None:
        """A frame came in on the system plane."""
        try:
            sender, addressee, packet = wire.decode_system(frame)
        except WireError as error:
            self._count_bad(error)
            return
        if user and not self._is_from(sender, user):
            return
        refuse = self.core.receive(packet, sender, addressee, self.now())
        self._hand_on()
        if refuse:
            self.transport.refuse(stranger, wire.encode_system(refuse, self.core.id, sender))

    def _is_from(self, sender: NodeId, user: str) -> bool:
        """Whether a node speaks with the key that it began with (R31a); mesh keys may change."""
        known = self._users.get(sender)
        if known is None:
            self._users[sender] = user
            if len(self._users) > _USERS_PER_PEER * self._config.max_peers:
                del self._users[next(n for n in self._users if n not in self.core.peers)]
        elif known != user and PublicKey.is_name(known):
            self.core.counters["other_key"] += 1
            return False
        else:
            self._users[sender] = user
        return True

    def rekey(self, keys: Keys) -> None:
        """Go on with other keys, and part with those whom they do not admit."""
        for node in self.transport.rekey(keys, self._users):
            self.core.expel(node, "its key is not admitted here any more", self.now())
            del self._users[node]
        self.settle()

    def refusal_frame(self, dial: int, frame: bytes) -> None:
        """Whoever was dialled sent something back."""
        try:
            _, _, packet = wire.decode_system(frame)
        except WireError as error:
            self._count_bad(error)
            return
        self.core.refusal(dial, packet, self.now())

    def data_frame(self, frame: bytes) -> None:
        """A frame came in on the data plane."""
        try:
            sender, reader, batch = wire.decode_data(frame)
        except WireError as error:
            self._count_bad(error)
            return
        self.core.receive(batch, sender, reader or NOBODY, self.now())
        self._hand_on()

    def link_up(self, dial: int) -> None:
        """The other side of a dial has completed the handshake."""
        self.core.link_up(dial, self.now())

    def link_down(self, dial: int, reason: str) -> None:
        """A link has broken."""
        self.core.link_down(dial, self.now())
        self._cut()

    def reader(self, topic: bytes, present: bool) -> None:
        """Somebody subscribed to a topic, or the last of its readers has gone."""
        node = wire.parse_reader_topic(topic)
        if node is not None:
            self.core.reader(node, present, self.now())

    def turned_away(self, text: str, endpoint: str | None) -> None:
        """Somebody was not let in; or this node was not, at an address that it dials."""
        if endpoint is not None:
            self._refusing[endpoint] = None
            if len(self._refusing) > self._config.max_dials:
                del self._refusing[next(iter(self._refusing))]
        self._report(PeerRefused(None, None, text))

    def turn_done(self) -> None:
        """Everything of this turn has been delivered."""
        self.settle()
        self.bell.ring()

    def _count_bad(self, error: WireError) -> None:
        key = f"wire_{error.reason}"
        self.core.counters[key] += 1
        if self.core.counters[key] == 1:
            logger.warning(
                f"{self.core}: dropped a packet ({error}); more of its kind are only counted"
            )

    # -- settling

    def settle_soon(self) -> None:
        """Settle at the end of this turn of the loop."""
        if self._flush_handle is None and self.running:
            self._flush_handle = self._loop.call_soon(self.settle)

    def settle(self) -> None:
        """Do what the core wants done, report what happened, re-arm the timer."""
        if not self.running:
            return
        if self._flush_handle:
            self._flush_handle.cancel()
            self._flush_handle = None
        self._room_msgs, self._room_bytes = self._config.batch_msgs, self._config.batch_bytes
        for action in self.core.take_actions():
            self._do(action)
        self._hand_on()
        self._arm()

    def _hand_on(self) -> None:
        """Report what happened; of what came in at once, so that decoding counts in the turn."""
        for event in self.core.take_events():
            if not (isinstance(event, DialFailed) and event.endpoint in self._refusing):
                self._report(event)

    def _do(self, action: Action) -> None:
        transport, me = self.transport, self.core.id
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
            logger.error(f"{self.core}: cannot tell a peer all of this node: {error}")
        else:
            self.transport.send(dial, frame)

    def _arm(self) -> None:
        deadline = self.core.deadline()
        if deadline is None:
            return
        if self._timer:
            if self._armed_at <= deadline:
                return
            self._timer.cancel()
        self._armed_at = max(deadline, self.now())
        self._timer = self._loop.call_at(self._armed_at, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self.core.advance(self.now())
        self.settle()

    async def _probe(self, dial: int, endpoint: str) -> None:
        if await is_deserted(endpoint, self._config.grace_secs):
            self.core.refused(dial, self.now())
            self.settle()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
