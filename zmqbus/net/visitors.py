"""Who knocks at a bound socket and is not let in: told apart, and named with its address.

Theory of operation. libzmq's monitor says that a connection was accepted, with its descriptor, that
some handshake failed or succeeded, without one, and that a descriptor was closed. All come in the
order in which the one I/O thread did them, and it closes a connection right after its handshake has
failed. So a failure belongs to the descriptor closed next, and a connection that ends while no
handshake has succeeded since it began was no member's, whatever libzmq says of it (of HTTP it says
nothing). Its address is asked of the descriptor at once; a stranger may be gone by then, but who
tries again is caught.

Some signs are sure, such as plain ZeroMQ. Others, such as hanging up in the middle, may also be a
member's, one that tries its second key, or only looks whether the port is open: see `names`.
"""

from __future__ import annotations

import errno
import socket
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

import zmq

SILENT_SECS = 0.4
"""After which a connection on which nothing was said is named."""
MAX_FRESH = 256
"""How many connections are watched for saying nothing. In a flood the oldest are not."""

EVENTS = (
    zmq.Event.ACCEPTED
    | zmq.Event.DISCONNECTED
    | zmq.Event.HANDSHAKE_SUCCEEDED
    | zmq.Event.HANDSHAKE_FAILED_NO_DETAIL
    | zmq.Event.HANDSHAKE_FAILED_PROTOCOL
    | zmq.Event.HANDSHAKE_FAILED_AUTH
)
"""What a monitor of a bound socket must tell."""


class Why(Enum):
    """Why somebody was not let in."""

    NOT_ADMITTED = "its key is not admitted here"
    OTHER_KEY = "it holds another mesh key"
    NO_KEY = "it speaks plain ZeroMQ, without a key"
    NEEDS_KEY = "it wants CURVE, and this node has no key"
    HUNG_UP = "it hung up in the middle of the handshake, as plain ZeroMQ without a key does"
    HUNG_UP_ON_PLAIN = "it hung up in the middle of the handshake, as whoever has a key does"
    SILENT = "it connects and says nothing"
    FOREIGN = "it does not speak ZeroMQ with CURVE"


_SURE = frozenset([Why.NOT_ADMITTED, Why.NO_KEY, Why.NEEDS_KEY])


@dataclass(frozen=True, slots=True)
class Stranger:
    """Somebody who was not let in.

    Parameters:
        address: Where it came from; with its port, where known.
        why: Why it was not let in.
    """

    address: str
    why: Why

    def __str__(self) -> str:
        return f"{self.address} was turned away: {self.why.value}"


@dataclass(slots=True)
class _Visit:
    address: str
    at: float
    successes: int


