"""What a node's own sockets take in: from its ROUTER, XPUB and SUB."""

from __future__ import annotations

from collections import Counter
from typing import Protocol

import zmq

from zmqbus.net.sockets import Sock, take_single
from zmqbus.net.turns import Source


class Handler(Protocol):
    """What a transport tells its owner. Called from the loop, never from within a call to it."""

    def system_frame(self, frame: bytes, stranger: bytes, user: str) -> None:
        """A frame came in on the system plane; ``stranger`` is only good for `refuse`.

        ``user`` names the key that its sender has proven to hold; empty without keys.
        """

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

    def turned_away(self, text: str, endpoint: str | None) -> None:
        """Somebody was not let in; or this node was not, at an address that it dials."""

    def turn_done(self) -> None:
        """Everything of this turn has been told."""


class Guard(Protocol):
    """Who stands at a bound socket; asked of every frame, since keys may be revoked meanwhile."""

    def user_of(self, frame: zmq.Frame) -> str | None:
        """The name of the key that the sender holds; None if it is not admitted any more."""


class SystemIntake(Source):
    """The ROUTER: system frames of peers and strangers."""

    rank = 0

    def __init__(
        self,
        socket: Sock,
        batch_msgs: int,
        handler: Handler,
        counters: Counter[str],
        guard: Guard,
    ) -> None:
        super().__init__(socket, batch_msgs, self._tell)
        self._handler = handler
        self._counters = counters
        self._guard = guard
        self._stranger = b""
        self._user = ""

    def take(self) -> bytes | None:
        """Receive a frame, and remember who sent it."""
        self._stranger = self.socket.recv(zmq.DONTWAIT)
        frame = take_single(self.socket, self._counters)
        user = None if frame is None else self._guard.user_of(frame)
        if frame is None:
            return None
        if user is None:
            self._counters["revoked"] += 1
            return None
        self._user = user
        return frame.bytes

    def _tell(self, frame: bytes) -> None:
        self._handler.system_frame(frame, self._stranger, self._user)


class ReaderIntake(Source):
    """The XPUB: who reads what. Its first byte tells 1 for coming and 0 for going."""

    rank = 2

    def __init__(
        self,
        socket: Sock,
        batch_msgs: int,
        handler: Handler,
        counters: Counter[str],
        guard: Guard,
    ) -> None:
        super().__init__(socket, batch_msgs, self._tell)
        self._handler = handler
        self._counters = counters
        self._guard = guard

    def take(self) -> bytes | None:
        """Receive a subscription or its end."""
        frame = take_single(self.socket, self._counters)
        if frame is None:
            return None
        told = frame.bytes
        # That a connection has ended is told by libzmq, on nobody's behalf.
        is_going = told[:1] == b"\0"
        return told if is_going or self._guard.user_of(frame) is not None else None

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
