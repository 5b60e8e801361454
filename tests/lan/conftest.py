"""Networks of a test's own; without root there are none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.lan import Lan, lan, why_not


@pytest.fixture(scope="session")
def reason() -> str:
    """Why there can be no networks here; empty if there can."""
    return why_not()


@pytest.fixture
def net(reason: str) -> Iterator[Lan]:
    """A network that nothing outside this test can see."""
    if reason:
        pytest.skip(reason)
    with lan() as made:
        yield made
