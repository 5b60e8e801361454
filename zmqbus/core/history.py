"""What a sender keeps of a stream for repair: numbered messages, within bounds (R15)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from zmqbus.packets import NodeId


@dataclass(slots=True)
class Entry:
    """One message.

    Parameters:
        readers: Whom it is for; None for all.
        body: The encoded message.
        end_bytes: Bytes of the stream up to its end.
        expires_at: When it is not worth repairing any more (R18a).
        note: What the application wants to hear if it cannot be repaired any more; None: nothing.
    """

    readers: tuple[NodeId, ...] | None
    body: bytes
    end_bytes: int
    expires_at: float
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
        self.evicted: list[tuple[int, Entry]] = []

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
        """Keep a message, and drop the oldest that exceed the bounds; returns its number.

        Of what is dropped, that which has a note is put into ``evicted`` with its number.
        """
        self.head += 1
        self.head_bytes += len(body)
        entries = self._entries
        entries.append(Entry(readers, body, self.head_bytes, expires_at, note))
        msgs, limit_bytes = self._limits
        while len(entries) > msgs or (len(entries) > 1 and self.size_bytes > limit_bytes):
            dropped = self._drop_oldest()
            if dropped.note is not None:
                self.evicted.append((self.base, dropped))
        return self.head

    def drop(self, upto: int) -> None:
        """Keep nothing up to a number."""
        while self.base < upto:
            self._drop_oldest()

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
