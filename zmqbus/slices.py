"""Work that is done in the order it came, in slices that never keep the loop for long."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Generic, TypeVar

SLICE_SECS = 0.001
"""How long a slice may take. Longer: what is urgent waits; shorter: more turns of the loop."""

T = TypeVar("T")


class Slices(Generic[T]):
    """A queue whose items are worked on at once while there is time, and else in the next turns.

    A peer that was held up may deliver thousands of messages in one go, and to decode them takes
    longer than anybody should wait for a cancel.

    Args:
        work: What is done with an item.
        done: Called after each slice.
    """

    def __init__(self, work: Callable[[T], None], done: Callable[[], None]) -> None:
        self._work = work
        self._done = done
        self._items: deque[T] = deque()
        self._handle: asyncio.Handle | None = None

    def __len__(self) -> int:
        return len(self._items)

    def add(self, items: Iterable[T]) -> None:
        """Work on these after those that wait."""
        self._items.extend(items)
        if self._handle is None:
            self._slice()

    def finish(self) -> None:
        """Work on all that waits, however long it takes."""
        while self._items:
            self._work(self._items.popleft())

    def clear(self) -> None:
        """Drop all that waits."""
        self._items.clear()
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _slice(self) -> None:
        self._handle = None
        until = monotonic() + SLICE_SECS
        while self._items:
            self._work(self._items.popleft())
            if monotonic() >= until:
                break
        if self._items:
            self._handle = asyncio.get_running_loop().call_soon(self._slice)
        self._done()
