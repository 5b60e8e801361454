"""The receiving end of one stream of one sender: order, holes, duplicates (see `outlet`)."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from operator import attrgetter

from zmqbus.packets import Batch, Gone, NodeId


@dataclass(frozen=True, slots=True)
class _Early:
    """Messages that came before they may be delivered."""

    first: int
    previous: int
    after: int
    bodies: tuple[bytes, ...]


class Inlet:
    """Puts batches back into the order they were sent in, each message once.

    Invariants: everything owed up to ``cursor`` was delivered or given up; what is held early is
    sorted and has larger numbers; unless the inlet is stalled, it waits for something before it.
    ``taken`` counts what was delivered or given up, ``closed_gaps`` the holes that were watched.

    Args:
        me: This node, to find its own exception in a broadcast.
        cursor: The last number that is not owed.
        early_msgs: Most messages held ahead of a hole; more are dropped, to be repaired later.
        early_bytes: The same in bytes.
        leader: The sender's other stream, if this one must not overtake it (R13a).
    """

    def __init__(
        self,
        me: NodeId,
        cursor: int,
        early_msgs: int,
        early_bytes: int,
        leader: Inlet | None = None,
    ) -> None:
        self.cursor = cursor
        self.head = cursor
        self.taken = 0
        self.duplicates = 0
        self.closed_gaps = 0
        self.told_cursor = -1
        self.stalled = False
        self._me = me
        self._leader = leader
        self._early: list[_Early] = []
        self._early_msgs = 0
        self._early_bytes = 0
        self._limits = early_msgs, early_bytes

    def accept(self, batch: Batch) -> list[bytes]:
        """Take a batch; returns what may be delivered now, in order."""
        previous, after = batch.previous, batch.after
        for node, *its_own in batch.exceptions:
            if node == self._me:
                previous, after = its_own
        last = batch.first + len(batch.bodies) - 1
        if last > self.head:
            self.head = last
        if previous > self.cursor or self.stalled or not self._led(after):
            self._hold(_Early(batch.first, previous, after, batch.bodies))
            return []
        ready = self._advance(batch.first, batch.bodies)
        return ready + self._release() if self._early else ready

    def skip(self, gone: Gone) -> tuple[int, list[bytes]]:
        """Give up what the sender has no more and did not arrive; not to be asked of `waiting`.

        Returns:
            How many messages are lost, and what may be delivered now.
        """
        ready = self._release(gone.upto)
        beyond = max(0, self.cursor - gone.upto)
        lost = max(0, gone.owed_msgs - self.taken + beyond)
        self.taken += lost
        self.cursor = max(self.cursor, gone.upto)
        self.head = max(self.head, self.cursor)
        return lost, ready + self._release()

    def note_head(self, head: int) -> None:
        """The sender says it owes everything up to ``head``."""
        self.head = max(self.head, head)

    def stall(self) -> None:
        """Deliver nothing more until `resume`, so that the sender's window fills (R18)."""
        self.stalled = True

    def resume(self, most_msgs: int | None = None) -> list[bytes]:
        """Deliver again; returns what had come in order meanwhile.

        Args:
            most_msgs: With a batch that reaches so many it ends, and if there is more that may be
                delivered, the inlet stays stalled.
        """
        ready = self._release(most_msgs=most_msgs)
        self.stalled = bool(self._early) and self._is_due(self._early[0])
        return ready

    def follow(self) -> list[bytes]:
        """What may be delivered now that the leader has got further."""
        return [] if self.stalled else self._release()

    def waiting(self, upto: int) -> bool:
        """Whether something up to ``upto`` is here and may not be delivered yet."""
        return self.stalled or any(
            early.first <= upto and not self._led(early.after) for early in self._early
        )

    @property
    def hole(self) -> int:
        """The last number known to be missing, or 0 if nothing is or nothing could be delivered."""
        if self.stalled:
            return 0
        if self._early:
            previous = self._early[0].previous
            return previous if previous > self.cursor else 0
        return self.head if self.head > self.cursor else 0

    @property
    def early_msgs(self) -> int:
        """How many messages wait for one before them."""
        return self._early_msgs

    def _led(self, after: int) -> bool:
        """Whether the leader has got as far as what follows it needs."""
        return self._leader is None or after <= self._leader.cursor

    def _advance(self, first: int, bodies: tuple[bytes, ...]) -> list[bytes]:
        known = self.cursor + 1 - first
        if known > 0:
            self.duplicates += min(known, len(bodies))
            bodies = bodies[known:]
            if not bodies:
                return []
            first += known
        self.cursor = first + len(bodies) - 1
        self.taken += len(bodies)
        return list(bodies)

    def _hold(self, early: _Early) -> None:
        count, size_bytes = len(early.bodies), sum(map(len, early.bodies))
        msgs, limit_bytes = self._limits
        if self._early_msgs + count > msgs or self._early_bytes + size_bytes > limit_bytes:
            return
        place = bisect_left(self._early, early.first, key=attrgetter("first"))
        held = self._early[place] if place < len(self._early) else None
        if held and held.first == early.first and len(held.bodies) >= count:
            self.duplicates += count
            return
        self._early.insert(place, early)
        self._early_msgs += count
        self._early_bytes += size_bytes

    def _is_due(self, early: _Early, upto: int | None = None) -> bool:
        """Whether what is held may be delivered, or need not wait for more if ``upto`` is given."""
        is_next = early.previous <= self.cursor if upto is None else early.first <= upto
        return is_next and self._led(early.after)

    def _release(self, upto: int | None = None, most_msgs: int | None = None) -> list[bytes]:
        """What may be delivered of what is held, or all that begins up to ``upto``."""
        ready: list[bytes] = []
        released = 0
        for early in self._early:
            if not self._is_due(early, upto) or (most_msgs is not None and len(ready) >= most_msgs):
                break
            released += 1
            self._early_msgs -= len(early.bodies)
            self._early_bytes -= sum(map(len, early.bodies))
            ready += self._advance(early.first, early.bodies)
        del self._early[:released]
        return ready
