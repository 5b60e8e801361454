"""How late a system message is while data floods the same two processes at full speed.

What it does not show: what a handler that keeps the loop adds, for this one only counts; nor full
garbage collections of what was imported, which `gc.freeze()` spares these processes. The bare
sockets beside tell how late this machine is in waking anybody up meanwhile: what they need, no bus
can save.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from statistics import median

from bench.bare import Bare, bare
from bench.children import Child, child
from bench.figures import Row, quantile, shown, verdict

SECS = 5.0
LIMIT_MS = 10.0
"""For the p99 in the flood."""
_EVERY_SECS = 0.01
_CALM_SECS = 2.0
_ARRIVAL_SECS = 2.0


def _none() -> dict[str, list[list[float]]]:
    return {"calm": [], "flood": []}


@dataclass
class Measured:
    """All rounds.

    Parameters:
        bus: How late the system messages were in each round, by "calm" or "flood", in seconds.
        on_the_way: The same, but since `send()` was called rather than since they were due.
        bare: The same as `bus` for the bare sockets.
        per_sec: Frames received a second, in each flood.
        lost_msgs: Frames sent that never came, or came twice, and system messages skipped.
    """

    bus: dict[str, list[list[float]]] = field(default_factory=_none)
    on_the_way: dict[str, list[list[float]]] = field(default_factory=_none)
    bare: dict[str, list[list[float]]] = field(default_factory=_none)
    per_sec: list[float] = field(default_factory=list)
    lost_msgs: int = 0

    def rows(self) -> list[Row]:
        """The table."""
        rate = f"{round(median(self.per_sec)):,} frames/s"
        return [
            _delays("system message, calm", self.bus["calm"]),
            _delays("bare socket, calm", self.bare["calm"]),
            _delays("system message, flood", self.bus["flood"], LIMIT_MS),
            _delays("of that, since send()", self.on_the_way["flood"]),
            _delays("bare socket, flood", self.bare["flood"]),
            {
                "what": f"messages lost in a flood of {rate}",
                "max": self.lost_msgs,
                "limit": 0,
                "verdict": verdict(self.lost_msgs, 0),
            },
        ]


@asynccontextmanager
async def pair() -> AsyncIterator[tuple[Child, Child]]:
    """A sender and a receiver that know each other."""
    channel = f"bench-{uuid.uuid4().hex[:8]}"
    async with child() as sender, child() as receiver:
        await sender.call("open", channel=channel, runner="sender")
        await receiver.call("open", channel=channel, runner="receiver")
        await sender.call("knows", runner="receiver")
        await receiver.call("knows", runner="sender")
        yield sender, receiver


async def measure(rounds: int, secs: float = SECS) -> Measured:
    """Calm and flood in turn, so many times; each flood lasts for ``secs``."""
    measured = Measured()
    async with pair() as (sender, receiver), bare(_EVERY_SECS) as beside:
        for _ in range(rounds):
            await _phase("calm", min(secs, _CALM_SECS), sender, receiver, beside, measured)
            await _phase("flood", secs, sender, receiver, beside, measured)
        measured.lost_msgs = await _missing_msgs(sender, receiver)
    return measured


async def _phase(
    what: str, secs: float, sender: Child, receiver: Child, beside: Bare, measured: Measured
) -> None:
    if what == "flood":
        await sender.call("flood", runner="receiver")
    await sender.call("flow", runner="receiver", every_secs=_EVERY_SECS, urgent=True)
    await receiver.call("delays")
    await beside.delays()
    before = await receiver.call("received")
    await asyncio.sleep(secs)
    delays = (await receiver.call("delays")).get("sender", [])
    measured.bus[what].append([since_due for since_due, _ in delays])
    measured.on_the_way[what].append([since_sent for _, since_sent in delays])
    measured.bare[what].append(await beside.delays())
    if what == "flood":
        measured.per_sec.append((await receiver.call("received") - before) / secs)
    await sender.call("rest")
    await sender.call("calm")


async def _missing_msgs(sender: Child, receiver: Child) -> int:
    """How many messages have not arrived, once there is no hope left."""
    sent: int = await sender.call("calm")
    received: int = await receiver.call("received_at_last", msgs=sent, secs=_ARRIVAL_SECS)
    skipped: int = await receiver.call("skipped")
    return abs(sent - received) + skipped


def _delays(what: str, delays: list[list[float]], limit: float | None = None) -> Row:
    pooled = [delay * 1e3 for each in delays for delay in each]
    by_round = [quantile(each, 0.99) * 1e3 for each in delays]
    p99 = quantile(pooled, 0.99)
    return {
        "what": what,
        "messages": len(pooled),
        "p50": shown(quantile(pooled, 0.5)),
        "p99": shown(p99),
        "max": shown(max(pooled, default=float("inf"))),
        "p99 of rounds": f"{shown(min(by_round), 1)} to {shown(max(by_round), 1)}",
        "limit": limit,
        "verdict": verdict(p99, limit),
    }
