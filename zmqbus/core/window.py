"""How far the readers of a stream have got, and which of them are too far behind (R17).

A live reader further behind than the window makes `send()` wait, unless it is lagging, that is, was
waited for long enough already. A lagging reader is sent nothing but repairs, so that no more than a
window of it is ever queued on the way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from zmqbus.core.history import History
from zmqbus.packets import NodeId


@dataclass(slots=True)
class Reader:
    """How far one node has got with the stream.

    Parameters:
        acked: It is owed nothing up to this number, because it acknowledged it or never was.
        acked_bytes: Bytes of all messages up to there.
        since: The number it started after.
        owed_msgs: Messages for it alone since its start; broadcasts come from the outlet's count.
        broadcasts_before: The outlet's count of broadcasts at its start.
        live: Whether it is linked; an unlinked reader is kept for repair but not waited for.
        said: The last number it acknowledged itself.
        cut_at: What it has not got up to this number it will never get, and was told so.
    """

    acked: int
    acked_bytes: int
    since: int
    broadcasts_before: int
    owed_msgs: int = 0
    live: bool = True
    said: int = 0
    cut_at: int = 0

    @property
    def position(self) -> tuple[int, int]:
        """Up to where it is owed nothing, in messages and in bytes."""
        return self.acked, self.acked_bytes


class Window:
    """The distance that readers may be behind the head of a stream.

    Args:
        history: What there is to read.
        readers: Who reads it; a change of who, or of how far, is to be told by `look_again`.
        limit_msgs: How far one may be behind, by number.
        limit_bytes: The same in bytes.
    """

    def __init__(
        self, history: History, readers: dict[NodeId, Reader], limit_msgs: int, limit_bytes: int
    ) -> None:
        self.laggards: dict[NodeId, None] = {}
        self.limit_msgs = limit_msgs
        self._limit_bytes = limit_bytes
        self._history = history
        self._readers = readers
        self._slowest: tuple[int, int] | None = None  # of those that are waited for

    def look_again(self) -> None:
        """Somebody came, went, or got further."""
        self._slowest = None

    def give_up_on(self, node: NodeId) -> None:
        """Do not wait for a reader, until it is pardoned."""
        self.laggards[node] = None
        self.look_again()

    def pardon(self, node: NodeId) -> None:
        """Wait for a reader again."""
        self.laggards.pop(node, None)
        self.look_again()

    @property
    def is_left(self) -> bool:
        """Whether any reader that is waited for is too far behind."""
        if self._slowest is None:
            head = self._history.head, self._history.head_bytes
            self._slowest = min((r.position for _, r in self._waited_for()), default=head)
        msgs, size_bytes = self._slowest
        history = self._history
        return (
            history.head - msgs > self.limit_msgs
            or history.head_bytes - size_bytes > self._limit_bytes
        )

    def left_by(self) -> list[NodeId]:
        """The readers that are waited for and too far behind."""
        return [node for node, reader in self._waited_for() if self.is_left_by(reader)]

    def is_left_by(self, reader: Reader, part: int = 1) -> bool:
        """Whether a reader is further behind than the window, or a part of it."""
        return self._is_beyond(reader.position, part)

    def _is_beyond(self, position: tuple[int, int], part: int = 1) -> bool:
        behind_msgs = self._history.head - position[0]
        behind_bytes = self._history.head_bytes - position[1]
        return behind_msgs > self.limit_msgs // part or behind_bytes > self._limit_bytes // part

    def _waited_for(self) -> Iterator[tuple[NodeId, Reader]]:
        for node, reader in self._readers.items():
            if reader.live and node not in self.laggards:
                yield node, reader
