"""What a sender keeps of a stream for repair: numbered messages, within bounds (R15)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from zmqbus.packets import NodeId


@dataclass(slots=True)
class Entry:
    """One message.

    Parameters:
        readers: Whom it is for; None for all.
        body: The encoded message.
        end_bytes: Bytes of the stream up to its end.
        expires_at: When it is not worth repairing any more (R18a).
        note: What the application wants to hear if it is lost; None: nothing.
    """

    readers: tuple[NodeId, ...] | None
    body: bytes
    end_bytes: int
    expires_at: float
    note: object


class Evicted(NamedTuple):
    """What is remembered of a message with a note that the bounds drove out.

    Parameters:
        number: Its number.
        readers: Whom it was for; None for all.
        note: The note.
    """

    number: int
    readers: tuple[NodeId, ...] | None
    note: object


class History:
    """The newest messages of a stream.

    Invariant: the entries are those numbered ``base + 1 .. head``.

    Args:
        limit_msgs: Most messages kept.
        limit_bytes: Most bytes kept; one message is kept, however large.
        head: Number of the last message before the first.
    """

    def __init__(self, limit_msgs: int, limit_bytes: int, head: int) -> None:
        self.head = self.base = head
        self.head_bytes = 0
        self._base_bytes = 0
        self._limits = limit_msgs, limit_bytes
        self._entries: deque[Entry] = deque()
        self._evicted: deque[Evicted] = deque()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size_bytes(self) -> int:
        """Bytes kept."""
        return self.head_bytes - self._base_bytes

    def add(
        self,
        readers: tuple[NodeId, ...] | None,
        body: bytes,
        expires_at: float,
        note: object = None,
    ) -> int:
        """Keep a message, and drop the oldest that exceed the bounds; returns its number."""
        self.head += 1
        self.head_bytes += len(body)
        entries = self._entries
        entries.append(Entry(readers, body, self.head_bytes, expires_at, note))
        msgs, limit_bytes = self._limits
        while len(entries) > msgs or (len(entries) > 1 and self.size_bytes > limit_bytes):
            dropped = self._drop_oldest()
            if dropped.note is not None:
                self._evicted.append(Evicted(self.base, dropped.readers, dropped.note))
        return self.head

    def drop(self, upto: int) -> None:
        """Keep nothing up to a number: all readers have it."""
        if upto >= self.base:
            self._evicted.clear()
        while self.base < upto:
            self._drop_oldest()

    def evicted(self, node: NodeId, cursor: int) -> list[Evicted]:
        """What was for ``node`` after ``cursor``, had a note, and was dropped before all had it."""
        return [
            e
            for e in self._evicted
            if e.number > cursor and (e.readers is None or node in e.readers)
        ]

    def take_surplus(self) -> list[Evicted]:
        """The oldest of those, as many as are more than the history itself may have."""
        surplus = len(self._evicted) - self._limits[0]
        return [self._evicted.popleft() for _ in range(surplus)]

    def after(self, cursor: int, upto: int) -> Iterator[tuple[int, Entry]]:
        """What is kept after ``cursor`` up to ``upto``, with its numbers."""
        cursor = max(cursor, self.base)
        kept = islice(self._entries, cursor - self.base, max(upto - self.base, 0))
        return enumerate(kept, cursor + 1)

    def bytes_up_to(self, number: int) -> int:
        """Bytes of the stream up to the end of a message; of what is kept, if it is older."""
        if number <= self.base:
            return self._base_bytes
        return self._entries[number - self.base - 1].end_bytes

    def _drop_oldest(self) -> Entry:
        dropped = self._entries.popleft()
        self._base_bytes = dropped.end_bytes
        self.base += 1
        return dropped
