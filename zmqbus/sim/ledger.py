"""What users may count on, checked message by message: order, exactly once, no silent loss."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from zmqbus.core import Node
from zmqbus.core.window import Reader
from zmqbus.packets import ChannelId, NodeId, Plane

Stream = tuple[NodeId, NodeId, ChannelId, Plane]
"""Sender, reader, channel, plane."""


@dataclass(slots=True)
class Owed:
    """What a reader is owed on a stream and was not given yet.

    Parameters:
        reader: The sender's own record of the reader; another one means that it began anew, None
            that it owes it nothing.
        bodies: The messages.
        void: How many of them are from before it began anew.
        skipped: How many never came.
        announced: How many were said to be lost.
    """

    reader: Reader | None
    bodies: deque[bytes] = field(default_factory=deque)
    void: int = 0
    skipped: int = 0
    announced: int = 0


class Ledger:
    """Every message published, and what became of it.

    Invariant: what was skipped on a stream was announced as lost before.
    """

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self._streams: dict[Stream, Owed] = {}

    def publish(self, stream: Stream, reader: Reader | None, body: bytes) -> None:
        """A message is owed to a reader, or merely passes by it (None)."""
        owed = self._streams.get(stream)
        if owed is None:
            owed = self._streams[stream] = Owed(reader)
        elif owed.reader is not reader:
            owed.reader, owed.void = reader, len(owed.bodies)
            owed.skipped = owed.announced = 0
        owed.bodies.append(body)
        if reader is None:
            owed.void = len(owed.bodies)
        self.counters["published"] += 1

    def deliver(self, stream: Stream, bodies: Iterable[bytes]) -> None:
        """Messages have arrived at a reader."""
        owed = self._streams.get(stream)
        for body in bodies:
            assert owed, f"{body!r} is for another reader"
            assert body in owed.bodies, f"{body!r} came twice, or too late"
            while owed.bodies.popleft() != body:
                if owed.void:
                    owed.void -= 1
                else:
                    owed.skipped += 1
            owed.void = max(0, owed.void - 1)
            self.counters["delivered"] += 1
            assert owed.skipped <= owed.announced, f"{body!r} came before one that nobody missed"

    def lose(self, stream: Stream, lost_msgs: int) -> None:
        """Messages are announced as lost."""
        self._streams[stream].announced += lost_msgs
        self.counters["lost"] += lost_msgs

    def assert_settled(self, alive: dict[NodeId, Node], names: dict[NodeId, str]) -> None:
        """All that is owed between the living was delivered or announced, exactly."""
        for (sender, reader, channel_id, plane), owed in self._streams.items():
            channel = alive[sender].channels.get(channel_id) if sender in alive else None
            record = channel.outlets[plane].readers.get(reader) if channel else None
            if reader in alive and record and record is owed.reader:
                missing = len(owed.bodies) - owed.void + owed.skipped
                assert missing == owed.announced, (
                    f"of {names[sender]}'s {plane.name.lower()} messages {missing} never reached "
                    f"{names[reader]}, and {owed.announced} are announced as lost"
                )
