"""All outgoing links of one node's system plane."""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial

import zmq

from zmqbus.config import MeshConfig
from zmqbus.net.attempts import Attempts, Said
from zmqbus.net.curve import Credentials
from zmqbus.net.dial import Dial
from zmqbus.net.endpoint import Endpoint, parse_dialable
from zmqbus.net.intake import Handler
from zmqbus.net.sockets import Context
from zmqbus.net.turns import Turns

GOODBYE_SECS = 0.5
"""How long libzmq may take to send what a dial holds when it is hung up."""


class Dials:
    """The dials by their numbers, made anew when libzmq gives them up or keys change.

    Args:
        context: The context of their sockets.
        config: Tunables.
        handler: Whom to tell of them.
        counters: Where to count what could not be done.
        turns: Serves their sockets.
        own: The keys to show.
        said: What has been said of addresses that will not have us.
    """

    def __init__(
        self,
        context: Context,
        config: MeshConfig,
        handler: Handler,
        counters: Counter[str],
        turns: Turns,
        own: Credentials | None,
        said: Said,
    ) -> None:
        self._context = context
        self._config = config
        self._handler = handler
        self._counters = counters
        self._turns = turns
        self._own = own
        self._said = said
        self._loop = asyncio.get_running_loop()
        self._dials: dict[int, Dial] = {}

    def __len__(self) -> int:
        return len(self._dials)

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

    def _connect(self, number: int, endpoint: Endpoint, attempts: Attempts | None = None) -> None:
        attempts = attempts or Attempts(str(endpoint), self._own, self._said)
        common = self._context, number, endpoint, self._config, self._handler, self._counters
        try:
            new = Dial(*common, attempts, self._dial_later)
        except zmq.ZMQError as error:
            self._fail(number, f"{endpoint} cannot be dialled: {error.strerror}")
            return
        self._dials[number] = new
        self._turns.add(new)
        self._turns.add(new.news)

    def _dial_later(self, dial: Dial, after_secs: float) -> None:
        self._loop.call_later(after_secs, self._dial_anew, dial)

    def _dial_anew(self, dial: Dial) -> None:
        """Put a new connection in place of one that libzmq has given up, or with another key."""
        if self._dials.get(dial.number) is dial:
            del self._dials[dial.number]
            self._close_dial(dial, 0)
            self._connect(dial.number, dial.endpoint, dial.attempts)

    def _fail(self, dial: int, reason: str) -> None:
        self._counters["failed_dials"] += 1
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
            self._counters["overflows"] += 1
            del self._dials[dial]
            self._close_dial(to, 0)
            reason = "its queue of system messages is full"
            self._turns.call(partial(self._handler.link_down, dial, reason))
            self._connect(dial, to.endpoint)

    def renew(self, own: Credentials, everywhere: bool) -> None:
        """Show other keys: at once where that matters, else when a connection is made anew."""
        self._own = own
        for dial in list(self._dials.values()):
            dial.attempts.renew(own)
            if everywhere or dial.attempts.is_outdated:
                self._redial(dial)

    def _redial(self, dial: Dial) -> None:
        if dial.news.is_up:
            reason = "it is made anew with another key"
            self._turns.call(partial(self._handler.link_down, dial.number, reason))
        self._dial_anew(dial)

    def close(self, linger_secs: float) -> None:
        """Close all; what has been sent may take ``linger_secs`` to leave."""
        for dial in self._dials.values():
            dial.close(linger_secs)
        self._dials.clear()
