"""`zmqbus peers`: what a newcomer sees of a channel."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator

import pytest

COMMAND = (sys.executable, "-m", "zmqbus.cli", "peers")


def run_peers(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    command = (*COMMAND, *arguments)
    return subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)


@pytest.fixture
def channel() -> Iterator[str]:
    """A channel with one runner on it, which hosts the worker `greeter`."""
    name = uuid.uuid4().hex
    command = (sys.executable, "-m", "zmqbus.examples.handoff", "greeter", name)
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        yield name
        process.kill()


def test_a_runner_is_listed_with_its_worker(channel: str) -> None:
    """Who, where and what it hosts, and below it how it does; status 0."""
    done = run_peers("--channel", channel, "--wait", "40")

    assert (done.returncode, done.stderr) == (0, "")
    line, health = done.stdout.splitlines()
    assert line.startswith("greeter-runner (")
    assert line.endswith("  greeter")
    assert "tcp://127.0.0.1:" in line
    assert health.startswith("    round trip ")
    assert re.search(
        r" 0 messages behind, gaps 0 open \d+ closed, system plane up, data plane out and in$",
        health,
    )


def test_json_is_one_array_of_peers(channel: str) -> None:
    """A program reads names, workers and endpoints from standard output."""
    done = run_peers("--channel", channel, "--wait", "40", "--json")

    (peer,) = json.loads(done.stdout)
    assert (peer["name"], peer["state"], peer["workers"]) == (
        "greeter-runner",
        "joined",
        ["greeter"],
    )


def test_an_empty_channel_is_said_and_is_status_1() -> None:
    """Nobody there is an answer, after the wait that was asked for; it says where."""
    channel = uuid.uuid4().hex
    done = run_peers("--channel", channel, "--wait", "0.2")

    assert (done.returncode, done.stdout) == (1, f"Nobody is on channel {channel!r}.\n")


def test_a_channel_without_a_name_is_one_sentence() -> None:
    """The bus refuses it; the command says so without a traceback, status 2."""
    done = run_peers("--channel", "")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("zmqbus: channel=''")
    assert done.stderr.count("\n") == 1
