"""Serving many sockets on one loop, in turns that never keep it for long.

Theory of operation. A ZeroMQ socket tells through its descriptor that *something* has happened to
it, once (edge-triggered): whoever sees it must drain the socket until it is dry, and any other call
on the socket may swallow the signal (Z12). So a socket is *stirred* by its descriptor and by our
own calls, and stays so until it was found dry. It is stirred from the start: the signal for the
first frame only comes to those who have looked before. A *turn* serves the stirred sockets in
their order and gives the loop back after a batch of each or a millisecond, in which all counts that
is done with a frame; if that leaves any stirred, the next turn is scheduled already (Z13).
This costs a fifth of what `zmq.asyncio` does (Z14).
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from operator import attrgetter
from time import monotonic

import zmq

from zmqbus.net.readiness import Readiness
from zmqbus.net.sockets import Sock

TURN_SECS = 0.001
"""How long a turn may keep the loop. Longer: a cancel waits; shorter: more turns for a flood."""

_EVENTS = int(zmq.EVENTS)  # a plain number is looked up in a third of the time
_by_rank = attrgetter("rank")


class Source(ABC):
    """A socket that is served in turns.

    Parameters:
        rank: Its place in a turn. The first takes half of the time at most.
        socket: The socket.
        batch_msgs: How many frames it may hand on in one turn.
        hand_on: What is done with a frame.
    """

    rank = 0

    def __init__(self, socket: Sock, batch_msgs: int, hand_on: Callable[[bytes], None]) -> None:
        self.socket = socket
        self.batch_msgs = batch_msgs
        self.hand_on = hand_on

    def has_come(self) -> bool:
        """Whether there is something to take; if not, the descriptor will tell (Z12)."""
        return bool(int(self.socket.getsockopt(_EVENTS)) & zmq.POLLIN)

    @abstractmethod
    def take(self) -> bytes | None:
        """Receive a frame; None for one that was dropped.

        Raises:
            zmq.ZMQError: There is none, or the socket is closed.
        """

    def serve(self, until: float) -> tuple[int, bool]:
        """Take and hand on, at least once and at most until a time.

        Returns:
            How many frames there were, and whether the socket is dry now.
        """
        for taken in range(self.batch_msgs):
            try:
                frame = self.take()
            except zmq.ZMQError:
                return taken, True
            if frame is not None:
                self.hand_on(frame)
            if monotonic() >= until:
                return taken + 1, False
        return self.batch_msgs, False


class Turns:
    """The turns of one transport."""

    def __init__(self, loop: asyncio.AbstractEventLoop, turn_done: Callable[[], None]) -> None:
        """Serve nothing yet.

        Args:
            loop: The loop that all is called from.
            turn_done: Called at the end of each turn that handed on anything.
        """
        self._loop = loop
        self._turn_done = turn_done
        self._readiness = Readiness(loop)
        self._stirred: set[Source] = set()
        self._calls: list[Callable[[], None]] = []
        self._handle: asyncio.Handle | None = None
        self._is_open = True

    def add(self, source: Source) -> None:
        """Serve a source whenever it is stirred, beginning with the next turn."""
        self._readiness.watch(source.socket.fileno(), partial(self._wake, source))
        self.stir(source)

    def remove(self, source: Source) -> None:
        """Serve it no more. To be called before its socket is closed."""
        self._readiness.unwatch(source.socket.fileno())
        self._stirred.discard(source)

    def stir(self, source: Source) -> None:
        """Have a source looked at, after a call on its socket that may have swallowed a signal."""
        self._stirred.add(source)
        if self._handle is None:
            self._schedule()

    def call(self, function: Callable[[], None]) -> None:
        """Call a function at the beginning of the next turn."""
        self._calls.append(function)
        if self._handle is None:
            self._schedule()

    def close(self) -> None:
        """Serve nothing any more; a turn under way ends with the frame it is at."""
        self._is_open = False
        self._readiness.close()
        self._stirred.clear()
        self._calls.clear()
        if self._handle is not None:
            self._handle.cancel()

    def _wake(self, source: Source) -> None:
        self._stirred.add(source)
        if self._handle is None:
            self._turn()

    def _schedule(self) -> None:
        self._handle = self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._handle = None
        try:
            if self._serve() and self._is_open:
                self._turn_done()
        finally:
            if self._stirred and self._handle is None and self._is_open:
                self._schedule()

    def _serve(self) -> bool:
        """Serve each stirred source once; True if anything was handed on."""
        now = monotonic()
        calls, self._calls = self._calls, []
        for call in calls:
            call()
        handed_on = len(calls)
        for source in sorted(self._stirred, key=_by_rank):
            if source in self._stirred:
                until = now + (TURN_SECS if source.rank else TURN_SECS / 2)
                taken, is_dry = source.serve(until)
                handed_on += taken
                if is_dry:
                    self._stirred.discard(source)
        return handed_on > 0
