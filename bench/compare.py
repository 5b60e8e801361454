"""All buses side by side in one interleaved run: throughput, latency, and latency in a flood.

What it does not show: what the rivals leave out. NATS, Zenoh and RedisBus neither repair nor count
what is lost, and bare sockets move bytes alone. A message is 20 ms of audio, from one process to
another (for the queue: within one); delays are microseconds since `send()`: of audio every 5 ms
while nothing else goes on, and of system messages while audio floods the same two flat out.
"""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from bench import buses, latency, throughput
from bench.casts import Part, cast, meet
from bench.children import Child
from bench.figures import OVER, Row, quantile, shown
from bench.throughput import Rate

SECS = 2.0
_SHAPE = throughput.SHAPES[0]
_PARTS = {"near": Part(), "far": Part(counters=("count",), clocks=("far",))}
_LEAST_SHARE = 2 / 3
"""Of what is usual, a ratio may fall to this: by a third."""


@dataclass
class Measured:
    """One bus, all rounds.

    Parameters:
        kind: One of `bench.buses.TITLES`.
        rates: Throughput.
        calm: How late the frames of a paced flow are, in microseconds.
        flooded: The same of system messages in a flood.
        lost_msgs: Messages of a flood that never came.
    """

    kind: str
    rates: list[Rate] = field(default_factory=list)
    calm: list[list[float]] = field(default_factory=list)
    flooded: list[list[float]] = field(default_factory=list)
    lost_msgs: int = 0

    @property
    def whole(self) -> bool:
        """Whether nothing was lost or reordered."""
        return not self.lost_msgs and all(rate.whole for rate in self.rates)

    def figures(self) -> dict[str, float]:
        """Medians of the rounds, by name."""
        return {
            "msg/s": median(rate.per_sec for rate in self.rates),
            "p50": _of_rounds(self.calm, 0.5),
            "p99": _of_rounds(self.calm, 0.99),
            "flood p50": _of_rounds(self.flooded, 0.5),
            "flood p99": _of_rounds(self.flooded, 0.99),
            "flood max": _of_rounds(self.flooded, 1.0),
        }

    def row(self) -> Row:
        """One line of the table; a rival may lose messages, we may not."""
        figures: Row = {name: shown(value, 0) for name, value in self.figures().items()}
        if not all(rate.whole for rate in self.rates):
            figures["msg/s"] = "lost or reordered"
        sender_us = median(rate.sender_us for rate in self.rates)
        return {
            "bus": buses.TITLES[self.kind],
            "sender us": shown(sender_us, 1),
            **figures,
            "lost": self.lost_msgs,
            "verdict": OVER if self.kind in buses.OURS and not self.whole else "",
        }


def _of_rounds(late: list[list[float]], share: float) -> float:
    return median(quantile(each, share) for each in late)


async def measure(
    rounds: int, secs: float = SECS, kinds: Sequence[str] = tuple(buses.TITLES)
) -> list[Measured]:
    """Measure all kinds, in turn; what is missing is named and left out."""
    measured = [Measured(kind) for kind in buses.available(kinds)]
    for _ in range(rounds):
        for one in measured:
            async with cast(one.kind, _SHAPE.parts) as stations:
                await meet(stations, _SHAPE.sources, _SHAPE.sinks)
                await throughput.rate(stations, _SHAPE, "audio", secs / 4)  # to warm up
                one.rates.append(await throughput.rate(stations, _SHAPE, "audio", secs))
            async with cast(one.kind, _PARTS) as stations:
                await meet(stations, ("near",), ("far",))
                one.calm.append(await latency.delays(stations, secs))
                await _flood(stations, secs, one)
    return measured


async def _flood(stations: dict[str, Child], secs: float, measured: Measured) -> None:
    near, far = stations["near"], stations["far"]
    flooding = asyncio.create_task(
        near.call("send", what="audio", targets=["count"], secs=secs + latency.WARM_SECS)
    )
    measured.flooded.append(await latency.delays(stations, secs, urgent=True))
    sent, _ = await flooding
    taken, *_ = await far.call("arrived", msgs=sent, secs=2.0)
    measured.lost_msgs += abs(sent - taken)


def check(measured: Sequence[Measured], limits: Path) -> list[Row]:
    """Hold ratios of this run to those that are usual: how many times as good ours is.

    Args:
        measured: What `measure` gave.
        limits: A file like ``bench/limits.toml``.
    """
    figures = {one.kind: one.figures() for one in measured}
    rows = []
    for limit in tomllib.loads(limits.read_text())["ratio"]:
        ours, other, name = limit["ours"], limit["other"], limit["figure"]
        if ours not in figures or other not in figures:
            continue
        ratio = figures[ours][name] / figures[other][name]
        ratio = ratio if name == "msg/s" else 1 / ratio
        least = limit["usual"] * _LEAST_SHARE
        rows.append(
            {
                "ratio": f"{buses.TITLES[ours]} by {buses.TITLES[other]}, {name}",
                "times as good": shown(ratio),
                "usually": limit["usual"],
                "limit": shown(least),
                "verdict": "ok" if ratio >= least else OVER,
            }
        )
    return rows
