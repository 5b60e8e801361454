"""Rates: who sends to whom, what is counted, and that nothing lost gets a rate."""

from __future__ import annotations

import pytest

from bench import buses, throughput
from bench.casts import cast, meet
from bench.figures import OVER
from bench.throughput import SHAPES, Rate, Shape

KINDS = [kind for kind in buses.TITLES if kind not in ("queue", "bare")]


async def test_broadcast_and_jobs_in_turn_reach_both_receivers() -> None:
    """One to two: audio goes to both, jobs to each in turn, and both are counted whole."""
    shape = Shape(1, 2)
    async with cast("tcp", shape.parts) as stations:
        await meet(stations, shape.sources, shape.sinks)
        audio = await throughput.rate(stations, shape, "audio", 0.1)
        jobs = await throughput.rate(stations, shape, "job", 0.1, per_sec=200.0)
    assert audio.whole
    assert jobs.whole
    assert jobs.sent_msgs >= 2
    assert min(audio.sender_us, audio.receiver_us) > 0


@pytest.mark.parametrize("kind", KINDS)
async def test_every_bus_carries_audio_from_one_process_to_another(kind: str) -> None:
    """Each rival is started, met and measured; what is not installed is skipped."""
    shape = SHAPES[0]
    try:
        async with cast(kind, shape.parts) as stations:
            await meet(stations, shape.sources, shape.sinks)
            rate = await throughput.rate(stations, shape, "audio", 0.05)
    except buses.MissingError as error:
        pytest.skip(str(error))
    assert rate.sent_msgs > 0
    assert rate.whole


@pytest.mark.parametrize("kind", ["queue", "bare"])
async def test_floor_and_ceiling_are_measured_the_same_way(kind: str) -> None:
    """The queue within one process, and bare sockets between two."""
    shape = SHAPES[0]
    async with cast(kind, shape.parts) as stations:
        await meet(stations, shape.sources, shape.sinks)
        rate = await throughput.rate(stations, shape, "audio", 0.05)
    assert rate.sent_msgs > 0
    assert rate.whole


def test_shapes_say_who_sends_to_whom() -> None:
    """Pairs where there are as many of both, else everybody, or jobs for each in turn."""
    assert Shape(4, 4).targets("audio", 2) == ["receiver-2"]
    assert Shape(1, 2).targets("audio", 0) == [None]
    assert Shape(1, 2).targets("job", 0) == ["receiver-0", "receiver-1"]


@pytest.mark.parametrize(("lost", "astray"), [(1, 0), (0, 1)])
def test_no_rate_where_a_message_was_lost_or_out_of_order(lost: int, astray: int) -> None:
    """One in any round is enough, and breaks the limit."""
    good, bad = (Rate(100, n, m, 1.0, 1.0, 1.0) for n, m in ((0, 0), (lost, astray)))
    row = throughput.row(("tcp", SHAPES[0], "audio", "flat out"), [good, bad])
    assert row["msg/s"] == "lost or reordered"
    assert row["verdict"] == OVER
    assert throughput.row(("tcp", SHAPES[0], "audio", "flat out"), [good])["msg/s"] == 100
