"""What the one SUB of a node reads: each publisher by its own connection, with its own key."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

import zmq

from zmqbus.net.attempts import FAILURES, Attempts, Said
from zmqbus.net.curve import Credentials
from zmqbus.net.endpoint import parse_dialable
from zmqbus.net.sockets import Sock, parse_event, take_event_of
from zmqbus.net.turns import Source


class Attachments(Source):
    """The connections of a SUB, and its monitor.

    Args:
        sub: The SUB.
        pair: Its monitor.
        batch_msgs: How many events to take in one turn.
        own: The node's credentials; None without a key.
        said: Where to say what is wrong.
        counters: Where to count what could not be done.
        stir: Called after each call on the SUB, which may have swallowed a signal (see `turns`).
    """

    rank = 4
    EVENTS = FAILURES | zmq.Event.HANDSHAKE_SUCCEEDED

    def __init__(
        self,
        sub: Sock,
        pair: Sock,
        batch_msgs: int,
        own: Credentials | None,
        said: Said,
        counters: Counter[str],
        stir: Callable[[], None],
    ) -> None:
        super().__init__(pair, batch_msgs, self._tell)
        self._sub = sub
        self._own = own
        self._said = said
        self._counters = counters
        self._stir = stir
        self._attempts: dict[str, Attempts] = {}
        self._connected: set[str] = set()

    def __len__(self) -> int:
        return len(self._attempts)

    def attach(self, endpoint: str) -> None:
        """Read what a node publishes there, through breaks of the connection; twice is once."""
        parsed = parse_dialable(endpoint)
        if parsed is not None and str(parsed) not in self._attempts:
            attempts = self._attempts[str(parsed)] = Attempts(str(parsed), self._own, self._said)
            if not self._connect(attempts):
                del self._attempts[str(parsed)]

    def detach(self, endpoint: str) -> None:
        """Read it no more, not even what has already come. Unknown ones are ignored."""
        parsed = parse_dialable(endpoint)
        if parsed is not None and self._attempts.pop(str(parsed), None) is not None:
            self._disconnect(str(parsed))

    def renew(self, own: Credentials, everywhere: bool) -> None:
        """Go on with other credentials, and connect anew, everywhere or where they are needed."""
        self._own = own
        for attempts in list(self._attempts.values()):
            attempts.renew(own)
            if everywhere or attempts.is_outdated:
                self._disconnect(attempts.endpoint)
                self._again(attempts)

    def _connect(self, attempts: Attempts) -> bool:
        self._sub.setsockopt(zmq.IPV6, "[" in attempts.endpoint)
        attempts.present(self._sub)
        try:
            self._sub.connect(attempts.endpoint)
        except zmq.ZMQError:
            self._counters["failed_dials"] += 1
            return False
        self._connected.add(attempts.endpoint)
        self._stir()
        return True

    def _disconnect(self, endpoint: str) -> None:
        if endpoint in self._connected:
            self._connected.remove(endpoint)
            self._sub.disconnect(endpoint)
            self._stir()

    def take(self) -> bytes:
        """Receive an event, with the address it is about behind it."""
        return take_event_of(self.socket)

    def _tell(self, event: bytes) -> None:
        kind, value = parse_event(event[:6])
        attempts = self._attempts.get(event[6:].decode("utf-8", "replace"))
        if attempts is None:
            return
        if kind == zmq.Event.HANDSHAKE_SUCCEEDED:
            attempts.succeeded()
            return
        after_secs = attempts.failed(kind, value)
        if after_secs is not None:
            self._disconnect(attempts.endpoint)
            asyncio.get_running_loop().call_later(after_secs, self._again, attempts)

    def _again(self, attempts: Attempts) -> None:
        current = self._attempts.get(attempts.endpoint)
        if current is attempts and not self._sub.closed and self._connect(attempts):
            return
        if current is attempts:
            del self._attempts[attempts.endpoint]
