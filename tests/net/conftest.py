"""Fixtures of the socket tests."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from support.net_ends import Ends, descriptors


@pytest.fixture
async def ends() -> AsyncIterator[Ends]:
    """Opens transports and closes them; names the descriptors that they leave open."""
    before = descriptors()
    ends = Ends()
    yield ends
    await ends.close()
    leaked = {fd: what for fd, what in descriptors().items() if fd not in before}
    assert not leaked, f"left open: {leaked}"


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A directory with a name short enough for unix sockets, which ``tmp_path`` may not be."""
    path = Path(tempfile.mkdtemp(prefix="zb-", dir="/tmp"))
    yield path
    shutil.rmtree(path)
