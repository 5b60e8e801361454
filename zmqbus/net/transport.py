"""All sockets of one node on an asyncio loop: frames out, and (see `turns`) frames in.

No call blocks: what must leave when a socket closes is left to libzmq's thread, for a bounded time.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial

import zmq

from zmqbus.config import MeshConfig
from zmqbus.errors import InsecureBindError
from zmqbus.net.background import run_in_daemon
from zmqbus.net.binding import Told, bind_beside, bind_error, numeric, told, told_of
from zmqbus.net.claim import PathClaim
from zmqbus.net.dial import Dial
from zmqbus.net.endpoint import DATA_SUFFIX, Endpoint, parse_advertise, parse_bind, parse_dialable
from zmqbus.net.intake import DataIntake, FailedHandshakes, Handler, ReaderIntake, SystemIntake
from zmqbus.net.sockets import Sock, check_libzmq, monitor, new_context, new_socket
from zmqbus.net.turns import Turns

GOODBYE_SECS = 0.5
"""How long libzmq may take to send what a dial holds when it is hung up."""
TERM_SECS = 1.0
"""How long beyond its linger the end of a context may take before it is left alone."""
SUBSCRIPTION_BYTES = 4096
"""The largest frame taken from a reader: topics are short. Below about 500 no handshake fits."""


class Transport:
    """The sockets of one node. All calls are for the loop that runs `open`, from then to `close`.

    ``counters`` counts by reason what was taken in and dropped, and what could not be done:
    ``multipart``, ``foreign`` (no subscription on the data plane's port), ``failed_handshakes``
    (strangers that do not speak ZeroMQ, or hold a wrong key), ``unrefusable`` (a refusal whose
    addressee had gone), ``overflows``, ``failed_dials``, ``abandoned_contexts``. A frame over
    ``max_packet_bytes`` is not counted: libzmq cuts the connection and does not say why.

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
    ) -> None:
        """Check the arguments; touches no socket and no loop (Z38).

        Args:
            handler: Whom to tell.
            bind: See `parse_bind`.
            advertise: See `parse_advertise`; None: what was bound.
            config: Tunables.
            insecure: Whether others than this machine may reach it without a key.

        Raises:
            ConfigError: An address does not parse or cannot be used.
            InsecureBindError: ``bind`` is reachable by others and ``insecure`` is not set.
        """
        self._bind = parse_bind(bind)
        if not self._bind.is_local and not insecure:
            raise InsecureBindError(bind)
        self._advertised = parse_advertise(advertise) if advertise else ()
        self._handler = handler
        self._config = config
        self._is_open = False
        self._dials: dict[int, Dial] = {}
        self._attached: set[str] = set()
        self._sockets: list[Sock] = []
        self._monitored: list[Sock] = []
        self._claim: PathClaim | None = None
        self.counters: Counter[str] = Counter()
        self.told = Told()

    def __repr__(self) -> str:
        where = self.told.endpoints[0] if self._is_open and self.told.endpoints else "closed"
        return f"<Transport {where} [{len(self._dials)} dials, {len(self._attached)} attached]>"

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
        self._turns = Turns(asyncio.get_running_loop(), self._handler.turn_done)
        self._context = new_context(self._config)
        self._is_open = True
        try:
            self._make_sockets()
            if at.path:
                self._claim = PathClaim(at.path, at.path + DATA_SUFFIX)
            self._at = bind_beside(self._system.socket, self._readers.socket, at)
            self.told = await told(*self._at, self._advertised)
        except zmq.ZMQError as error:
            await self.close(0)
            raise bind_error(at, error) from error
        except BaseException:
            await self.close(0)
            raise

    def _make_sockets(self) -> None:
        config, batch_msgs, turns = self._config, self._config.batch_msgs, self._turns
        router = self._new(zmq.ROUTER)
        router.setsockopt(zmq.ROUTER_MANDATORY, 1)
        router.setsockopt(zmq.RCVHWM, 2 * config.system_hwm_msgs)
        self._system = SystemIntake(router, batch_msgs, self._handler, self.counters)
        pub = self._new(zmq.XPUB)
        pub.setsockopt(zmq.XPUB_VERBOSE, 1)
        pub.setsockopt(zmq.MAXMSGSIZE, SUBSCRIPTION_BYTES)
        # A mark may act at half its number; a peer beyond `window_msgs` counts as lagging.
        pub.setsockopt(zmq.SNDHWM, 2 * config.window_msgs)
        self._readers = ReaderIntake(pub, batch_msgs, self._handler, self.counters)
        sub = self._new(zmq.SUB)
        sub.setsockopt(zmq.RCVHWM, config.window_msgs)
        self._data = DataIntake(sub, batch_msgs, self._handler)
        for source in (self._system, self._readers, self._data):
            turns.add(source)
        for socket in (router, pub):
            pair = monitor(self._context, socket, FailedHandshakes.EVENTS)
            self._monitored.append(socket)
            self._sockets.append(pair)
            turns.add(FailedHandshakes(pair, batch_msgs, self.counters))

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
        for dial in self._dials.values():
            dial.close(linger_secs)
        self._dials.clear()
        for socket in self._monitored:
            socket.disable_monitor()
        for socket in self._sockets:
            socket.close(linger=round(linger_secs * 1000))
        try:
            async with asyncio.timeout(linger_secs + TERM_SECS):
                await run_in_daemon(self._context.term, "zmqbus-term")
        except TimeoutError:
            self.counters["abandoned_contexts"] += 1
        finally:
            if self._claim is not None:
                self._claim.release()
                self._claim = None

    # Sending

    def dial(self, dial: int, endpoint: str) -> None:
        """Connect to the ROUTER of another node, and again whenever the connection breaks.

        Args:
            dial: A number of the caller's for this link, not in use.
            endpoint: Numeric tcp or ipc. For anything else, and when descriptors have run out
                (Z31), `Handler.link_down` tells the reason, and the number is free again.
        """
        assert dial not in self._dials, f"dial {dial} is in use"
        parsed = parse_dialable(endpoint)
        if parsed is None:
            self._fail(dial, f"{endpoint} is no address that can be dialled")
            return
        self._connect(dial, parsed)

    def _connect(self, number: int, endpoint: Endpoint) -> None:
        try:
            new = Dial(self._context, number, endpoint, self._config, self._handler, self.counters)
        except zmq.ZMQError as error:
            self._fail(number, f"{endpoint} cannot be dialled: {error.strerror}")
            return
        self._dials[number] = new
        self._turns.add(new)
        self._turns.add(new.news)

    def _fail(self, dial: int, reason: str) -> None:
        self.counters["failed_dials"] += 1
        self._turns.call(partial(self._handler.link_down, dial, reason))

    def hangup(self, dial: int) -> None:
        """End a link; what was sent on it may take `GOODBYE_SECS` to leave. Unknown: ignored."""
        old = self._dials.pop(dial, None)
        if old is not None:
            self._close_dial(old, GOODBYE_SECS)

    def _close_dial(self, dial: Dial, linger_secs: float) -> None:
        self._turns.remove(dial)
        self._turns.remove(dial.news)
        dial.close(linger_secs)

    def send(self, dial: int, frame: bytes) -> None:
        """Send a frame on the system plane. Never blocks; order is kept.

        When even the queue of the dial is full, all that waits is dropped, and the link is cut and
        dialled anew: `Handler.link_down`, later ``link_up``. Sending on an unknown dial does
        nothing.
        """
        to = self._dials.get(dial)
        if to is None:
            return
        if to.send(frame):
            self._turns.stir(to)
        else:
            self.counters["overflows"] += 1
            del self._dials[dial]
            self._close_dial(to, 0)
            reason = "its queue of system messages is full"
            self._turns.call(partial(self._handler.link_down, dial, reason))
            self._connect(dial, to.endpoint)

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
        self._turns.stir(self._readers)

    # Receiving

    def attach(self, endpoint: str) -> None:
        """Read what a node publishes, from its data endpoint, through breaks of the connection.

        Twice is once: libzmq ignores a second connect of a SUB to the same endpoint.
        """
        parsed = parse_dialable(endpoint)
        if parsed is None:
            return
        self._data.socket.setsockopt(zmq.IPV6, ":" in parsed.host)
        try:
            self._data.socket.connect(str(parsed))
        except zmq.ZMQError:
            self.counters["failed_dials"] += 1
            return
        self._attached.add(endpoint)
        self._turns.stir(self._data)

    def detach(self, endpoint: str) -> None:
        """Read it no more, not even what has already come. Unknown ones are ignored."""
        if endpoint in self._attached:
            self._attached.remove(endpoint)
            self._data.socket.disconnect(str(parse_dialable(endpoint)))
            self._turns.stir(self._data)

    def subscribe(self, topic: bytes) -> None:
        """Take frames that start with a topic, from every node attached to."""
        self._data.socket.setsockopt(zmq.SUBSCRIBE, topic)
        self._turns.stir(self._data)

    def unsubscribe(self, topic: bytes) -> None:
        """Take them no more; the undoing of one `subscribe`."""
        self._data.socket.setsockopt(zmq.UNSUBSCRIBE, topic)
        self._turns.stir(self._data)
