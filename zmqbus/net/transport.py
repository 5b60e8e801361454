"""All sockets of one node on an asyncio loop: frames out, and (see `turns`) frames in.

No call blocks: what must leave when a socket closes is left to libzmq's thread, for a bounded time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Mapping
from functools import partial

import zmq

from zmqbus.config import MeshConfig
from zmqbus.errors import InsecureBindError
from zmqbus.keys import Keys
from zmqbus.net.attachments import Attachments
from zmqbus.net.attempts import Said
from zmqbus.net.background import run_in_daemon
from zmqbus.net.binding import Told, bind_beside, bind_error, numeric, told, told_of
from zmqbus.net.claim import PathClaim
from zmqbus.net.curve import Credentials, credentials, guard
from zmqbus.net.dials import Dials
from zmqbus.net.endpoint import DATA_SUFFIX, parse_advertise, parse_bind
from zmqbus.net.intake import DataIntake, Handler, ReaderIntake, SystemIntake
from zmqbus.net.sockets import Sock, check_libzmq, monitor, new_context, new_socket
from zmqbus.net.turns import Turns
from zmqbus.net.zap import Doorkeeper
from zmqbus.packets import NodeId

TERM_SECS = 1.0
"""How long beyond its linger the end of a context may take before it is left alone."""
SPARE_CONNECTIONS = 64
"""How many a bound socket takes beyond 2 for each peer, half of all from one address. A stranger's
costs 25 to 50 kB."""
SUBSCRIPTION_BYTES = 4096
"""The largest frame taken from a reader: topics are short. Below about 500 no handshake fits."""


class Transport:
    """The sockets of one node. All calls are for the loop that runs `open`, from then to `close`.

    ``counters`` counts by reason what was taken in and dropped, and what could not be done:
    ``multipart``, ``foreign`` (no subscription on the data plane's port), ``failed_handshakes``
    (strangers that do not speak ZeroMQ, or hold a wrong key), ``revoked`` (sent by who had just
    been turned out), ``unrefusable`` (a refusal whose addressee had gone), ``overflows``,
    ``failed_dials``, ``abandoned_contexts``. A frame over ``max_packet_bytes`` is not counted:
    libzmq cuts the connection and does not say why.

    Descriptors: about 15, and per peer 7: for a dial 4, to read its data 1, and for its own dial
    and reading 1 each.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        bind: str,
        advertise: str | None,
        config: MeshConfig,
        insecure: bool = False,
        keys: Keys | None = None,
    ) -> None:
        """Check the arguments; touches no socket and no loop (Z38).

        Args:
            handler: Whom to tell.
            bind: See `parse_bind`.
            advertise: See `parse_advertise`; None: what was bound.
            config: Tunables.
            insecure: Whether others than this machine may reach it without a key.
            keys: The keys to use and accept.

        Raises:
            ConfigError: An address does not parse or cannot be used.
            InsecureBindError: ``bind`` is reachable by others, and there is neither a key nor
                ``insecure``.
        """
        self._bind = parse_bind(bind)
        if not self._bind.is_local and not insecure and keys is None:
            raise InsecureBindError(bind)
        self._advertised = () if advertise is None else parse_advertise(advertise)
        self._handler = handler
        self._config = config
        self._is_open = False
        self._own: Credentials | None = credentials(keys) if keys else None
        self._sockets: list[Sock] = []
        self._monitored: list[Sock] = []
        self._claim: PathClaim | None = None
        self.counters: Counter[str] = Counter()
        self.told = Told()

    def __repr__(self) -> str:
        where = self.told.endpoints[0] if self._is_open and self.told.endpoints else "closed"
        attached = len(self._attachments) if self._is_open else 0
        dials = len(self._dials) if self._is_open else 0
        return f"<Transport {where} [{dials} dials, {attached} attached]>"

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        return self._bind.is_local

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Where peers reach the system plane, best first."""
        return self.told.endpoints

    @property
    def data_endpoints(self) -> tuple[str, ...]:
        """Where they reach the data plane, in the same order."""
        return self.told.data_endpoints

    @property
    def can_move(self) -> bool:
        """Whether what peers are told changes with the addresses of this machine."""
        return self._bind.is_wildcard and not self._advertised

    def look_around(self) -> bool:
        """See which addresses this machine has now; whether peers are to be told others then."""
        before, self.told = self.told, told_of(*self._at)
        return self.told != before

    async def open(self) -> None:
        """Create the sockets and bind. Afterwards it is known what peers are told, ``told``.

        Raises:
            BindError: The address is taken, or not one of this machine.
            ConfigError: A name in ``bind`` or ``advertise`` does not resolve.
            LibzmqTooOldError: libzmq has known holes.
        """
        check_libzmq()
        at = await numeric(self._bind, "bind")
        self._loop = asyncio.get_running_loop()
        self._turns = Turns(self._loop, self._handler.turn_done)
        self._context = new_context(self._config)
        self._door = Doorkeeper(self._context, self._own, self._knock)
        self._said = Said(self._handler.turned_away)
        common = self._handler, self.counters, self._turns, self._own, self._said
        self._dials = Dials(self._context, self._config, *common)
        self._is_open = True
        try:
            self._make_sockets()
            if at.path:
                self._claim = PathClaim(at.path, at.path + DATA_SUFFIX)
            self._listeners = bind_beside(self._system.socket, self._readers.socket, at)
            self._at = self._listeners[0].at, self._listeners[1].at
            for guarded, bound in zip(self._guarded, self._at, strict=True):
                guarded.visitors.port = bound.path or bound.port
            self._door.start()
            self.told = await told(*self._at, self._advertised)
        except zmq.ZMQError as error:
            await self.close(0)
            raise bind_error(at, error) from error
        except BaseException:
            await self.close(0)
            raise

    def _make_sockets(self) -> None:
        config, batch_msgs, turns = self._config, self._config.batch_msgs, self._turns
        self._door.listen()
        router = self._new_bound(zmq.ROUTER)
        router.setsockopt(zmq.ROUTER_MANDATORY, 1)
        router.setsockopt(zmq.RCVHWM, 4 * config.system_hwm_msgs)  # more than R16 allows
        pub = self._new_bound(zmq.XPUB)
        pub.setsockopt(zmq.XPUB_VERBOSE, 1)
        pub.setsockopt(zmq.MAXMSGSIZE, SUBSCRIPTION_BYTES)
        # A mark may act at half its number; a peer beyond `window_msgs` counts as lagging.
        pub.setsockopt(zmq.SNDHWM, 2 * config.window_msgs)
        self._monitored += router, pub
        most = 2 * config.max_peers + SPARE_CONNECTIONS
        self._guarded = tuple(self._door.watch(socket, most) for socket in (router, pub))
        served = batch_msgs, self._handler, self.counters
        self._system = SystemIntake(router, *served, self._guarded[0])
        self._readers = ReaderIntake(pub, *served, self._guarded[1])
        sub = self._new(zmq.SUB)
        # No mark, for R17 bounds what is on the way: at a mark libzmq hears no heartbeat either,
        # cuts the connection, and may abort the process when it is made again (libzmq#3937).
        sub.setsockopt(zmq.RCVHWM, 0)
        self._data = DataIntake(sub, batch_msgs, self._handler)
        self._attachments = self._watch_attachments(sub)
        for source in (self._system, self._readers, self._data, self._attachments):
            turns.add(source)

    def _watch_attachments(self, sub: Sock) -> Attachments:
        self._monitored.append(sub)
        pair = monitor(self._context, sub, Attachments.EVENTS)
        self._sockets.append(pair)
        stir = partial(self._turns.stir, self._data)
        return Attachments(
            sub, pair, self._config.batch_msgs, self._own, self._said, self.counters, stir
        )

    def _new_bound(self, kind: int) -> Sock:
        socket = self._new(kind)
        if self._own:
            guard(socket, self._own)
        return socket

    def _new(self, kind: int) -> Sock:
        socket = new_socket(self._context, kind, self._config)
        self._sockets.append(socket)
        return socket

    async def close(self, linger_secs: float) -> None:
        """Close all; what has been sent may take ``linger_secs`` to leave. May be called twice.

        Returns in little more than that time, whatever the peers do (Z15). Before the first await
        the sockets are closed already, and the handler is told nothing more.
        """
        if not self._is_open:
            return
        self._is_open = False
        self._turns.close()
        self._dials.close(linger_secs)
        for socket in self._monitored:
            socket.disable_monitor()
        self._door.end()
        for socket in self._sockets:
            socket.close(linger=round(linger_secs * 1000))
        try:
            async with asyncio.timeout(linger_secs + TERM_SECS):
                await run_in_daemon(self._end_context, "zmqbus-term")
        except TimeoutError:
            self.counters["abandoned_contexts"] += 1
        finally:
            if self._claim is not None:
                self._claim.release()
                self._claim = None

    def _end_context(self) -> None:
        self._door.join()
        self._context.term()

    # Sending

    def dial(self, dial: int, endpoint: str) -> None:
        """See `Dials.dial`."""
        self._dials.dial(dial, endpoint)

    def hangup(self, dial: int) -> None:
        """See `Dials.hangup`."""
        self._dials.hangup(dial)

    def send(self, dial: int, frame: bytes) -> None:
        """See `Dials.send`."""
        self._dials.send(dial, frame)

    def refuse(self, stranger: bytes, frame: bytes) -> None:
        """Answer whoever sent a system frame, if it is still there (R2)."""
        try:
            self._system.socket.send_multipart((stranger, frame), zmq.DONTWAIT)
        except zmq.ZMQError:
            self.counters["unrefusable"] += 1
        self._turns.stir(self._system)

    def publish(self, frame: bytes) -> None:
        """Send a frame to every reader of a topic that it starts with."""
        self._readers.socket.send(frame, zmq.DONTWAIT)
        if self._readers.has_come():
            self._turns.stir(self._readers)

    # Receiving

    def attach(self, endpoint: str) -> None:
        """Read what a node publishes, from its data endpoint, through breaks of the connection.

        Twice is once.
        """
        self._attachments.attach(endpoint)

    def detach(self, endpoint: str) -> None:
        """Read it no more, not even what has already come. Unknown ones are ignored."""
        self._attachments.detach(endpoint)

    def subscribe(self, topic: bytes) -> None:
        """Take frames that start with a topic, from every node attached to."""
        self._data.socket.setsockopt(zmq.SUBSCRIBE, topic)
        self._turns.stir(self._data)

    def unsubscribe(self, topic: bytes) -> None:
        """Take them no more; the undoing of one `subscribe`."""
        self._data.socket.setsockopt(zmq.UNSUBSCRIBE, topic)
        self._turns.stir(self._data)

    # Keys

    def rekey(self, keys: Keys, users: Mapping[NodeId, str]) -> list[NodeId]:
        """Go on with other keys: hang up on whom they do not admit, and connect anew where needed.

        Args:
            keys: The keys from now on.
            users: By which key each node has come in.

        Returns:
            The nodes that came in by a key that is admitted no more.

        Raises:
            zmq.ZMQError: Descriptors or sockets have run out.
        """
        own, old = credentials(keys), self._own
        assert old is not None, "keys are changed, not introduced"
        self._own = self._door.own = own
        if own.server != old.server:
            self._rebind(own)
        elif old.users - own.users:
            for guarded in self._guarded:
                guarded.turn_out()
        everywhere = (own.client, own.server) != (old.client, old.server)
        self._attachments.renew(own, everywhere)
        self._dials.renew(own, everywhere)
        return [node for node, user in users.items() if user not in own.users]

    def _rebind(self, own: Credentials) -> None:
        for source, listener in zip((self._system, self._readers), self._listeners, strict=True):
            guard(source.socket, own)
            listener.rebind()
            self._turns.stir(source)

    def _knock(self) -> None:
        """The doorkeeper, on its thread, has news."""
        with contextlib.suppress(RuntimeError):  # the loop has closed
            self._loop.call_soon_threadsafe(self._turns.call, self._hear_door)

    def _hear_door(self) -> None:
        if not self._is_open:
            return
        strangers, failed = self._door.take_news()
        self.counters["failed_handshakes"] += failed
        for stranger in strangers:
            self._handler.turned_away(str(stranger), None)
