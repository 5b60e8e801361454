"""What a process writes down of what it sent and got: an append-only file that survives SIGKILL.

Each record is one `write` of 20 bytes to the page cache, so what was noted before the process
died is there. A message is noted before it is sent, and when its handler is called.
"""

from __future__ import annotations

import os
import struct
import time
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

_RECORD = struct.Struct("<BBBBIIQ")
EVERYBODY = 255
"""The actor of a record about a broadcast."""


class Lane(IntEnum):
    """What kind of message; each lane is on one plane."""

    SYSTEM = 0
    SYSTEM_TO_ONE = 1
    DATA = 2
    DATA_TO_ONE = 3
    AUDIO = 4

    @property
    def plane(self) -> int:
        """0 for the system plane, 1 for the data plane."""
        return int(self >= Lane.DATA)


class Kind(IntEnum):
    """What happened.

    SENT, REFUSED and GOT are about stamped messages, ASKED, ANSWERED and SERVED about jobs, the
    others about peers.
    """

    SENT = 1
    REFUSED = 2
    GOT = 3
    ASKED = 4
    ANSWERED = 5
    SERVED = 6
    JOINED = 7
    LEFT = 8
    LOST = 9
    BUSY = 10
    MISSING = 11
    TURNED_DOWN = 12
    END = 13


class Outcome(IntEnum):
    """How a job ended for who asked."""

    DONE = 0
    FAILED = 1
    HUNG = 2


@dataclass(frozen=True, slots=True)
class Record:
    """One line of a ledger.

    Parameters:
        kind: What happened.
        lane: The lane; the plane of MISSING; the outcome of ANSWERED.
        actor: The other process: the addressee of what was sent, the sender of what came.
        life: Which incarnation of it, where that is known.
        number: The place of a message among all that its sender sent on its plane, counted from 1;
            the number of a job; the process id of a peer.
        after: Of a data message: the number of the last system broadcast sent before it. Of
            MISSING: how many.
        at_ms: When, by the machine's monotonic clock.
    """

    kind: Kind
    lane: int = 0
    actor: int = 0
    life: int = 0
    number: int = 0
    after: int = 0
    at_ms: int = 0


class Ledger:
    """The writing end."""

    def __init__(self, path: Path) -> None:
        """Open the file, which is made if there is none."""
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def note(
        self,
        kind: Kind,
        lane: int = 0,
        actor: int = 0,
        life: int = 0,
        number: int = 0,
        after: int = 0,
    ) -> None:
        """Write a record; see `Record`."""
        at_ms = time.monotonic_ns() // 1_000_000
        os.write(self._file, _RECORD.pack(kind, lane, actor, life, number, after, at_ms))

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def read(path: Path) -> list[Record]:
    """The records of a ledger, in the order they were written."""
    raw = path.read_bytes() if path.exists() else b""
    whole = raw[: len(raw) // _RECORD.size * _RECORD.size]
    return [Record(Kind(kind), *rest) for kind, *rest in _RECORD.iter_unpack(whole)]
