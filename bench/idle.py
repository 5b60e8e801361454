"""What a runner that does nothing takes: CPU, memory, and what it says to each peer.

What it does not show: an idle pipecat pipeline, for a runner here has one bare worker. "MB" is
memory beyond that of the same process with a runner on AsyncQueueBus; "control bytes" are all that
its TCP connections send, without the headers of TCP (Linux).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from statistics import median

from bench.casts import Part, cast
from bench.children import Child
from bench.figures import Row, shown, verdict

COUNTS = (2, 10, 30)
SECS = 10.0
LIMITED_COUNT = 10
LIMIT_CPU_PERCENT = 0.5
LIMIT_MB = 10.0
_SETTLE_SECS = 3.0


async def measure(secs: float = SECS, counts: Sequence[int] = COUNTS) -> list[Row]:
    """Look at meshes of so many runners, each for a while."""
    async with cast("queue", {"alone": Part(runner=True)}) as alone:
        cpu, own_bytes, _ = await _look(alone, secs)
    row = {"runners": 0, "bus": "AsyncQueueBus", "CPU %": shown(cpu), "MB": 0.0}
    return [row, *[await _mesh(count, secs, own_bytes) for count in counts]]


async def _mesh(count: int, secs: float, own_bytes: float) -> Row:
    async with cast("tcp", {f"runner-{i}": Part(runner=True) for i in range(count)}) as runners:
        for runner in runners.values():
            await runner.call("peers", count=count - 1)
        await asyncio.sleep(min(_SETTLE_SECS, secs))
        cpu, rss_bytes, sent_per_sec = await _look(runners, secs)
    extra_mb = (rss_bytes - own_bytes) / 1e6
    limited = count == LIMITED_COUNT
    over = cpu > LIMIT_CPU_PERCENT or extra_mb > LIMIT_MB
    return {
        "runners": count,
        "bus": "zmqbus, tcp",
        "CPU %": shown(cpu),
        "MB": shown(extra_mb, 1),
        "control bytes/s per peer": shown(sent_per_sec / (count - 1), 0),
        "limit": f"{LIMIT_CPU_PERCENT} %, {LIMIT_MB:g} MB" if limited else None,
        "verdict": verdict(over, 0) if limited else "",
    }


async def _look(runners: dict[str, Child], secs: float) -> tuple[float, float, float]:
    """Medians of all runners: percent of a core, bytes of memory, bytes sent a second."""
    every, begun_at = list(runners.values()), time.monotonic()
    before = [(await r.call("cpu_secs"), await r.call("sent_bytes")) for r in every]
    await asyncio.sleep(secs)
    after = [(await r.call("cpu_secs"), await r.call("sent_bytes")) for r in every]
    took_secs = time.monotonic() - begun_at
    cpu, sent = (
        [(late[i] - soon[i]) / took_secs for soon, late in zip(before, after, strict=True)]
        for i in (0, 1)
    )
    return median(cpu) * 100, median(r.rss_bytes() for r in every), median(sent)
