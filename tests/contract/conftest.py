"""Every scenario of the contract runs in each of the worlds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from support.worlds import WORLDS, ChildKeeper, World, open_world


@pytest.fixture(scope="session")
def keeper() -> Iterator[ChildKeeper]:
    """What keeps the child that stands for "the other process"."""
    keeper = ChildKeeper()
    yield keeper
    keeper.reap()


@pytest.fixture(params=WORLDS)
async def world(request: pytest.FixtureRequest, keeper: ChildKeeper) -> AsyncIterator[World]:
    """Each of the worlds, opened and closed."""
    async with open_world(request.param, keeper) as opened:
        yield opened
