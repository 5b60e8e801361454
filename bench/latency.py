"""How long 20 ms of audio takes through a whole bus, one way and there and back, in microseconds.

What it does not show: a network, for both processes are on this machine and share its clock; and
what a handler adds, for these only look at the clock. "beside ten flows" means that the same two
processes send each other ten more flows of a frame every 20 ms.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from bench import buses
from bench.casts import Part, cast, meet
from bench.children import Child
from bench.figures import Row, quantile, shown, verdict

SECS = 5.0
EVERY_SECS = 0.005
PARTS = {"near": Part(clocks=("near", "other")), "far": Part(clocks=("far", "crowd"))}
LIMIT_BARE = 2.0
"""How many times as late as by a bare socket the median may be, one way."""
SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999}
_BESIDE_FLOWS = 10
_BESIDE_SECS = 0.02
WARM_SECS = 0.3
_PATIENCE_SECS = 0.3


@dataclass(frozen=True)
class Case:
    """What is measured.

    Parameters:
        kind: The bus.
        back: Whether there and back.
        crowded: Whether beside ten other flows.
    """

    kind: str
    back: bool
    crowded: bool

    @property
    def columns(self) -> Row:
        """How a table calls it."""
        return {
            "bus": buses.TITLES[self.kind],
            "way": "there and back" if self.back else "one way",
            "while": "beside ten flows" if self.crowded else "idle",
        }


async def delays(
    stations: dict[str, Child], secs: float, *, back: bool = False, urgent: bool = False
) -> list[float]:
    """How long each message of a paced flow from "near" to "far" takes, in microseconds.

    Args:
        stations: A cast of `PARTS` that have met.
        secs: For how long.
        back: Whether to measure there and back.
        urgent: Whether to send system messages, not audio.
    """
    near, far = stations["near"], stations["far"]
    hears, clock = (near, "near") if back else (far, "far")
    if back:
        await far.call("echo", clock="far", echoes=True)
    await near.call("flow", source="near", target="far", every_secs=EVERY_SECS, urgent=urgent)
    await asyncio.sleep(min(WARM_SECS, secs))
    await hears.call("delays", clock=clock)
    await asyncio.sleep(secs)
    await near.call("rest")
    late_ns = await _last(hears, clock)
    if back:
        await far.call("echo", clock="far", echoes=False)
    return [each_ns / 1e3 for each_ns in late_ns]


async def _last(station: Child, clock: str) -> list[int]:
    """What has come to a clock, once nothing comes any more: the latest count most."""
    late_ns: list[int] = []
    while True:
        await asyncio.sleep(_PATIENCE_SECS)
        more = await station.call("delays", clock=clock)
        if not more:
            return late_ns
        late_ns += more


async def measure(
    rounds: int, secs: float = SECS, kinds: Sequence[str] = ("bare", "tcp")
) -> list[Row]:
    """Measure all kinds, in turn; what is missing is named and left out."""
    late: dict[Case, list[list[float]]] = {}
    there = buses.available(kinds)
    for _ in range(rounds):
        for kind in there:
            await _round(kind, secs, late)
    bare = late.get(Case("bare", back=False, crowded=False))
    floor = median(quantile(each, 0.5) for each in bare) if bare else None
    return [_row(case, each, floor) for case, each in late.items()]


async def _round(kind: str, secs: float, late: dict[Case, list[list[float]]]) -> None:
    async with cast(kind, PARTS) as stations:
        await meet(stations, ("near", "far"), ("near", "far"))
        if kind == "bare":  # the others' floor, one way
            late.setdefault(Case(kind, False, False), []).append(await delays(stations, secs))
            return
        for crowded in (False, True):
            for back in (False, True):
                if crowded:
                    await _crowd(stations)
                each = await delays(stations, secs, back=back)
                late.setdefault(Case(kind, back, crowded), []).append(each)
                await stations["far"].call("rest")


async def _crowd(stations: dict[str, Child]) -> None:
    """Let ten flows go, to be ended by `rest`."""
    for _ in range(_BESIDE_FLOWS // 2):
        await stations["near"].call("flow", source="near", target="crowd", every_secs=_BESIDE_SECS)
        await stations["far"].call("flow", source="far", target="other", every_secs=_BESIDE_SECS)


def _row(case: Case, late: list[list[float]], floor: float | None) -> Row:
    figures = {
        name: median(quantile(each, share) for each in late) for name, share in SHARES.items()
    }
    limited = floor is not None and case.kind in buses.OURS and not (case.back or case.crowded)
    ratio = figures["p50"] / floor if floor and not case.back else None
    return {
        **case.columns,
        "messages": sum(map(len, late)),
        **{name: shown(value, 0) for name, value in figures.items()},
        "p50 by bare": shown(ratio) if ratio else None,
        "limit": LIMIT_BARE if limited else None,
        "verdict": verdict(ratio, LIMIT_BARE) if limited and ratio else "",
    }
