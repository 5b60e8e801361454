"""One outgoing link of the system plane: a DEALER, its monitor, and what waits to be sent."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable

import zmq

from zmqbus.config import MeshConfig
from zmqbus.net.attempts import FAILURES, Attempts
from zmqbus.net.endpoint import Endpoint
from zmqbus.net.intake import Handler
from zmqbus.net.sockets import (
    Context,
    Sock,
    monitor,
    new_socket,
    parse_event,
    take_event,
    take_single,
)
from zmqbus.net.turns import Source

REFUSAL_BYTES = 4096
"""The largest frame taken from what is dialled, which says nothing but why it refuses."""


class Dial(Source):
    """A DEALER that connects to one endpoint, and again whenever the connection breaks.

    Frames leave in the order of `send`. What libzmq does not take waits in a queue of at most
    ``2 * system_hwm_msgs``; the core's own bound is half of that, so only a peer that does not
    read at all, or a core at fault, fills it.

    Costs 4 descriptors: the DEALER, two ends of the monitor, and the connection (Z31).
    """

    rank = 1

    def __init__(
        self,
        context: Context,
        number: int,
        endpoint: Endpoint,
        config: MeshConfig,
        handler: Handler,
        counters: Counter[str],
        attempts: Attempts,
        again: Callable[[Dial, float], None],
    ) -> None:
        """Create the sockets and start to connect.

        Args:
            context: The context to create them in.
            number: The caller's name for this dial.
            endpoint: Numeric tcp or ipc.
            config: Tunables.
            handler: Whom to tell of the link and of what comes back.
            counters: Where to count what is dropped.
            attempts: Which key to show, and what became of former ones.
            again: Called when libzmq will not try again, with this dial and when to make another.

        Raises:
            zmq.ZMQError: Descriptors or sockets have run out.
        """
        super().__init__(new_socket(context, zmq.DEALER, config), config.batch_msgs, self._tell)
        self.number = number
        self.endpoint = endpoint
        self.attempts = attempts
        self._again = again
        self._handler = handler
        self._counters = counters
        self._queue: deque[bytes] = deque()
        self._limit_msgs = 2 * config.system_hwm_msgs
        try:
            self.socket.setsockopt(zmq.SNDHWM, self._limit_msgs)
            self.socket.setsockopt(zmq.RCVHWM, 0)  # see `Transport` on libzmq#3937
            self.socket.setsockopt(zmq.MAXMSGSIZE, REFUSAL_BYTES)
            self.socket.setsockopt(zmq.IPV6, ":" in endpoint.host)
            attempts.present(self.socket)
            pair = monitor(context, self.socket, LinkNews.EVENTS)
        except zmq.ZMQError:
            self.socket.close(linger=0)
            raise
        self.news = LinkNews(pair, config.batch_msgs, number, handler, self)
        try:
            self.socket.connect(str(endpoint))
        except zmq.ZMQError:
            self.close(0)
            raise

    def send(self, frame: bytes) -> bool:
        """Send a frame, now or when there is room; False if the queue is full."""
        if not self._queue:
            try:
                self.socket.send(frame, zmq.DONTWAIT)
            except zmq.ZMQError:
                self._queue.append(frame)
            return True
        if len(self._queue) >= self._limit_msgs:
            return False
        self._queue.append(frame)
        return True

    def take(self) -> bytes | None:
        """Send what waits as far as there is room, then receive a frame.

        Only EVENTS is sure to process all that libzmq has for a socket, so it is asked last: then
        the descriptor will fire for what comes (Z12).
        """
        events = self._events()
        while self._queue and events & zmq.POLLOUT and self._flush():
            events = self._events()
        if not events & zmq.POLLIN:
            raise zmq.Again
        frame = take_single(self.socket, self._counters)
        return None if frame is None else frame.bytes

    def note_failure(self, kind: int, value: int) -> None:
        """A handshake has failed."""
        after_secs = self.attempts.failed(kind, value)
        if after_secs is not None:
            self._again(self, after_secs)

    def _tell(self, frame: bytes) -> None:
        self._handler.refusal_frame(self.number, frame)

    def _events(self) -> int:
        return int(self.socket.get(zmq.EVENTS))

    def _flush(self) -> bool:
        """Send what waits, as far as there is room; False if there was none at all."""
        waiting_msgs = len(self._queue)
        while self._queue:
            try:
                self.socket.send(self._queue[0], zmq.DONTWAIT)
            except zmq.ZMQError:
                break
            self._queue.popleft()
        return len(self._queue) < waiting_msgs

    def close(self, linger_secs: float) -> None:
        """Close, but let libzmq send what it holds for a while. Returns at once."""
        self._flush()
        self.socket.disable_monitor()
        self.news.socket.close(linger=0)
        self.socket.close(linger=round(linger_secs * 1000))


class LinkNews(Source):
    """The monitor of a dial: whether its link is up, and what was wrong if it is not."""

    rank = 1
    EVENTS = FAILURES | zmq.Event.HANDSHAKE_SUCCEEDED | zmq.Event.DISCONNECTED

    def __init__(
        self, socket: Sock, batch_msgs: int, number: int, handler: Handler, dial: Dial
    ) -> None:
        super().__init__(socket, batch_msgs, self._tell)
        self._number = number
        self._handler = handler
        self._dial = dial
        self.is_up = False

    def take(self) -> bytes:
        """Receive an event."""
        return take_event(self.socket)

    def _tell(self, event: bytes) -> None:
        kind, value = parse_event(event)
        if kind & FAILURES:
            self._dial.note_failure(kind, value)
            return
        is_up = kind == zmq.Event.HANDSHAKE_SUCCEEDED
        if is_up == self.is_up:
            return  # an attempt that failed
        self.is_up = is_up
        if is_up:
            self._dial.attempts.succeeded()
            self._handler.link_up(self._number)
        else:
            self._handler.link_down(self._number, "the connection broke")
