"""The receiving end of one stream of one sender: order, holes, duplicates (see `outlet`)."""

from __future__ import annotations

from bisect import bisect_left
from operator import itemgetter

from zmqbus.packets import Batch, Gone, NodeId


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
    """

    def __init__(self, me: NodeId, cursor: int, early_msgs: int, early_bytes: int) -> None:
        self.cursor = cursor
        self.head = cursor
        self.taken = 0
        self.duplicates = 0
        self.closed_gaps = 0
        self.told_cursor = -1
        self.stalled = False
        self._me = me
        self._early: list[tuple[int, int, tuple[bytes, ...]]] = []  # first, previous, bodies
        self._early_msgs = 0
        self._early_bytes = 0
        self._limits = early_msgs, early_bytes

    def accept(self, batch: Batch) -> list[bytes]:
        """Take a batch; returns what may be delivered now, in order."""
        previous = batch.previous
        if batch.exceptions:
            previous = dict(batch.exceptions).get(self._me, previous)
        last = batch.first + len(batch.bodies) - 1
        if last > self.head:
            self.head = last
        if previous > self.cursor or self.stalled:
            self._hold(batch.first, previous, batch.bodies)
            return []
        ready = self._advance(batch.first, batch.bodies)
        return ready + self._release() if self._early else ready

    def skip(self, gone: Gone) -> tuple[int, list[bytes]]:
        """Give up what the sender has no more and did not arrive.

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

    def resume(self) -> list[bytes]:
        """Deliver again; returns what had come in order meanwhile."""
        self.stalled = False
        return self._release()

    @property
    def hole(self) -> int:
        """The last number known to be missing, or 0 if nothing is or nothing could be delivered."""
        if self.stalled:
            return 0
        if self._early:
            return self._early[0][1]
        return self.head if self.head > self.cursor else 0

    @property
    def early_msgs(self) -> int:
        """How many messages wait for one before them."""
        return self._early_msgs

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

    def _hold(self, first: int, previous: int, bodies: tuple[bytes, ...]) -> None:
        size_bytes = sum(map(len, bodies))
        msgs, limit_bytes = self._limits
        if self._early_msgs + len(bodies) > msgs or self._early_bytes + size_bytes > limit_bytes:
            return
        place = bisect_left(self._early, first, key=itemgetter(0))
        held = self._early[place] if place < len(self._early) else None
        if held and held[0] == first and len(held[2]) >= len(bodies):
            self.duplicates += len(bodies)
            return
        self._early.insert(place, (first, previous, bodies))
        self._early_msgs += len(bodies)
        self._early_bytes += size_bytes

    def _release(self, upto: int | None = None) -> list[bytes]:
        """What may be delivered of what is held, or all that begins up to ``upto``."""
        ready: list[bytes] = []
        released = 0
        for first, previous, bodies in self._early:
            if previous > self.cursor if upto is None else first > upto:
                break
            released += 1
            self._early_msgs -= len(bodies)
            self._early_bytes -= sum(map(len, bodies))
            ready += self._advance(first, bodies)
        del self._early[:released]
        return ready
