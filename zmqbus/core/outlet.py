"""The sending end of one stream.

Theory of operation
-------------------
A node has two streams on each channel, one a plane, each numbered from 1. A message is for all
readers or for some. A reader follows one chain: each batch names the number of the message before
it *for this reader* (`Batch.previous`), so a reader sees in the first batch that arrives whether
something it was owed is missing, whichever mixture of broadcast and targeted messages came before,
and order over both needs no second mechanism. A broadcast is encoded once for all: its
``previous`` is the last broadcast, and the few readers that were sent something of their own since
then are listed as exceptions.

Everything unacknowledged stays in the history, within its bounds, and is sent again on request
(`repair`); what had to be evicted is answered with `Gone` and the count of messages the reader was
ever owed up to there, so that the reader, who knows what it took, knows the exact loss. Cumulative
acknowledgement with negative acknowledgement for holes is the scheme of RTPS (OMG DDSI-RTPS 8.4)
and NORM (RFC 5740); the bounded history with a "gone" answer is that of ZeroMQ's Clone pattern and
of Aeron's term buffers.

Two connections keep no order between them. So each batch of data also names the system message that
was sent before it to this reader (`Batch.after`, R13a), and waits at the receiver until that is
there; the data stream *follows* the system stream.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import inf

from zmqbus.core.history import History
from zmqbus.core.window import Reader, Window
from zmqbus.packets import Batch, ChannelId, Gone, NodeId, Plane


@dataclass(slots=True)
class _Run:
    """Messages for the same readers in a row, not yet handed over.

    For a broadcast, ``previous`` has one number; else one for each reader.
    """

    readers: tuple[NodeId, ...] | None
    first: int
    previous: tuple[int, ...]
    exceptions: tuple[tuple[NodeId, int], ...]
    bodies: list[bytes]
    size_bytes: int


class Outlet:
    """Numbers, keeps and repairs what this node sends on one stream.

    Invariants: every reader's ``acked`` is at most ``head``; what all readers have acknowledged is
    not in the history.

    Args:
        channel: The channel.
        plane: The plane.
        history_msgs: Most messages kept.
        history_bytes: Most bytes kept.
        window_msgs: How far behind a reader may be before `blockers` names it.
        window_bytes: The same in bytes.
        batch_msgs: Most messages of one batch.
        batch_bytes: How large a batch may grow before the next is begun.
        head: Number of the last message of an earlier life of the channel.
        leader: The stream that this one must not overtake; it has the same readers.
    """

    def __init__(
        self,
        channel: ChannelId,
        plane: Plane,
        *,
        history_msgs: int,
        history_bytes: int,
        window_msgs: int,
        window_bytes: int,
        batch_msgs: int,
        batch_bytes: int,
        head: int = 0,
        leader: Outlet | None = None,
    ) -> None:
        self.channel = channel
        self.plane = plane
        self.readers: dict[NodeId, Reader] = {}
        self._leader = leader
        self._history = History(history_msgs, history_bytes, head)
        self._window = Window(self._history, self.readers, window_msgs, window_bytes)
        self.laggards = self._window.laggards
        self._batch_limits = batch_msgs, batch_bytes
        self._broadcasts = 0
        self._last_broadcast = head
        self._last_targeted: dict[NodeId, int] = {}
        self._runs: list[_Run] = []
        self._forgone: list[tuple[NodeId, object]] = []
        self._holder: NodeId | None = None  # a reader for whom the oldest entry was kept

    @property
    def head(self) -> int:
        """The number of the last message."""
        return self._history.head

    # -- readers

    def add_reader(self, node: NodeId) -> None:
        """Owe ``node`` everything from here on."""
        self.readers[node] = Reader(
            self.head, self._history.head_bytes, self.head, self._broadcasts
        )
        self._window.look_again()

    def drop_reader(self, node: NodeId) -> None:
        """Owe ``node`` nothing any more."""
        if self.readers.pop(node, None):
            self._last_targeted.pop(node, None)
            self._window.pardon(node)
            self._trim()

    def set_live(self, node: NodeId, live: bool) -> None:
        """Note whether ``node`` is linked. What it is owed stays owed.

        One that comes back more than a window behind lags: while it is sent what it has missed,
        nobody waits for it, nor gives it up for being slow.
        """
        reader = self.readers.get(node)
        if reader:
            if not live:
                self._window.pardon(node)
            elif not reader.live and self._window.is_left_by(reader):
                self.give_up_on(node)
            reader.live = live
            self._window.look_again()

    def acknowledge(self, node: NodeId, cursor: int) -> bool:
        """Note that a reader has everything up to ``cursor``; False if that cannot be."""
        reader = self.readers[node]
        if not reader.said <= cursor <= self.head:
            return False
        reader.said = cursor
        if cursor > reader.acked:
            reader.acked = cursor
            reader.acked_bytes = self._history.bytes_up_to(cursor)
            if self._last_targeted.get(node, self.head + 1) <= cursor:
                del self._last_targeted[node]  # what it has needs no exception any more
            if not self._window.is_left_by(reader, part=2):
                self._window.pardon(node)
            self._window.look_again()
            self._trim()
        return True

    # -- sending

    def append(
        self,
        body: bytes,
        readers: tuple[NodeId, ...] | None,
        expires_at: float = inf,
        note: object = None,
    ) -> None:
        """Number a message for ``readers`` (None: all) and keep it for `take` and repair.

        The readers named must be known; a message for nobody is no message. When it is repaired at
        ``expires_at`` or later, an empty body takes its place (R18a).
        """
        if not (self.readers if readers is None else readers):
            return
        if readers is not None:
            self._catch_up(readers)
        elif self.head > self._last_broadcast:
            self._catch_up(self.readers)
        number = self._history.add(readers, body, expires_at, note)
        run = self._runs[-1] if self._runs else None
        if run and run.readers == readers and self._fits(run.bodies, run.size_bytes):
            run.bodies.append(body)
            run.size_bytes += len(body)
        else:
            self._runs.append(self._start_run(number, body, readers))
        if readers is None:
            self._broadcasts += 1
            self._last_broadcast = number
            self._last_targeted.clear()
        else:
            for node in readers:
                self._last_targeted[node] = number
                self.readers[node].owed_msgs += 1

    def _catch_up(self, nodes: Iterable[NodeId]) -> None:
        """Move readers that are owed nothing to the head: what others got does not count."""
        head, head_bytes = self.head, self._history.head_bytes
        for node in nodes:
            reader = self.readers[node]
            if reader.acked >= self._last_number(node):
                reader.acked, reader.acked_bytes = head, head_bytes

    def _start_run(self, number: int, body: bytes, readers: tuple[NodeId, ...] | None) -> _Run:
        if readers is None:
            exceptions = tuple(self._last_targeted.items())
            return _Run(None, number, (self._last_broadcast,), exceptions, [body], len(body))
        previous = tuple(self._last_number(n) for n in readers)
        return _Run(readers, number, previous, (), [body], len(body))

    def _fits(self, bodies: list[bytes], size_bytes: int) -> bool:
        """Whether a batch may take one message more."""
        msgs, limit_bytes = self._batch_limits
        return len(bodies) < msgs and size_bytes < limit_bytes

    @property
    def pending(self) -> bool:
        """Whether `take` would give anything."""
        return bool(self._runs)

    def take(self) -> Iterator[tuple[NodeId | None, Batch]]:
        """What was appended since the last call, as (reader or None for all, batch)."""
        runs, self._runs = self._runs, []
        for run in runs:
            bodies = tuple(run.bodies)
            if run.readers is None:
                yield None, self._broadcast(run, bodies)
            else:
                for node, previous in zip(run.readers, run.previous, strict=True):
                    yield node, self._batch(node, run.first, previous, bodies)

    def _broadcast(self, run: _Run, bodies: tuple[bytes, ...]) -> Batch:
        previous, own = run.previous[0], dict(run.exceptions)
        after, sooner = 0, {}
        if self._leader:
            after, sooner = self._leader._last_broadcast, self._leader._last_targeted
        exceptions = tuple(
            (node, own.get(node, previous), sooner.get(node, after)) for node in own | sooner
        )
        return Batch(self.channel, self.plane, run.first, previous, bodies, exceptions, after)

    def _batch(self, node: NodeId, first: int, previous: int, bodies: Sequence[bytes]) -> Batch:
        after = self._leader._last_number(node) if self._leader else 0
        return Batch(self.channel, self.plane, first, previous, tuple(bodies), (), after)

    def _last_number(self, node: NodeId) -> int:
        """The number of the last message that was for ``node``, unless it has it."""
        return self._last_targeted.get(node, self._last_broadcast)

    # -- repair

    def take_forgone(self) -> list[tuple[NodeId, object]]:
        """Readers and the notes to messages that they will never get, each once."""
        for number, readers, note in self._history.take_surplus():
            self._forgone += [
                (node, note)
                for node, reader in self.readers.items()
                if readers is None or node in readers
                if max(reader.acked, reader.cut_at) < number
            ]
        forgone, self._forgone = self._forgone, []
        return forgone

    def repair(
        self, node: NodeId, cursor: int, upto: int, budget_bytes: int, now: float
    ) -> tuple[Gone | None, list[Batch]]:
        """Answer ``node``: it has all up to ``cursor`` and misses what it is owed up to ``upto``.

        Returns:
            What has left the history, if any of it may be missed, and what can be sent again: at
            least one message if there is any, then as many as fit into ``budget_bytes``.
        """
        gone, base, reader = None, self._history.base, self.readers[node]
        if cursor < base:
            owed = reader.owed_msgs + self._broadcasts - reader.broadcasts_before
            left = owed - self._owed_after(node, reader.since)
            gone = Gone(self.channel, self.plane, base, left)
            evicted = self._history.evicted(node, max(cursor, reader.cut_at))
            self._forgone += [(node, e.note) for e in evicted]
            cursor = reader.cut_at = base
        batches: list[Batch] = []
        previous = first = cursor
        bodies: list[bytes] = []
        size_bytes = 0
        for number, entry in self._history.after(cursor, upto):
            if entry.readers is not None and node not in entry.readers:
                continue
            if budget_bytes <= 0:
                break
            if bodies and not (number == first + len(bodies) and self._fits(bodies, size_bytes)):
                batches.append(self._batch(node, first, previous, bodies))
                previous, bodies, size_bytes = first + len(bodies) - 1, [], 0
            if not bodies:
                first = number
            body = entry.body if now < entry.expires_at else b""
            bodies.append(body)
            size_bytes += len(body)
            budget_bytes -= len(body)
        if bodies:
            batches.append(self._batch(node, first, previous, bodies))
        return gone, batches

    def last_owed(self, node: NodeId) -> int:
        """The number of the last message ``node`` is owed, sent or not."""
        return max(self._last_number(node), self.readers[node].acked)

    def unacknowledged(self) -> list[NodeId]:
        """Live readers that are owed something, sent or not."""
        if not self._history:
            return []
        return [n for n, r in self.readers.items() if r.live and r.acked < self.last_owed(n)]

    def behind_msgs(self, node: NodeId) -> int:
        """How far ``node`` is behind, counting what others were sent in between; 0 if unknown."""
        reader = self.readers.get(node)
        return max(0, self.last_owed(node) - reader.acked) if reader else 0

    def _owed_after(self, node: NodeId, number: int) -> int:
        """How many messages that are kept, after a number, are for ``node``."""
        kept = self._history.after(number, self.head)
        return sum(e.readers is None or node in e.readers for _, e in kept)

    # -- flow

    def blockers(self, audience: tuple[NodeId, ...] | None = None) -> list[NodeId]:
        """Live readers that are further behind than the window and not yet given up on.

        Args:
            audience: Those that matter; None: all.
        """
        if not self._history or not self._window.is_left:
            return []
        self._catch_up(self.readers)  # who is owed nothing holds nobody up
        self._window.look_again()
        return [
            node
            for node in self._window.left_by()
            if audience is None or node in audience
            if self.plane is Plane.DATA or self._lacks_window(node)
        ]

    def give_up_on(self, node: NodeId) -> None:
        """Do not wait for ``node``, nor send it more, until it is half a window behind."""
        self._window.give_up_on(node)

    def _lacks_window(self, node: NodeId) -> bool:
        """Whether it is owed that much, for itself: by its number it may only seem so.

        Too much to count for data, where who is given up on merely lags; here it is lost.
        """
        acked = self.readers[node].acked
        return acked < self._history.base or self._owed_after(node, acked) > self._window.limit_msgs

    @property
    def drained(self) -> bool:
        """Whether every live reader has everything."""
        return all(not r.live or r.acked >= self.last_owed(n) for n, r in self.readers.items())

    @property
    def kept(self) -> tuple[int, int]:
        """Messages and bytes in the history."""
        return len(self._history), self._history.size_bytes

    def _trim(self) -> None:
        """Drop what all readers have.

        As long as one of them is known to need the oldest entry the others are not asked, or a
        broadcast to n readers would cost n^2 by the time all have acknowledged it. The last of them
        is remembered, since the first are the likeliest to answer first.
        """
        holder = self.readers.get(self._holder) if self._holder else None
        if holder and holder.acked <= self._history.base:
            return
        self._catch_up(self.readers)
        done, self._holder = self.head, None
        for node, reader in reversed(self.readers.items()):
            if reader.acked < done:
                done, self._holder = reader.acked, node
                if done <= self._history.base:
                    break
        self._history.drop(done)
