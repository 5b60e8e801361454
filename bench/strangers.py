"""What strangers at a port cost the members: memory, and how late their messages are.

What it does not show: strangers on other machines, whose work would not be done by the same cores.
Here the stranger and the kernel's share of its connections take one of them or more. The bare rows
are the same strangers at a bare ROUTER, between processes that have nothing but sockets: whatever
makes those late no bus can save. Growth is that of the member whose port it is. Delays are in
milliseconds, since a message was due.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from bench.children import Child, child
from bench.figures import OVER, Row, quantile, shown, verdict
from zmqbus.keys import MeshKey

SECS = 10.0
PER_SEC = 10_000
LIMIT_RATIO = 5.0
LIMIT_GROWTH_MB = 20.0
_FLOW_SECS = 0.01
_SAMPLE_SECS = 0.1
_CALM_SECS = 5.0
"""Before each flood, and after it."""
_SETTLE_SECS = 1.0
_PHASES = ("quiet", "flood", "after")


@dataclass(frozen=True)
class Flood:
    """What a stranger does.

    Parameters:
        title: In the table.
        order: An order of `bench.stranger`.
        arguments: Of the order.
        to: Whom it is for; empty: everybody.
    """

    title: str
    order: str
    arguments: dict[str, Any]
    to: tuple[str, ...] = ()


PLAIN, KEYED, BARE = "without a key", "with a key", "bare sockets"
MEMBERS = (PLAIN, KEYED, BARE)
FLOODS = (
    Flood("connects and closes", "connect", {"says": "nothing", "holds": False}),
    Flood("connects and stays", "connect", {"says": "nothing", "holds": True}),
    Flood("says 64 bytes of noise", "connect", {"says": "noise", "holds": True}),
    Flood("speaks plain ZeroMQ", "connect", {"says": "plain ZeroMQ", "holds": True}),
    Flood("tries another key", "connect", {"says": "another key", "holds": True}, (KEYED,)),
    Flood("says hello", "hello", {}, (PLAIN, BARE)),
)


@dataclass
class Measured:
    """All rounds of one flood.

    Parameters:
        member: At whose port, one of `MEMBERS`.
        flood: What the stranger did.
        per_sec: How many times a second, each round.
        growth_bytes: Of the memory during the flood and after it, each round.
        lost: How many members were dropped by another one.
        delays: How late messages were, by phase, each round, in seconds.
    """

    member: str
    flood: Flood
    per_sec: list[float] = field(default_factory=list)
    growth_bytes: list[int] = field(default_factory=list)
    lost: int = 0
    delays: dict[str, list[list[float]]] = field(
        default_factory=lambda: {phase: [] for phase in _PHASES}
    )

    def row(self) -> Row:
        """The row of the table."""
        p99 = {phase: self._late(phase, 0.99) for phase in _PHASES}
        growth_mb, ratio = max(self.growth_bytes) / 1e6, p99["flood"] / p99["quiet"]
        verdicts = (
            verdict(growth_mb, LIMIT_GROWTH_MB),
            verdict(ratio, LIMIT_RATIO),
            verdict(self.lost, 0),
        )
        over = "ok" if OVER not in verdicts else OVER
        return {
            "members": self.member,
            "a stranger": self.flood.title,
            "a second": round(median(self.per_sec)),
            "growth MB": shown(growth_mb, 1),
            **{f"p50 {phase}": shown(self._late(phase, 0.5) * 1e3) for phase in _PHASES},
            **{f"p99 {phase}": shown(p99[phase] * 1e3) for phase in _PHASES},
            "ratio": shown(ratio, 1),
            "dropped": self.lost,
            "verdict": "" if self.member == BARE else over,
        }

    def _late(self, phase: str, share: float) -> float:
        return median(quantile(each, share) for each in self.delays[phase])


async def measure(
    rounds: int,
    secs: float = SECS,
    members: Sequence[str] = MEMBERS,
    floods: Sequence[Flood] = FLOODS,
) -> list[Row]:
    """Measure each flood at each kind of members, so many times, for ``secs`` each time."""
    results = [Measured(m, f) for f in floods for m in members if m in (f.to or MEMBERS)]
    async with child(command=("bench.stranger",)) as stranger:
        for _ in range(rounds):
            for result in results:
                await _measure(result, stranger, secs)
    return [result.row() for result in results]


async def _measure(result: Measured, stranger: Child, secs: float) -> None:
    command = ("bench.bare_member",) if result.member == BARE else ("bench.member",)
    async with child(command=command) as one, child(command=command) as other:
        if result.member == BARE:
            port = await _open_bare(one, other)
        else:
            port = await _open(one, other, MeshKey.new() if result.member == KEYED else None)
        await asyncio.sleep(_SETTLE_SECS)
        await _phase("quiet", min(secs, _CALM_SECS), one, other, result)
        begun_at, start_bytes = time.monotonic(), one.rss_bytes()
        knocks = stranger.call(
            result.flood.order, port=port, per_sec=PER_SEC, secs=secs, **result.flood.arguments
        )
        async with asyncio.TaskGroup() as tasks:
            knocking = tasks.create_task(knocks)
            growth = await _phase("flood", secs, one, other, result)
        result.per_sec.append(knocking.result())
        growth += await _phase("after", min(secs, _CALM_SECS), one, other, result)
        result.growth_bytes.append(max(growth) - start_bytes)
        left = (m.said(what, begun_at) for m in (one, other) for what in ("lost", "left"))
        result.lost += sum(map(len, left))


async def _open(one: Child, other: Child, key: MeshKey | None) -> int:
    """Two members that know each other, with messages of both planes both ways; the port of one."""
    channel = f"bench-{uuid.uuid4().hex[:8]}"
    bus = {"key": key.reveal()} if key else {}
    endpoint = await one.call("open", channel=channel, runner="one", **bus)
    await other.call("open", channel=channel, runner="other", **bus)
    for here, there in ((one, "other"), (other, "one")):
        await here.call("knows", runner=there)
        for urgent in (False, True):
            await here.call("flow", runner=there, every_secs=_FLOW_SECS, urgent=urgent)
    return int(endpoint.rpartition(":")[2])


async def _open_bare(one: Child, other: Child) -> int:
    (router, mine), (_, theirs) = await one.call("open"), await other.call("open")
    for here, port in ((one, theirs), (other, mine)):
        await here.call("flow", port=port, every_secs=_FLOW_SECS)
    return int(router)


async def _phase(phase: str, secs: float, one: Child, other: Child, result: Measured) -> list[int]:
    """Measure for a while; returns the memory of the first over time."""
    for member in (one, other):
        await member.call("delays")
    memory, until = list[int](), time.monotonic() + secs
    while (left_secs := until - time.monotonic()) > 0:
        await asyncio.sleep(min(_SAMPLE_SECS, left_secs))
        memory.append(one.rss_bytes())
    taken = [(await member.call("delays")).values() for member in (one, other)]
    result.delays[phase].append([late for flows in taken for flow in flows for late, _ in flow])
    return memory