class Visitors:
    """The connections of one bound socket, and the strangers among them.

    Args:
        keyed: Whether the socket speaks CURVE.
        limit: How many connections there may be in all, and from one address half as many.
    """

    def __init__(self, *, keyed: bool, limit: int) -> None:
        self.port: int | str = 0
        self.keyed = keyed
        self.users: dict[int, str] = {}
        self._limit = limit
        self._visits: dict[int, _Visit] = {}
        self._hosts: Counter[str] = Counter()
        self._fresh: deque[tuple[int, _Visit]] = deque(maxlen=MAX_FRESH)
        self._successes = 0
        self._failure: Why | None = None
        self._is_told = False
        self._failed = 0

    def note(self, kind: int, value: int, now: float) -> tuple[Stranger, bool] | None:
        """Take an event; returns who was not let in, if somebody was, and whether that is sure."""
        match kind:
            case zmq.Event.ACCEPTED:
                self._accept(value, now)
            case zmq.Event.HANDSHAKE_SUCCEEDED:
                self._successes += 1
            case zmq.Event.DISCONNECTED:
                return self._end(value)
            case _ if kind & EVENTS:
                self._failed += 1
                self._failure, self._is_told = self._why(kind, value), True
        return None

    def take_failed(self) -> int:
        """How many were not let in, since this was last asked."""
        failed, self._failed = self._failed, 0
        return failed

    def silent(self, now: float) -> Iterator[Stranger]:
        """Those who connected a while ago and have said nothing."""
        while self._fresh and self._fresh[0][1].at + SILENT_SECS <= now:
            fd, visit = self._fresh.popleft()
            if self._visits.get(fd) is visit and visit.successes == self._successes:
                yield Stranger(visit.address, Why.SILENT)

    @property
    def waiting(self) -> bool:
        """Whether anybody may turn out to be `silent` later."""
        return bool(self._fresh)

    def hang_up(self, fd: int) -> None:
        """End a connection, if that descriptor is still one of this socket's."""
        connection = _connection(fd, self.port)
        if connection:
            with connection:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    return  # it has ended by itself

    @property
    def open_fds(self) -> list[int]:
        """The descriptors of all connections."""
        return list(self._visits)

    def _accept(self, fd: int, now: float) -> None:
        visit = _Visit(_address(fd, self.port), now, self._successes)
        self._forget(fd)
        self.users.pop(fd, None)
        self._visits[fd] = visit
        host = host_of(visit.address)
        self._hosts[host] += 1
        if len(self._visits) > self._limit or 2 * self._hosts[host] > self._limit:
            self._failed += 1
            self.hang_up(fd)
        elif self.keyed:
            self._fresh.append((fd, visit))

    def _forget(self, fd: int) -> _Visit | None:
        visit = self._visits.pop(fd, None)
        if visit:
            host = host_of(visit.address)
            self._hosts[host] -= 1
            if not self._hosts[host]:
                del self._hosts[host]
        return visit

    def _end(self, fd: int) -> tuple[Stranger, bool] | None:
        visit, why, is_told = self._forget(fd), self._failure, self._is_told
        self._failure, self._is_told = None, False
        if visit is None:
            return None
        if not is_told:
            if visit.successes != self._successes:
                return None
            self._failed += 1
            why = Why.FOREIGN if self.keyed else None
        return (Stranger(visit.address, why), why in _SURE) if why else None

    def _why(self, kind: int, value: int) -> Why | None:
        if kind == zmq.Event.HANDSHAKE_FAILED_AUTH:
            return Why.NOT_ADMITTED if self.keyed else None
        if kind == zmq.Event.HANDSHAKE_FAILED_PROTOCOL:
            if value == zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH:
                return Why.NO_KEY if self.keyed else Why.NEEDS_KEY
            if value == zmq.PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC:
                return Why.OTHER_KEY
            return Why.FOREIGN if self.keyed else None
        if self.keyed:
            return Why.HUNG_UP
        return Why.HUNG_UP_ON_PLAIN if value == errno.EPIPE else None


def host_of(address: str) -> str:
    """An address without its port."""
    return (address.rpartition(":")[0] or address).strip("[]")


def zap_host(address: str) -> str:
    """The same of an address as ZAP gives it: without a port, or user and process for ipc."""
    return "ipc" if address.startswith("localhost:") else address


UNKNOWN = "somebody who has gone"
"""In place of an address that could not be read in time."""


def _address(fd: int, port: int | str) -> str:
    connection = _connection(fd, port)
    if connection is None:
        return UNKNOWN
    with connection:
        try:
            peer = connection.getpeername()
        except OSError:
            return UNKNOWN
    if not isinstance(peer, tuple):
        return f"ipc://{port}"
    return f"[{peer[0]}]:{peer[1]}" if ":" in peer[0] else f"{peer[0]}:{peer[1]}"


def _connection(fd: int, port: int | str) -> socket.socket | None:
    """The connection behind a descriptor that libzmq may close, and use anew, at any time."""
    try:
        copy = socket.dup(fd)
    except OSError:
        return None
    try:
        connection = socket.socket(fileno=copy)
    except OSError:  # it is something else by now
        socket.close(copy)
        return None
    name = connection.getsockname()
    if (name[1] if isinstance(name, tuple) else name) == port:
        return connection
    connection.close()
    return None
