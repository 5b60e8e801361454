"""Long work gives the loop back between its slices, and keeps its order."""

from __future__ import annotations

import asyncio
from time import monotonic

from support.journal import TIMEOUT_SECS

from zmqbus.slices import SLICE_SECS, Slices


class Worked:
    """What was worked on, and when the loop turned in between.

    Args:
        slow: Whether each item takes a whole slice.
    """

    def __init__(self, *, slow: bool) -> None:
        self.log: list[str] = []
        self.slices: Slices[str] = Slices(self._work, self._done)
        self._slow = slow
        self._finished = asyncio.Event()

    def _work(self, item: str) -> None:
        self.log.append(item)
        begun_at = monotonic()
        while self._slow and monotonic() < begun_at + SLICE_SECS:
            pass

    def _done(self) -> None:
        self.log.append("|")
        if not self.slices:
            self._finished.set()

    async def finished(self) -> None:
        """Wait until nothing waits."""
        async with asyncio.timeout(TIMEOUT_SECS):
            await self._finished.wait()


async def test_work_that_fits_is_done_at_once() -> None:
    """What takes no time waits for no turn of the loop."""
    worked = Worked(slow=False)
    worked.slices.add("abc")
    assert worked.log == ["a", "b", "c", "|"]


async def test_long_work_lets_the_loop_turn() -> None:
    """Of what takes long one slice is done at once, and each other one in a turn of its own."""
    worked, loop = Worked(slow=True), asyncio.get_running_loop()
    worked.slices.add("abc")
    assert worked.log == ["a", "|"]
    loop.call_soon(worked.log.append, "urgent")
    await worked.finished()
    assert worked.log == ["a", "|", "b", "|", "urgent", "c", "|"]


async def test_what_is_added_later_waits_its_turn() -> None:
    """Nothing overtakes what waits."""
    worked = Worked(slow=True)
    worked.slices.add("ab")
    worked.slices.add("c")
    assert len(worked.slices) == 2
    await worked.finished()
    assert [item for item in worked.log if item != "|"] == ["a", "b", "c"]


async def test_finish_does_all_at_once_and_nothing_twice() -> None:
    """Whoever cannot wait has the rest done in order, and the turn that was due does nothing."""
    worked = Worked(slow=True)
    worked.slices.add("abc")
    worked.slices.finish()
    assert worked.log == ["a", "|", "b", "c"]
    await worked.finished()
    assert worked.log == ["a", "|", "b", "c", "|"]


async def test_clear_drops_what_waits_and_calls_nobody() -> None:
    """After a clear the queue works on as if new."""
    worked = Worked(slow=True)
    worked.slices.add("ab")
    worked.slices.clear()
    assert len(worked.slices) == 0
    worked.slices.add("c")
    await worked.finished()
    assert worked.log == ["a", "|", "c", "|"]
