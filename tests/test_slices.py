"""Long work gives the loop back between its slices, and keeps its order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from support.journal import TIMEOUT_SECS

from zmqbus import slices
from zmqbus.slices import SLICE_SECS, Slices

Make = Callable[[float], "Worked"]


class Worked:
    """What was worked on, and when the loop turned in between; time passes only while it is.

    Args:
        item_secs: How long each item takes.
    """

    def __init__(self, item_secs: float) -> None:
        self.log: list[str] = []
        self.slices: Slices[str] = Slices(self._work, self._done)
        self.now = 0.0
        self._item_secs = item_secs
        self._finished = asyncio.Event()

    def _work(self, item: str) -> None:
        self.log.append(item)
        self.now += self._item_secs

    def _done(self) -> None:
        self.log.append("|")
        if not self.slices:
            self._finished.set()

    async def finished(self) -> None:
        """Wait until nothing waits."""
        async with asyncio.timeout(TIMEOUT_SECS):
            await self._finished.wait()


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Make:
    """Makes work whose clock is that of the slices."""

    def make(item_secs: float) -> Worked:
        worked = Worked(item_secs)
        monkeypatch.setattr(slices, "monotonic", lambda: worked.now)
        return worked

    return make


async def test_work_that_fits_is_done_at_once(make: Make) -> None:
    """What takes no time waits for no turn of the loop."""
    worked = make(SLICE_SECS / 4)
    worked.slices.add("abc")
    assert worked.log == ["a", "b", "c", "|"]


async def test_long_work_lets_the_loop_turn(make: Make) -> None:
    """Of what takes long one slice is done at once, and each other one in a turn of its own."""
    worked, loop = make(SLICE_SECS), asyncio.get_running_loop()
    worked.slices.add("abc")
    assert worked.log == ["a", "|"]
    loop.call_soon(worked.log.append, "urgent")
    await worked.finished()
    assert worked.log == ["a", "|", "b", "|", "urgent", "c", "|"]


async def test_what_is_added_later_waits_its_turn(make: Make) -> None:
    """Nothing overtakes what waits."""
    worked = make(SLICE_SECS)
    worked.slices.add("ab")
    worked.slices.add("c")
    assert len(worked.slices) == 2
    await worked.finished()
    assert [item for item in worked.log if item != "|"] == ["a", "b", "c"]


async def test_finish_does_all_at_once_and_nothing_twice(make: Make) -> None:
    """Whoever cannot wait has the rest done in order, and the turn that was due does nothing."""
    worked = make(SLICE_SECS)
    worked.slices.add("abc")
    worked.slices.finish()
    assert worked.log == ["a", "|", "b", "c"]
    await worked.finished()
    assert worked.log == ["a", "|", "b", "c", "|"]


async def test_clear_drops_what_waits_and_calls_nobody(make: Make) -> None:
    """After a clear the queue works on as if new."""
    worked = make(SLICE_SECS)
    worked.slices.add("ab")
    worked.slices.clear()
    assert len(worked.slices) == 0
    worked.slices.add("c")
    await worked.finished()
    assert worked.log == ["a", "|", "c", "|"]
