"""One outgoing link of the system plane: a DEALER, its monitor, and what waits to be sent."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import zmq

from zmqbus.config import MeshConfig
from zmqbus.net.endpoint import Endpoint
from zmqbus.net.sockets import Context, Monitor, new_socket

_EVENTS = zmq.Event.HANDSHAKE_SUCCEEDED | zmq.Event.DISCONNECTED


class Dial:
    """A DEALER that connects to one endpoint, and again whenever the connection breaks.

    Frames leave in the order of `send`. What libzmq does not take waits in a queue of at most
    ``2 * system_hwm_msgs``; the core's own bound is half of that, so only a peer that does not
    read at all, or a core at fault, fills it.

    Costs 4 descriptors: the DEALER, two ends of the monitor, and the connection (Z31).
    """

    def __init__(
        self,
        context: Context,
        number: int,
        endpoint: Endpoint,
        config: MeshConfig,
    ) -> None:
        """Create the sockets and start to connect.

        Args:
            context: The context to create them in.
            number: The caller's name for this dial.
            endpoint: Numeric tcp or ipc.
            config: Tunables.

        Raises:
            zmq.ZMQError: Descriptors or sockets have run out.
        """
        self.number = number
        self.endpoint = endpoint
        self.up = False
        self.has_news = True
        self._queue: deque[bytes] = deque()
        self._limit_msgs = 2 * config.system_hwm_msgs
        self.socket = new_socket(context, zmq.DEALER, config)
        self.socket.setsockopt(zmq.SNDHWM, self._limit_msgs)
        self.socket.setsockopt(zmq.IPV6, ":" in endpoint.host)
        try:
            self.monitor = Monitor(context, self.socket, _EVENTS)
        except zmq.ZMQError:
            self.socket.close(linger=0)
            raise
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

    def flush(self) -> None:
        """Send what waits, as far as there is room."""
        while self._queue:
            try:
                self.socket.send(self._queue[0], zmq.DONTWAIT)
            except zmq.ZMQError:
                return
            self._queue.popleft()

    def is_readable(self) -> bool:
        """Process what libzmq has for this socket; True if frames wait to be received.

        Afterwards its descriptor will fire for what comes, and only then (Z12).
        """
        events = self._events()
        while self._queue and events & zmq.POLLOUT:
            self.flush()
            events = self._events()
        return bool(events & zmq.POLLIN)

    def _events(self) -> int:
        return int(self.socket.get(zmq.EVENTS))

    def changes(self) -> Iterator[bool]:
        """How ``up`` changes by what the monitor has to say, oldest change first."""
        for event in self.monitor.drain():
            up = event == zmq.Event.HANDSHAKE_SUCCEEDED
            if up != self.up:
                self.up = up
                yield up

    def close(self, linger_secs: float) -> None:
        """Close, but let libzmq send what it holds for a while. Returns at once."""
        self.flush()
        self.monitor.close()
        self.socket.close(linger=round(linger_secs * 1000))
