"""`zmqbus sim`: what it prints, what it refuses, and when it fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def run_sim(*arguments: str, hash_seed: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the command in a process that hashes its own way."""
    return subprocess.run(
        (sys.executable, "-m", "zmqbus.cli", "sim", *arguments),
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def test_same_seed_prints_the_same_in_three_processes() -> None:
    """All it tells but the memory depends on the seed alone, and it tells all of it."""
    arguments = ("--runners", "5", "--seed", "7", "--secs", "4", "--faults", "cut, kill")
    done = [run_sim(*arguments, hash_seed=h) for h in (1, 2, 3)]

    assert [d.returncode for d in done] == [0, 0, 0]
    told = [[line for line in d.stdout.splitlines() if "memory  " not in line] for d in done]
    assert told[0] == told[1] == told[2]
    words = [line.split()[0] for line in told[0]]
    assert words == [
        *("seed", "faults", "joins", "deaths", "messages", "control"),
        *("agreement", "run", "promises", "digest"),
    ]
    assert "kill" in told[0][1]
    assert "pause" not in told[0][1]


def test_disagreement_exits_1_and_says_how_to_see_it_again() -> None:
    """Seed and step are named."""
    asked = ("--runners", "4", "--seed", "3", "--secs", "0.1", "--faults", "cut, kill")
    done = run_sim(*asked, "--settle", "0")

    assert done.returncode == 1
    assert "BROKEN  <Sim seed=3 " in done.stdout
    again = done.stdout.partition("again  zmqbus sim ")[2].splitlines()[0]
    assert again == "--runners 4 --seed 3 --secs 0.1 --faults cut,kill --settle 0"
    broken, seen_again = (d.stdout.partition("BROKEN")[2] for d in (done, run_sim(*again.split())))
    assert broken == seen_again


def test_claim_of_a_scenario_that_does_not_hold_exits_1(tmp_path: Path) -> None:
    """With its line; one that holds gives a digest."""
    path = tmp_path / "alone.txt"
    path.write_text("0 add n1\n1 settled\n")
    done = run_sim("--scenario", str(path))
    assert (done.returncode, "digest" in done.stdout) == (0, True)
    path.write_text("0 add n1\n1 saw n1 PeerJoined n1\n")

    done = run_sim("--scenario", str(path))

    assert done.returncode == 1
    assert "line 2, '1 saw n1 PeerJoined n1'" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--faults", "cut,flood"), "'flood' is none; choose from kill, "),
        (("--scenario", "nowhere.txt"), "give a scenario file"),
        (("--runners", "1"), "--runners"),
        (("--secs", "0"), "--secs"),
    ],
)
def test_wrong_argument_exits_2(arguments: tuple[str, ...], complaint: str) -> None:
    """What cannot be done is refused in a sentence."""
    done = run_sim(*arguments)

    assert done.returncode == 2
    assert complaint in done.stderr
