"""What a node's own sockets take in: from its ROUTER, XPUB and SUB, and from their monitors."""

from __future__ import annotations

from collections import Counter
from typing import Protocol

import zmq

from zmqbus.net.sockets import Sock, take_event, take_single
from zmqbus.net.turns import Source


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

        What was sent before may have been lost, or may still arrive.
        """

    def link_down(self, dial: int, reason: str) -> None:
        """A link that was up has broken and is dialled again; or a dial could not even be tried."""

    def reader(self, topic: bytes, present: bool) -> None:
        """Somebody subscribed to a topic (each time), or the last one of its readers has gone."""

    def turn_done(self) -> None:
        """Everything of this turn has been told."""


class SystemIntake(Source):
    """The ROUTER: system frames of peers and strangers."""

    rank = 0

    def __init__(
        self, socket: Sock, batch_msgs: int, handler: Handler, counters: Counter[str]
    ) -> None:
        super().__init__(socket, batch_msgs, self._tell)
        self._handler = handler
        self._counters = counters
        self._stranger = b""

    def take(self) -> bytes | None:
        """Receive a frame, and remember who sent it."""
        self._stranger = self.socket.recv(zmq.DONTWAIT)
        return take_single(self.socket, self._counters)

    def _tell(self, frame: bytes) -> None:
        self._handler.system_frame(frame, self._stranger)


class ReaderIntake(Source):
    """The XPUB: who reads what. Its first byte tells 1 for coming and 0 for going."""

    rank = 2

    def __init__(
        self, socket: Sock, batch_msgs: int, handler: Handler, counters: Counter[str]
    ) -> None:
        super().__init__(socket, batch_msgs, self._tell)
        self._handler = handler
        self._counters = counters

    def take(self) -> bytes | None:
        """Receive a subscription or its end."""
        return take_single(self.socket, self._counters)

    def _tell(self, frame: bytes) -> None:
        if frame[:1] in (b"\0", b"\1"):
            self._handler.reader(frame[1:], frame[0] == 1)
        else:
            self._counters["foreign"] += 1


class DataIntake(Source):
    """The SUB: data frames of peers.

    Parts of a message of several come as frames of their own: telling costs as much as receiving,
    and whoever parses the frame has to judge it anyway.
    """

    rank = 3

    def __init__(self, socket: Sock, batch_msgs: int, handler: Handler) -> None:
        super().__init__(socket, batch_msgs, handler.data_frame)

    def take(self) -> bytes:
        """Receive a frame."""
        return self.socket.recv(zmq.DONTWAIT)


class FailedHandshakes(Source):
    """The monitor of a bound socket: strangers that do not speak ZeroMQ, or hold a wrong key."""

    rank = 4
    EVENTS = (
        zmq.Event.HANDSHAKE_FAILED_NO_DETAIL
        | zmq.Event.HANDSHAKE_FAILED_PROTOCOL
        | zmq.Event.HANDSHAKE_FAILED_AUTH
    )

    def __init__(self, socket: Sock, batch_msgs: int, counters: Counter[str]) -> None:
        super().__init__(socket, batch_msgs, self._count)
        self._counters = counters

    def take(self) -> bytes:
        """Receive an event."""
        return take_event(self.socket)

    def _count(self, event: bytes) -> None:
        self._counters["failed_handshakes"] += 1
