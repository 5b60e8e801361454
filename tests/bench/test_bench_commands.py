"""Each benchmark with faults runs, tiny, and its verdict is that of its rows.

What the figures are depends on the machine, and is looked at by whoever runs the whole of it.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench import death, flood, overload, strangers
from bench.death import Trials
from bench.figures import OVER
from bench.messages import MESSAGES

ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> tuple[int, list[dict[str, Any]]]:
    """Run a benchmark; returns its exit status and the rows of its table."""
    command = [sys.executable, "-m", "bench", *arguments, "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, json.loads(done.stdout)["rows"]


def is_over(rows: list[dict[str, Any]]) -> bool:
    """Whether any row breaks its limit."""
    return any(row["verdict"] == OVER for row in rows)


def test_codec_measures_every_message_and_its_exit_status_says_whether_it_is_fast() -> None:
    """Each kind of message is measured with both serializers."""
    status, rows = run("codec")
    assert status == is_over(rows)
    assert [row["message"] for row in rows] == list(MESSAGES)
    assert all(row["us"] > 0 and row["JSON us"] > 0 for row in rows)


def test_flood_runs_and_its_exit_status_says_whether_all_is_within_limits() -> None:
    """Frames flow, system messages are timed in both phases, nothing is lost."""
    status, rows = run("flood", "--rounds", "1", "--secs", "0.3")
    assert status == is_over(rows)
    assert [row["messages"] > 0 for row in rows[:-1]] == [True] * 5
    assert rows[-1]["max"] == 0


async def test_kill_notes_loss_error_and_restart() -> None:
    """One SIGKILL in mid-job gives three figures: lost, ERROR, answered after the restart."""
    trials = Trials()
    async with death.watched_pair() as pair:
        await death.kill(pair, trials)
    rows = trials.rows()
    assert [row["what"] for row in rows] == [death.KILL, death.ERROR, death.RESTART]
    assert "never" not in [row["max"] for row in rows]


async def test_blocked_loops_on_either_side_lose_nobody() -> None:
    """A block much shorter than it could matter: the count is 0 on both sides."""
    trials = Trials()
    async with death.Pair() as pair:
        await death.block(pair, death.PEER, 0.1, trials)
        await death.block(pair, death.OBSERVER, 0.1, trials)
    assert [row["max"] for row in trials.rows()] == [0, 0]


async def test_overload_accounts_for_every_message() -> None:
    """Frames are sent while the reader is not well, and each comes in the end or is announced."""
    measured = await overload.overload(overload.Hang(), rounds=1, secs=0.3)
    assert measured.sent_msgs > 0
    assert measured.unaccounted_msgs == 0
    assert len(measured.rows()) == 7


async def test_strangers_knock_and_every_member_is_timed() -> None:
    """The floods reach the ports of all kinds of members, and their messages go on."""
    floods = strangers.FLOODS[-2:]
    rows = await strangers.measure(1, 0.3, floods=floods)
    assert [row["members"] for row in rows] == [m for f in floods for m in f.to]
    for row in rows:
        assert row["a second"] > 0
        assert "never" not in row.values()
        assert row["dropped"] == 0


def test_strangers_are_held_to_each_limit() -> None:
    """Memory, delay and members dropped: any of them is enough for the verdict."""

    def verdict(growth_bytes: int = 0, late: float = 0.001, lost: int = 0) -> object:
        measured = strangers.Measured(strangers.PLAIN, strangers.FLOODS[0], [1.0], [growth_bytes])
        measured.lost = lost
        measured.delays = {"quiet": [[0.001]], "flood": [[late]], "after": [[0.001]]}
        return measured.row()["verdict"]

    assert verdict() == "ok"
    assert verdict(growth_bytes=21_000_000) == OVER
    assert verdict(late=0.0051) == OVER
    assert verdict(lost=1) == OVER


async def test_interrupted_measurement_leaves_no_process() -> None:
    """Whoever is interrupted while a child is stopped kills it all the same."""
    begun: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def measure() -> None:
        async with flood.pair() as (sender, _):
            await overload.Stop().begin(sender, 0.0)
            begun.set_result(sender.process.pid)
            await asyncio.Event().wait()

    measuring = asyncio.create_task(measure())
    pid = await begun
    measuring.cancel()
    await asyncio.wait([measuring])
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "arguments",
    [
        ("death", "--trials", "1", "--secs", "1"),
        ("overload", "--rounds", "1", "--secs", "3"),
        ("strangers", "--rounds", "1", "--secs", "0.5"),
    ],
)
def test_whole_command_ends_as_its_rows_say(arguments: tuple[str, ...]) -> None:
    """The rest of what the tests above run in part."""
    status, rows = run(*arguments)
    assert status == is_over(rows)
