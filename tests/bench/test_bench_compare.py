"""The comparison: its table, its guard, its pictures."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from bench import buses, compare
from bench.compare import Measured
from bench.figures import OVER
from bench.throughput import Rate

ROOT = Path(__file__).parents[2]
LIMITS = ROOT / "bench" / "limits.toml"


def measured(kind: str, per_sec: int, late_us: float, *, lost_msgs: int = 0) -> Measured:
    """What a bus of such a rate and latency gives."""
    rate, late = Rate(per_sec, 0, 0, 1.0, 1.0, 1.0), [[late_us]]
    return Measured(kind, [rate], late, late, lost_msgs)


def limits(tmp_path: Path, figure: str, usual: float) -> Path:
    """A file with one limit."""
    path = tmp_path / "limits.toml"
    ratio = f'figure = "{figure}"\nours = "tcp"\nother = "redis"\nusual = {usual}\n'
    path.write_text(f"[[ratio]]\n{ratio}")
    return path


@pytest.mark.parametrize("figure", ["msg/s", "p50"])
def test_ratio_that_fell_by_more_than_a_third_is_over(figure: str, tmp_path: Path) -> None:
    """Ours is ten times as good, in rate and in latency: 14 is still usual, 16 is not."""
    both = [measured("tcp", 1000, 10.0), measured("redis", 100, 100.0)]
    [well] = compare.check(both, limits(tmp_path, figure, 14.0))
    [ill] = compare.check(both, limits(tmp_path, figure, 16.0))
    assert (well["verdict"], ill["verdict"]) == ("ok", OVER)
    assert compare.check(both[:1], limits(tmp_path, figure, 16.0)) == []


def test_only_ours_may_not_lose_a_message() -> None:
    """A rival that does is shown with how many."""
    assert measured("tcp", 1, 1.0, lost_msgs=1).row()["verdict"] == OVER
    rival = measured("redis", 1, 1.0, lost_msgs=1).row()
    assert (rival["verdict"], rival["lost"]) == ("", 1)


def test_limits_name_figures_and_buses_that_exist() -> None:
    """Each ratio of the file can be measured."""
    figures = measured("tcp", 1, 1.0).figures()
    for limit in tomllib.loads(LIMITS.read_text())["ratio"]:
        assert limit["figure"] in figures
        assert {limit["ours"], limit["other"]} <= set(buses.TITLES)


def test_command_compares_checks_and_draws(tmp_path: Path) -> None:
    """Rows of both buses and of the guard come out, and two pictures where they can be drawn."""
    pytest.importorskip("matplotlib")
    path = tmp_path / "limits.toml"
    path.write_text('[[ratio]]\nfigure = "msg/s"\nours = "tcp"\nother = "queue"\nusual = 1e9\n')
    rows = run("--check", str(path), "--plot", str(tmp_path / "bench.svg"), status=1)
    assert [row.get("bus") for row in rows] == ["AsyncQueueBus, one process", "zmqbus, tcp", None]
    assert rows[-1]["verdict"] == OVER
    assert sorted(p.name for p in tmp_path.glob("*.svg")) == [
        "bench-latency.svg",
        "bench-throughput.svg",
    ]


def run(*arguments: str, status: int) -> list[dict[str, Any]]:
    """Compare two buses, tiny; returns the rows."""
    command = [sys.executable, "-m", "bench", "compare", "--json", "--bus", "queue", "tcp"]
    tiny = ("--rounds", "1", "--secs", "0.1")
    done = subprocess.run(
        [*command, *tiny, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == status, done.stderr
    rows: list[dict[str, Any]] = json.loads(done.stdout)["rows"]
    return rows
