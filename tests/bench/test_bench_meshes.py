"""What meshes take: to meet, when idle, and simulated."""

from __future__ import annotations

import sys

import pytest

from bench import idle, join, scale
from zmqbus.config import DEFAULT


async def test_two_runners_meet_and_the_first_message_comes_back() -> None:
    """All workers are known, and a ping of the second runner is answered."""
    rows = await join.rows(1, (2,), ("one seed",))
    assert [row["runners"] for row in rows] == [2]
    assert rows[0]["there and back ms"] > 0


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_idle_runners_are_weighed_against_one_without_a_mesh() -> None:
    """The first row is pipecat's own share; peers keep saying something to each other."""
    alone, pair = await idle.measure(1.0, (2,))
    assert (alone["runners"], pair["runners"]) == (0, 2)
    assert pair["control bytes/s per peer"] > 0


async def test_larger_meshes_are_simulated_and_the_largest_put_on_paper() -> None:
    """What is on paper grows with the size, but for heartbeats, which have a budget."""
    rows = await scale.measure((3, 5))
    simulated = [row for row in rows if row["how"] == "simulated"]
    paper = [row for row in rows if row["how"] == "on paper"]
    assert [row["runners"] for row in simulated] == [3, 5]
    assert [row["runners"] for row in paper] == list(scale.PAPER_SIZES)
    assert paper[0]["to join, kB each"] < paper[1]["to join, kB each"]
    assert paper[0]["idle, B/s each"] == paper[1]["idle, B/s each"]


def test_landmarks_follow_from_the_defaults() -> None:
    """The heartbeats' budget, descriptors, and the most peers, each with oneself."""
    every, descriptors, most = (row["runners"] for row in scale.landmarks())
    assert scale.heartbeats_per_sec(every) == DEFAULT.heartbeats_per_sec
    assert descriptors == 147
    assert most == DEFAULT.max_peers + 1
