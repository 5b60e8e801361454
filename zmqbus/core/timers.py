"""Deadlines by key: one is due next, and setting one again moves it."""

from __future__ import annotations

from heapq import heappop, heappush
from itertools import count

Key = tuple[str, object]


class Timers:
    """A heap of deadlines; a key has at most one.

    A moved or cancelled deadline leaves its old entry in the heap, to be skipped when it surfaces.
    """

    def __init__(self) -> None:
        self._due: dict[Key, tuple[float, int]] = {}
        self._heap: list[tuple[float, int, Key]] = []
        self._order = count()

    def set(self, key: Key, at: float) -> None:
        """Let ``key`` come due at ``at``, and at no other time."""
        entry = (at, next(self._order))
        self._due[key] = entry
        heappush(self._heap, (*entry, key))

    def hasten(self, key: Key, at: float) -> None:
        """Let ``key`` come due no later than ``at``."""
        due = self._due.get(key)
        if due is None or due[0] > at:
            self.set(key, at)

    def is_set(self, key: Key) -> bool:
        """Whether ``key`` has a deadline."""
        return key in self._due

    def cancel(self, key: Key) -> None:
        """Let ``key`` not come due."""
        self._due.pop(key, None)

    def clear(self) -> None:
        """Let nothing come due."""
        self._due.clear()
        self._heap.clear()

    def pop_due(self, now: float) -> Key | None:
        """The key that came due longest ago, now without a deadline; None if none has."""
        while self._heap and self._heap[0][0] <= now:
            at, order, key = heappop(self._heap)
            if self._due.get(key) == (at, order):
                del self._due[key]
                return key
        return None

    def next_due(self) -> float | None:
        """When the next key comes due."""
        while self._heap:
            at, order, key = self._heap[0]
            if self._due.get(key) == (at, order):
                return at
            heappop(self._heap)
        return None
