"""Tells when a file descriptor becomes readable, on every kind of event loop.

`loop.add_reader` where there is one. Windows' Proactor loop has none (Z17): there a thread selects
and posts into the loop. A descriptor it has reported is left out until its callback has run, so
that the thread does not spin meanwhile.
"""

from __future__ import annotations

import asyncio
import select
import socket
import threading
from collections.abc import Callable

Callback = Callable[[], None]


class Readiness:
    """Watches descriptors of one loop. Only to be called from that loop's thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Watch nothing yet.

        Args:
            loop: The loop that callbacks run in.
        """
        self._loop = loop
        self._watched: set[int] = set()
        self._poller: _Poller | None = None

    def watch(self, fd: int, callback: Callback) -> None:
        """Call ``callback`` in the loop whenever ``fd`` is readable, until `unwatch`."""
        self._watched.add(fd)
        if self._poller is None:
            try:
                self._loop.add_reader(fd, callback)
                return
            except NotImplementedError:
                self._poller = _Poller(self._loop)
        self._poller.watch(fd, callback)

    def unwatch(self, fd: int) -> None:
        """Forget a descriptor; to be called before it is closed. Unknown ones are ignored."""
        if fd not in self._watched:
            return
        self._watched.remove(fd)
        if self._poller is not None:
            self._poller.unwatch(fd)
        elif not self._loop.is_closed():
            self._loop.remove_reader(fd)

    def close(self) -> None:
        """Forget every descriptor and end the thread, if there is one."""
        for fd in tuple(self._watched):
            self.unwatch(fd)
        if self._poller is not None:
            self._poller.close()
            self._poller = None


class _Poller:
    """A thread that selects on behalf of a loop that cannot.

    Invariant: ``_armed`` is a subset of the keys of ``_callbacks``; what is missing in it has been
    reported and its callback has not run yet. Windows selects on 512 sockets at most.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._callbacks: dict[int, Callback] = {}
        self._armed: set[int] = set()
        self._lock = threading.Lock()
        self._open = True
        self._waker, self._alarm = socket.socketpair()
        self._waker.setblocking(False)
        self._alarm.setblocking(False)
        self._thread = threading.Thread(target=self._run, name="zmqbus-poller", daemon=True)
        self._thread.start()

    def watch(self, fd: int, callback: Callback) -> None:
        self._callbacks[fd] = callback
        self._arm(fd)

    def unwatch(self, fd: int) -> None:
        del self._callbacks[fd]
        with self._lock:
            self._armed.discard(fd)
        self._wake()

    def close(self) -> None:
        self._open = False
        self._wake()
        self._thread.join()
        self._waker.close()
        self._alarm.close()

    def _arm(self, fd: int) -> None:
        with self._lock:
            self._armed.add(fd)
        self._wake()

    def _wake(self) -> None:
        try:
            self._waker.send(b"\0")
        except BlockingIOError:
            return  # full of wake-up calls already

    def _run(self) -> None:
        while self._open:
            ready = self._select()
            with self._lock:
                ready = [fd for fd in ready if fd in self._armed]
                self._armed.difference_update(ready)
            if ready:
                try:
                    self._loop.call_soon_threadsafe(self._dispatch, ready)
                except RuntimeError:  # the loop has closed
                    return

    def _select(self) -> list[int]:
        with self._lock:
            armed = list(self._armed)
        alarm = self._alarm.fileno()
        try:
            ready, _, _ = select.select([alarm, *armed], [], [])
        except OSError:
            return []  # one was closed right after `unwatch`: it is not armed any more
        if alarm in ready:
            self._alarm.recv(4096)
        return ready

    def _dispatch(self, ready: list[int]) -> None:
        for fd in ready:
            callback = self._callbacks.get(fd)
            if callback is None:
                continue
            try:
                callback()
            finally:
                if fd in self._callbacks:
                    self._arm(fd)
