"""Places, peers and networks to be examined."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from support.buses import Mesh, open_mesh
from support.lan import Lan, lan, why_not

TESTS = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A meeting place of this test's own, and no setting from the environment."""
    for variable in [name for name in os.environ if name.startswith("ZMQBUS_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("ZMQBUS_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(TESTS))
    return tmp_path


@pytest.fixture
async def mesh() -> AsyncIterator[Mesh]:
    """Buses that are stopped at the end, and leave nothing."""
    async with open_mesh() as opened:
        yield opened


@pytest.fixture
def net() -> Iterator[Lan]:
    """A network that nothing outside this test can see."""
    reason = why_not()
    if reason:
        pytest.skip(reason)
    with lan() as made:
        yield made


RunnerProcess = Callable[..., AbstractContextManager[subprocess.Popen[str]]]


@pytest.fixture
def runner_process() -> RunnerProcess:
    """Starts a bus in a process of its own; see `runner.py`."""
    return _runner_process


@contextmanager
def _runner_process(channel: str, *faults: str) -> Iterator[subprocess.Popen[str]]:
    """A started bus in a process of its own; see `runner.py`."""
    command = (sys.executable, str(TESTS / "doctor" / "runner.py"), channel, *faults)
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=quiet, text=True) as process:
        try:
            assert process.stdout is not None
            assert "ready\n" in process.stdout  # what pipecat prints comes before
            yield process
        finally:
            process.kill()


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port at which nobody listens, and that nobody gets by chance while it is held."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]
