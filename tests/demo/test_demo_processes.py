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

from zmqbus.demo.failover import STEPS
from zmqbus.demo.recognizer import is_available
from zmqbus.demo.recording import REFERENCES

COMMAND = (sys.executable, "-m", "zmqbus.cli", "demo")
LIMIT_SECS = 50

needs_pocketsphinx = pytest.mark.skipif(not is_available(), reason="the extra demo is missing")
needs_proc = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks into /proc")


def run_demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the demo to its end."""
    command = (*COMMAND, *arguments)
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_SECS, check=False)


@pytest.fixture(scope="module")
def done() -> subprocess.CompletedProcess[str]:
    """A run of the demo that nothing disturbs."""
    return run_demo("--fast", "--json")


def test_fast_json_loses_nothing_and_hears_the_speech(
    done: subprocess.CompletedProcess[str],
) -> None:
    """Standard output is one JSON object that tells of every frame, and the status is 0."""
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


def silence(path: Path) -> str:
    """Write half a second of it."""
    head = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\1\0\1\0\x80\x3e\0\0\0\x7d\0\0\2\0\x10\0data"
    path.write_bytes(head + b"\xff\xff\xff\xff" + bytes(16_000))
    return str(path)


def test_silence_is_transported_but_no_success(tmp_path: Path) -> None:
    """A file without speech loses nothing, and still ends with status 1."""
    done = run_demo("--fast", "--wav", silence(tmp_path / "silence.wav"))

    assert done.returncode == 1
    assert "25 sent, 25 received, 0 lost" in done.stdout
    assert "speech    none" in done.stdout


@needs_pocketsphinx
def test_listener_killed_in_mid_sentence_costs_no_word(
    done: subprocess.CompletedProcess[str],
) -> None:
    """The standby hears the whole sentence: the text is that of a run without a kill (R22, R24)."""
    killed = run_demo("--kill", "--json")

    assert killed.returncode == 0, killed.stderr
    summary, undisturbed = json.loads(killed.stdout), json.loads(done.stdout)
    assert summary["text"] == undisturbed["text"]
    assert [summary[name] for name in ("sent", "received", "lost")] == [355, 355, 0]
    assert summary["steps"].keys() == STEPS.keys()
    story = iter(killed.stderr.splitlines())
    for words in (
        "killing the process of listener",
        "ERROR response to the job of listener: runner 'listener-runner'",
        "standby listens from 0.00 s",
        "silence",
    ):
        assert any(words in line for line in story), killed.stderr
    assert "lost listener-runner" in killed.stderr


@needs_pocketsphinx
def test_kill_without_a_sentence_is_no_success(tmp_path: Path) -> None:
    """Where nobody speaks nobody is killed, and that is said."""
    done = run_demo("--kill", "--wav", silence(tmp_path / "silence.wav"))

    assert done.returncode == 1
    assert "killed    nobody" in done.stdout


@needs_pocketsphinx
def test_kill_with_fast_is_one_sentence() -> None:
    """There is no mid-sentence in a sentence that is over at once."""
    done = run_demo("--kill", "--fast")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "zmqbus: --kill=True: with --fast a sentence is over before anybody can be killed in the "
        "middle of it; leave one of the two out.\n"
    )


def test_kill_without_a_recognizer_is_one_sentence() -> None:
    """What is missing is said with the command that brings it."""
    hidden = "import sys; sys.modules['pocketsphinx'] = None; import zmqbus.cli; zmqbus.cli.main()"
    command = (sys.executable, "-c", hidden, "demo", "--kill")
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_SECS, check=False)

    assert (done.returncode, done.stdout) == (2, "")
    assert "pip install 'pipecat-zmqbus[demo]'" in done.stderr


@contextmanager
def started_demo(
    *arguments: str, until: str = "listener listens"
) -> Iterator[subprocess.Popen[str]]:
    """A demo in real time, at the moment when it has said something: its children run then."""
    with subprocess.Popen(
        (*COMMAND, *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if until in line:
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


@needs_proc
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


@needs_proc
def test_a_child_that_dies_is_reported_and_ends_the_demo() -> None:
    """The demo does not wait for a listener that is gone: status 1, nothing left behind."""
    with started_demo() as process:
        family = descendants(process.pid)
        os.kill(family[0], signal.SIGKILL)

        assert process.wait(LIMIT_SECS) == 1
        wait_gone(family)


@needs_proc
@needs_pocketsphinx
def test_interrupt_after_the_hand_over_leaves_no_process_behind() -> None:
    """Neither the standby nor what the killed listener had started outlives the command."""
    with started_demo("--kill", until="killing") as process:
        family = descendants(process.pid)
        assert process.stdout is not None
        assert any("standby listens" in line for line in process.stdout)
        family += descendants(process.pid)

        process.send_signal(signal.SIGINT)

        assert process.wait(LIMIT_SECS) == 130
        wait_gone(family)


@needs_proc
def test_output_that_nobody_reads_ends_the_demo_quietly() -> None:
    """`zmqbus demo | head -1`: no word of a broken pipe, nothing left behind."""
    with started_demo() as process:
        family = descendants(process.pid)
        assert process.stdout is not None
        process.stdout.close()

        assert process.wait(LIMIT_SECS) == 141
        assert process.stderr is not None
        assert process.stderr.read() == ""
        wait_gone(family)


def test_summary_that_nobody_reads_is_no_error(tmp_path: Path) -> None:
    """`zmqbus demo --json | true`: what is shown on standard error knows of no pipe."""
    arguments = ("--fast", "--json", "--wav", silence(tmp_path / "silence.wav"))
    with subprocess.Popen(
        (*COMMAND, *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        told = process.stderr.read()

    assert process.returncode == 1
    assert "speech    none" in told
    assert "broken" not in told.lower()
