"""All sockets of one node on an asyncio loop: frames in, frames out.

Theory of operation. A ZeroMQ socket tells through a descriptor that *something* has happened to it,
once (edge-triggered): whoever sees it must drain the socket until it is dry, and any other call on
the socket may swallow the signal (Z12). So every socket has a mark, "stirred", set by its
descriptor and by our own calls, and cleared only by finding it dry. It is set from the start: the
signal for the first frame only comes to those who have looked before. A *turn* serves the stirred
sockets, the system plane first, and gives the loop back after a batch or a few milliseconds, even
if that leaves sockets stirred; then the next turn is already scheduled (Z13). This costs a fifth of
what `zmq.asyncio` does (Z14).

No call blocks: what must leave when a socket closes is left to libzmq's thread, for a bounded time.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from enum import Enum, auto
from functools import partial
from time import monotonic
from typing import Protocol

import zmq

from zmqbus.config import MeshConfig
from zmqbus.errors import InsecureBindError
from zmqbus.net.background import run_in_daemon
from zmqbus.net.binding import bind_beside, bind_error, numeric, told
from zmqbus.net.claim import PathClaim
from zmqbus.net.dial import Dial
from zmqbus.net.endpoint import DATA_SUFFIX, parse_advertise, parse_bind, parse_dialable
from zmqbus.net.readiness import Readiness
from zmqbus.net.sockets import Monitor, Sock, check_libzmq, new_context, new_socket

TURN_SECS = 0.005
"""How long a turn may keep the loop; each plane may use half of it. Longer: audio stutters."""
GOODBYE_SECS = 0.5
"""How long libzmq may take to send what a dial holds when it is hung up."""
TERM_SECS = 1.0
"""How long beyond its linger the end of a context may take before it is left alone."""
SUBSCRIPTION_BYTES = 4096
"""The largest frame taken from a reader: topics are short. Below about 500 no handshake fits."""

_FAILED_HANDSHAKES = (
    zmq.Event.HANDSHAKE_FAILED_NO_DETAIL
    | zmq.Event.HANDSHAKE_FAILED_PROTOCOL
    | zmq.Event.HANDSHAKE_FAILED_AUTH
)


class Handler(Protocol):
    """What a transport tells its owner. Called from the loop, never from within a call to it."""

    def system_frame(self, frame: bytes, stranger: bytes) -> None:
        """A frame came in on the system plane; ``stranger`` is only good for `refuse`."""

    def refusal_frame(self, dial: int, frame: bytes) -> None:
        """Whoever was dialled sent something back: nothing but a refusal (R2)."""

    def data_frame(self, frame: bytes) -> None:
        """A frame came in on the data plane, its topic included."""

    def link_up(self, dial: int) -> None:
        """The other side of a dial has completed ZeroMQ's handshake, for the first time or again.

        What was sent before may have been lost or may still arrive.
        """

    def link_down(self, dial: int, reason: str) -> None:
        """A link that was up has broken and is dialled again; or a dial could not even be tried."""

    def reader(self, topic: bytes, present: bool) -> None:
        """Somebody subscribed to a topic (each time), or the last one of its readers has gone."""

    def turn_done(self) -> None:
        """Everything of this turn has been delivered."""


class _Port(Enum):
    """The sockets that every node has once."""

    ROUTER = auto()
    PUB = auto()
    SUB = auto()
    STRANGERS = auto()


class Transport:
    """The sockets of one node. All calls from the loop that ran `open`.

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
        self._stirred: set[_Port] = set()
        self._stirred_dials: dict[int, Dial] = {}
        self._turn_handle: asyncio.Handle | None = None
        self._dials: dict[int, Dial] = {}
        self._failures: list[tuple[int, str]] = []
        self._sockets: list[Sock] = []
        self._monitors: list[Monitor] = []
        self._attached: set[str] = set()
        self._is_paused = False
        self._claim: PathClaim | None = None
        self.counters: Counter[str] = Counter()
        self.endpoints: tuple[str, ...] = ()
        self.data_endpoints: tuple[str, ...] = ()

    def __repr__(self) -> str:
        if not self._is_open:
            return "<Transport closed>"
        return (
            f"<Transport {self.endpoints[0]} [{len(self._dials)} dials, "
            f"{len(self._attached)} attached]>"
        )

    async def open(self) -> None:
        """Create the sockets and bind. Afterwards ``endpoints`` and ``data_endpoints`` are known.

        Raises:
            BindError: The address is taken, or not one of this machine.
            ConfigError: A name in ``bind`` or ``advertise`` does not resolve.
            LibzmqTooOldError: libzmq has known holes.
        """
        check_libzmq()
        at = await numeric(self._bind, "bind")
        self._loop = asyncio.get_running_loop()
        self._readiness = Readiness(self._loop)
        self._context = new_context(self._config)
        self._is_open = True
        try:
            self._make_sockets()
            if at.path:
                self._claim = PathClaim(at.path, at.path + DATA_SUFFIX)
            at, data_at = bind_beside(self._router, self._pub, at)
            self.endpoints, self.data_endpoints = await told(at, data_at, self._advertised)
        except zmq.ZMQError as error:
            await self.close(0)
            raise bind_error(at, error) from error
        except BaseException:
            await self.close(0)
            raise

    def _make_sockets(self) -> None:
        config = self._config
        self._router = router = self._new(zmq.ROUTER, _Port.ROUTER)
        router.setsockopt(zmq.ROUTER_MANDATORY, 1)
        router.setsockopt(zmq.RCVHWM, 2 * config.system_hwm_msgs)
        self._pub = pub = self._new(zmq.XPUB, _Port.PUB)
        pub.setsockopt(zmq.XPUB_VERBOSE, 1)
        pub.setsockopt(zmq.MAXMSGSIZE, SUBSCRIPTION_BYTES)
        # A mark may act at half its number; a peer beyond `window_msgs` counts as lagging.
        pub.setsockopt(zmq.SNDHWM, 2 * config.window_msgs)
        self._sub = self._new(zmq.SUB, _Port.SUB)
        self._sub.setsockopt(zmq.RCVHWM, config.window_msgs)
        for socket in (router, pub):
            monitor = Monitor(self._context, socket, _FAILED_HANDSHAKES)
            self._monitors.append(monitor)
            self._watch(monitor.socket, _Port.STRANGERS)

    def _new(self, kind: int, port: _Port) -> Sock:
        socket = new_socket(self._context, kind, self._config)
        self._sockets.append(socket)
        self._watch(socket, port)
        return socket

    def _watch(self, socket: Sock, port: _Port) -> None:
        self._readiness.watch(socket.fileno(), partial(self._wake, port))
        self._stir(port)

    async def close(self, linger_secs: float) -> None:
        """Close all; what has been sent may take ``linger_secs`` to leave. May be called twice.

        Returns in little more than that time, whatever the peers do (Z15). Before the first await
        the sockets are closed already, and the handler is told nothing more.
        """
        if not self._is_open:
            return
        self._is_open = False
        if self._turn_handle is not None:
            self._turn_handle.cancel()
        self._readiness.close()
        for dial in self._dials.values():
            dial.close(linger_secs)
        self._dials.clear()
        self._stirred_dials.clear()
        for monitor in self._monitors:
            monitor.close()
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
        try:
            self._dials[dial] = new = Dial(self._context, dial, parsed, self._config)
        except zmq.ZMQError as error:
            self._fail(dial, f"{endpoint} cannot be dialled: {error.strerror}")
            return
        for socket, has_news in ((new.socket, False), (new.monitor.socket, True)):
            self._readiness.watch(socket.fileno(), partial(self._wake_dial, new, has_news))
        self._stirred_dials[dial] = new
        self._schedule()

    def _fail(self, dial: int, reason: str) -> None:
        self.counters["failed_dials"] += 1
        self._tell_failure(dial, reason)

    def _tell_failure(self, dial: int, reason: str) -> None:
        self._failures.append((dial, reason))
        self._schedule()

    def hangup(self, dial: int) -> None:
        """End a link; what was sent on it may take `GOODBYE_SECS` to leave. Unknown: ignored."""
        old = self._dials.pop(dial, None)
        if old is not None:
            self._close_dial(old, GOODBYE_SECS)

    def _close_dial(self, dial: Dial, linger_secs: float) -> None:
        self._stirred_dials.pop(dial.number, None)
        self._readiness.unwatch(dial.socket.fileno())
        self._readiness.unwatch(dial.monitor.socket.fileno())
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
            self._stirred_dials[dial] = to
            self._schedule()
        else:
            self.counters["overflows"] += 1
            del self._dials[dial]
            self._close_dial(to, 0)
            self._tell_failure(dial, "its queue of system messages is full")
            self.dial(dial, str(to.endpoint))

    def refuse(self, stranger: bytes, frame: bytes) -> None:
        """Answer whoever sent a system frame, if it is still there (R2)."""
        try:
            self._router.send(stranger, zmq.DONTWAIT | zmq.SNDMORE)
            self._router.send(frame, zmq.DONTWAIT)
        except zmq.ZMQError:
            self.counters["unrefusable"] += 1
        self._stir(_Port.ROUTER)

    def publish(self, frame: bytes) -> None:
        """Send a frame to every reader of a topic that it starts with."""
        self._pub.send(frame, zmq.DONTWAIT)
        self._stir(_Port.PUB)

    # Receiving

    def attach(self, endpoint: str) -> None:
        """Read what a node publishes, from its data endpoint, through breaks of the connection."""
        parsed = parse_dialable(endpoint)
        if parsed is None or endpoint in self._attached:
            return
        self._sub.setsockopt(zmq.IPV6, ":" in parsed.host)
        try:
            self._sub.connect(str(parsed))
        except zmq.ZMQError:
            self.counters["failed_dials"] += 1
            return
        self._attached.add(endpoint)
        self._stir(_Port.SUB)

    def detach(self, endpoint: str) -> None:
        """Read it no more, not even what has already come. Unknown ones are ignored."""
        if endpoint in self._attached:
            self._attached.remove(endpoint)
            self._sub.disconnect(str(parse_dialable(endpoint)))
            self._stir(_Port.SUB)

    def subscribe(self, topic: bytes) -> None:
        """Take frames that start with a topic, from every node attached to."""
        self._sub.setsockopt(zmq.SUBSCRIBE, topic)
        self._stir(_Port.SUB)

    def unsubscribe(self, topic: bytes) -> None:
        """Take them no more; the undoing of one `subscribe`."""
        self._sub.setsockopt(zmq.UNSUBSCRIBE, topic)
        self._stir(_Port.SUB)

    def pause_data(self) -> None:
        """Leave data where it is, until the senders feel it (R18)."""
        if not self._is_paused:
            self._is_paused = True
            self._readiness.unwatch(self._sub.fileno())

    def resume_data(self) -> None:
        """Take data again."""
        if self._is_paused:
            self._is_paused = False
            self._watch(self._sub, _Port.SUB)

    # Turns

    def _wake(self, port: _Port) -> None:
        self._stirred.add(port)
        if self._turn_handle is None:
            self._turn()

    def _wake_dial(self, dial: Dial, has_news: bool) -> None:
        dial.has_news |= has_news
        self._stirred_dials[dial.number] = dial
        if self._turn_handle is None:
            self._turn()

    def _stir(self, port: _Port) -> None:
        self._stirred.add(port)
        self._schedule()

    def _schedule(self) -> None:
        if self._turn_handle is None:
            self._turn_handle = self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        """Serve what is stirred; what still is afterwards has another turn coming."""
        self._turn_handle = None
        try:
            if self._serve():
                self._handler.turn_done()
        finally:
            if self._is_open and (self._stirred or self._stirred_dials):
                self._schedule()

    def _serve(self) -> bool:
        """Serve each socket once, for a batch at most; True if the handler was told anything."""
        started = monotonic()
        told = self._tell_failures()
        told |= self._take_system(started + TURN_SECS / 2)
        for dial in tuple(self._stirred_dials.values()):
            told |= self._take_news(dial)
            told |= self._take_refusals(dial)
        if _Port.STRANGERS in self._stirred:
            self._count_strangers()
        if _Port.PUB in self._stirred:
            told |= self._take_readers()
        if _Port.SUB in self._stirred:
            told |= self._take_data(started + TURN_SECS)
        return told and self._is_open

    def _tell_failures(self) -> bool:
        failures, self._failures = self._failures, []
        for dial, reason in failures:
            self._handler.link_down(dial, reason)
        return bool(failures)

    def _take_system(self, until: float) -> bool:
        router = self._router
        for taken in range(self._config.batch_msgs):
            try:
                stranger = router.recv(zmq.DONTWAIT)
                frame = self._receive(router)
            except zmq.ZMQError:
                self._stirred.discard(_Port.ROUTER)
                return taken > 0
            if frame is not None:
                self._handler.system_frame(frame, stranger)
            if monotonic() >= until:
                break
        self._stirred.add(_Port.ROUTER)
        return True

    def _take_news(self, dial: Dial) -> bool:
        told = False
        if dial.has_news:
            for up in dial.changes():
                told = True
                if up:
                    self._handler.link_up(dial.number)
                else:
                    self._handler.link_down(dial.number, "the connection broke")
            dial.has_news = False
        return told

    def _take_refusals(self, dial: Dial) -> bool:
        for taken in range(self._config.batch_msgs):
            if self._dials.get(dial.number) is not dial:
                return taken > 0  # hung up by the handler
            if not dial.is_readable():
                self._stirred_dials.pop(dial.number, None)
                return taken > 0
            frame = self._receive(dial.socket)
            if frame is not None:
                self._handler.refusal_frame(dial.number, frame)
        return True

    def _count_strangers(self) -> None:
        self._stirred.discard(_Port.STRANGERS)
        for monitor in self._monitors:
            for _ in monitor.drain():
                self.counters["failed_handshakes"] += 1

    def _take_readers(self) -> bool:
        for taken in range(self._config.batch_msgs):
            try:
                frame = self._receive(self._pub)
            except zmq.ZMQError:
                self._stirred.discard(_Port.PUB)
                return taken > 0
            if frame and frame[0] <= 1:
                self._handler.reader(frame[1:], frame[0] == 1)
            elif frame is not None:
                self.counters["foreign"] += 1
        return True

    def _take_data(self, until: float) -> bool:
        receive, deliver = self._sub.recv, self._handler.data_frame
        for taken in range(self._config.batch_msgs):
            if self._is_paused:
                self._stirred.discard(_Port.SUB)
                return taken > 0
            try:
                frame = receive(zmq.DONTWAIT)
            except zmq.ZMQError:
                self._stirred.discard(_Port.SUB)
                return taken > 0
            # Parts of a message of several come as frames of their own: telling costs as much as
            # receiving, and whoever parses the frame has to judge it anyway.
            deliver(frame)
            if monotonic() >= until:
                break
        return True

    def _receive(self, socket: Sock) -> bytes | None:
        """The next frame; None in place of a message of several, which nobody here sends (R26)."""
        frame = socket.recv(zmq.DONTWAIT, copy=False)
        if not frame.more:
            return frame.bytes
        while frame.more:
            frame = socket.recv(zmq.DONTWAIT, copy=False)
        self.counters["multipart"] += 1
        return None
