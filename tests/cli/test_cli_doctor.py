"""`zmqbus doctor` and `zmqbus health`: what they print, and with which status they end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.proxy import own_address


def run_cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own."""
    command = (sys.executable, "-m", "zmqbus.cli", *arguments)
    return subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A meeting place of this test's own, and no setting from the environment."""
    for variable in [name for name in os.environ if name.startswith("ZMQBUS_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("ZMQBUS_RUNTIME_DIR", str(tmp_path))


@pytest.fixture
def channel() -> str:
    """A channel of this test's own."""
    return uuid.uuid4().hex


@pytest.fixture
def greeter(channel: str) -> Iterator[subprocess.Popen[str]]:
    """A runner on it."""
    command = (sys.executable, "-m", "zmqbus.examples.handoff", "greeter", channel)
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, text=True) as process:
        yield process
        process.kill()


def wait_for(channel: str) -> None:
    """Wait until somebody is on the channel."""
    assert run_cli("peers", "--channel", channel, "--wait", "40").returncode == 0


# -- doctor


def test_doctor_prints_what_it_found_and_what_to_do() -> None:
    """A mere warning is status 0."""
    done = run_cli("doctor")
    assert (done.returncode, done.stderr) == (0, "")
    assert "  ok  versions: pipecat-zmqbus " in done.stdout
    assert "warn  peers: nobody was found\n      → start a runner" in done.stdout


def test_doctor_that_found_a_problem_ends_with_1(tmp_path: Path) -> None:
    """A script needs no parser."""
    path = tmp_path / "mesh.key"
    path.touch()
    path.chmod(0o644)
    done = run_cli("doctor", "--key-file", str(path))
    assert done.returncode == 1
    assert f"`chmod 600 {path}` mends it" in done.stdout


def test_doctor_with_json_prints_one_array() -> None:
    """And nothing else on either stream."""
    done = run_cli("doctor", "--json", "--wait", "0")
    findings = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(set(finding) == {"check", "level", "what", "remedy"} for finding in findings)


@pytest.mark.parametrize(
    "arguments", [("--bind", "nowhere"), ("--nonsense",), ("--channel", ""), ("--wait", "-1")]
)
def test_doctor_with_bad_arguments_ends_with_2(arguments: tuple[str, ...]) -> None:
    """No bus would start with them either."""
    done = run_cli("doctor", *arguments)
    assert (done.returncode, done.stdout) == (2, "")


def test_doctor_and_health_never_load_pipecat() -> None:
    """A probe runs every few seconds (habit 20)."""
    code = (
        "import sys, zmqbus.cli.doctor, zmqbus.cli.health\n"
        "import zmqbus.doctor.examination, zmqbus.doctor.probing, zmqbus.doctor.setup\n"
        "print('pipecat' in sys.modules)"
    )
    done = subprocess.run(
        (sys.executable, "-c", code), capture_output=True, text=True, timeout=50, check=True
    )
    assert done.stdout == "False\n"


# -- health


def test_health_of_a_runner_that_is_well_is_0(greeter: subprocess.Popen[str], channel: str) -> None:
    """One line for each runner of this user on this host, or only for that of one process."""
    wait_for(channel)
    done = run_cli("health", "--channel", channel)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("  ok  peers: greeter-runner (")
    alone = run_cli("health", "--channel", channel, "--pid", str(greeter.pid), "--json")
    (finding,) = json.loads(alone.stdout)
    assert (alone.returncode, finding["level"]) == (0, "ok")
    other = run_cli("health", "--channel", channel, "--pid", "1")
    assert (other.returncode, other.stdout) == (2, "")


def test_health_of_a_runner_that_stands_still_is_1(
    greeter: subprocess.Popen[str], channel: str
) -> None:
    """It is there, and does not answer; a stopped process is told from a port of somebody else."""
    wait_for(channel)
    greeter.send_signal(signal.SIGSTOP)
    done = run_cli("health", "--channel", channel, "--wait", "1")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("fail  peers: handshake: ")
    assert f"(`kill -CONT {greeter.pid}`)" in done.stdout


def test_health_where_nobody_is_is_2(channel: str) -> None:
    """It says where nobody is."""
    done = run_cli("health", "--channel", channel)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"Nobody is on channel {channel!r} on this host.\n"


def test_health_with_a_key_that_cannot_be_used_is_2(tmp_path: Path) -> None:
    """Nobody can be asked."""
    done = run_cli("health", "--key-file", str(tmp_path / "none.key"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("zmqbus: ")


def test_health_without_the_directory_asks_at_the_port_that_is_bound(
    channel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a container with seeds only, the environment of the probe is that of the runner."""
    at = f"tcp://{own_address()}:7000"
    monkeypatch.setenv("ZMQBUS_DISCOVERY", "")
    monkeypatch.setenv("ZMQBUS_BIND", at)
    command = (sys.executable, "-m", "zmqbus.examples.handoff", "greeter", channel)
    assert run_cli("health", "--channel", channel).returncode == 2
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        monkeypatch.setenv("ZMQBUS_PEERS", at)
        monkeypatch.setenv("ZMQBUS_BIND", "tcp://127.0.0.1:*")
        wait_for(channel)
        monkeypatch.setenv("ZMQBUS_BIND", at)
        done = run_cli("health", "--channel", channel)
        process.kill()
    assert done.returncode == 0, done.stderr
    assert "greeter-runner" in done.stdout
