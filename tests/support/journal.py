"""The journal: what workers noted, and waiting for it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

# The one unit of patience of all these tests: how long something may take that should take
# milliseconds. Only a failing test ever waits that long.
TIMEOUT_SECS = float(os.environ.get("ZMQBUS_TEST_TIMEOUT_SECS", "20"))


class Journal:
    """Notes in the order they were made: ``(worker, what, data)``."""

    def __init__(self, forward: Callable[[str, str, Any], None] | None = None) -> None:
        """Make an empty journal.

        Args:
            forward: Called with each note as well: a child process tells its parent.
        """
        self._notes: list[tuple[str, str, Any]] = []
        self._changed = asyncio.Event()
        self._forward = forward

    def add(self, worker: str, what: str, data: Any = None) -> None:
        """Write a note down."""
        self._notes.append((worker, what, data))
        self._changed.set()
        if self._forward is not None:
            self._forward(worker, what, data)

    @property
    def notes(self) -> list[tuple[str, str, Any]]:
        """All of them."""
        return list(self._notes)

    def of(self, worker: str, what: str) -> list[Any]:
        """The data of every note that `worker` made of `what`, oldest first."""
        return [
            data for noted_by, noted, data in self._notes if (noted_by, noted) == (worker, what)
        ]

    async def wait(self, worker: str, what: str, count: int = 1, *, until: Any = None) -> list[Any]:
        """Wait for notes, and return all of that kind.

        Args:
            worker: Who makes the note.
            what: Its kind.
            count: How many there must be at least.
            until: Where given, the data of a note that must be among them.

        Raises:
            AssertionError: When they do not come; it tells what came instead.
        """
        try:
            async with asyncio.timeout(TIMEOUT_SECS):
                while True:
                    found = self.of(worker, what)
                    if len(found) >= count and (until is None or until in found):
                        return found
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            tail = "\n".join(repr(note) for note in self._notes[-20:])
            raise AssertionError(
                f"{worker!r} made {len(self.of(worker, what))} notes of {what!r}, "
                f"expected {count}{f' with {until!r} among them' if until else ''}. "
                f"The last of all {len(self._notes)} notes:\n{tail}"
            ) from None
