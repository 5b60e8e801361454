"""`zmqbus demo` end to end, in real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from zmqbus.demo.recognizer import is_available
from zmqbus.demo.recording import REFERENCES

COMMAND = (sys.executable, "-m", "zmqbus.cli", "demo")
LIMIT_SECS = 50


def run_demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the demo to its end."""
    command = (*COMMAND, *arguments)
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_SECS, check=False)


def test_fast_json_loses_nothing_and_hears_the_speech() -> None:
    """Standard output is one JSON object that tells of every frame, and the status is 0."""
    done = run_demo("--fast", "--json")

    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    counts = ("frames", "sent", "received", "lost", "out_of_order", "duplicates")
    assert [summary[name] for name in counts] == [355, 355, 355, 0, 0, 0]
    assert summary["passed"] is True
    assert summary["segments"] != []
    assert summary["reference"] == REFERENCES["austen-0870.wav"]
    if is_available():
        assert "power to do" in summary["text"]
        assert summary["word_errors"] < 15
    assert "\x1b" not in done.stderr
    assert "Pipecat" not in done.stderr
    assert "found listener" in done.stderr


def test_silence_is_transported_but_no_success(tmp_path: Path) -> None:
    """A file without speech loses nothing, and still ends with status 1."""
    path = tmp_path / "silence.wav"
    head = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\1\0\1\0\x80\x3e\0\0\0\x7d\0\0\2\0\x10\0data"
    path.write_bytes(head + b"\xff\xff\xff\xff" + bytes(16_000))

    done = run_demo("--fast", "--wav", str(path))

    assert done.returncode == 1
    assert "25 sent, 25 received, 0 lost" in done.stdout
    assert "speech    none" in done.stdout


@contextmanager
def started_demo() -> Iterator[subprocess.Popen[str]]:
    """A demo in real time, at the moment when its children are known to run."""
    with subprocess.Popen(
        COMMAND, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if "listening with" in line:
                    break
            yield process
        finally:
            process.kill()


def descendants(pid: int) -> list[int]:
    """The processes below one, from /proc."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [found for child in map(int, children) for found in (child, *descendants(child))]


def wait_gone(pids: list[int]) -> None:
    """Wait until none of the processes exists; times out by raising."""
    deadline = time.monotonic() + LIMIT_SECS / 2
    while alive := [pid for pid in pids if Path(f"/proc/{pid}/exe").exists()]:
        assert time.monotonic() < deadline, f"left behind: {alive}"
        os.sched_yield()


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks into /proc")
@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -signal.SIGKILL)],
)
def test_a_signal_to_the_demo_leaves_no_process_behind(number: signal.Signals, status: int) -> None:
    """However the command ends, also by SIGKILL, its children and theirs end too."""
    with started_demo() as process:
        family = descendants(process.pid)
        assert len(family) == 2 + is_available()

        process.send_signal(number)

        assert process.wait(LIMIT_SECS) == status
        wait_gone(family)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks into /proc")
def test_a_child_that_dies_is_reported_and_ends_the_demo() -> None:
    """The demo does not wait for a listener that is gone: status 1, nothing left behind."""
    with started_demo() as process:
        family = descendants(process.pid)
        os.kill(family[0], signal.SIGKILL)

        assert process.wait(LIMIT_SECS) == 1
        wait_gone(family)
