"""Five processes under faults: nothing lost in silence, twice or out of order; no false death."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from chaos.namespaces import Namespaces, names
from chaos.proxies import Proxies
from chaos.runs import TICK_SECS, best_network, run
from chaos.schedule import ACTORS, plan

# What five processes need to start, to find each other again, and to end, on a busy machine.
SLACK_SECS = 120
LONG_SECS = 60.0


async def hold(seed: int, secs: float, network: str, config: str, tick: float, at: Path) -> int:
    """Play a plan; fail with it where a promise was broken. Returns how many messages came."""
    outcome, verdict = await run(seed, secs, network, config, tick, at)
    story = "\n".join([f"seed {seed}", *map(str, plan(seed, secs)), *verdict.violations])
    assert not verdict.violations, story
    assert outcome.complete
    return verdict.tally["delivered"]


def left_by_a_dead_run() -> str:
    """A namespace with the process id of somebody who has ended."""
    dead = subprocess.Popen(["true"])
    dead.wait()
    subprocess.run(["ip", "netns", "add", f"zbchaos{dead.pid}-0"], check=True)
    return f"zbchaos{dead.pid}-0"


def own_names() -> list[str]:
    """The namespaces of this process; others may have runs of their own."""
    return [name for name in names() if name.startswith(f"zbchaos{os.getpid()}-")]


@pytest.mark.timeout(SLACK_SECS)
async def test_some_seconds_of_faults_break_no_promise(tmp_path: Path) -> None:
    """A kill, a stop, a cut and a reset, in namespaces if they are possible, else on loopback."""
    assert await hold(1, 7.0, best_network(), "default", 0.05, tmp_path) > 1_000


async def test_network_leaves_nothing_and_sweeps_what_a_dead_run_left() -> None:
    """Namespaces are gone with their run, and those of a dead one with the next."""
    if reason := Namespaces.missing():
        pytest.skip(reason)
    stale, lan = left_by_a_dead_run(), Namespaces()
    assert stale in names()
    await lan.open()
    assert stale not in names()
    assert len(own_names()) == ACTORS + 1
    await lan.close()
    assert own_names() == []


@pytest.mark.slow
@pytest.mark.timeout(LONG_SECS + SLACK_SECS)
@pytest.mark.parametrize("seed", range(1, 21))
async def test_minute_of_faults_in_namespaces_breaks_no_promise(seed: int, tmp_path: Path) -> None:
    """Everything that goes wrong on a LAN, in twenty orders; every other pair of seeds is tight."""
    if reason := Namespaces.missing():
        pytest.skip(reason)
    config = ("default", "tight")[seed // 2 % 2]
    assert await hold(seed, LONG_SECS, "netns", config, TICK_SECS, tmp_path) > 50_000


@pytest.mark.slow
@pytest.mark.timeout(LONG_SECS + SLACK_SECS)
@pytest.mark.parametrize("seed", [21, 22])
async def test_minute_of_faults_on_loopback_breaks_no_promise(seed: int, tmp_path: Path) -> None:
    """The same without root, through proxies."""
    if reason := Proxies.missing():
        pytest.skip(reason)
    assert await hold(seed, LONG_SECS, "loopback", "default", 0.04, tmp_path) > 20_000
