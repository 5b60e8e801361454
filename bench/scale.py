"""How a full mesh grows: simulated, up to what is practical, and on paper beyond.

What it does not show: real sockets and real loops, for the network is simulated: every packet
arrives, after 0.2 to 0.7 ms. Memory is that of the cores alone, without libzmq's buffers; CPU on
paper is that of an idle runner's heartbeats, at 50 microseconds for each sent and each received.
A rate is bytes a second that one runner sends on the system plane, without the headers of ZeroMQ.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time
from collections.abc import Sequence

from bench.children import ROOT
from bench.figures import Row, shown
from zmqbus.config import DEFAULT
from zmqbus.packets import NOBODY, Packet
from zmqbus.sim.storm import Storm
from zmqbus.wire import encode_system

SIZES = (10, 30, 100, 300)
PAPER_SIZES = (1_000, 2_000, 5_000)
_HEARTBEAT_SECS = 50e-6
_DESCRIPTORS = 7
_SOFT_DESCRIPTORS = 1_024
_SETTLE_SECS = 300.0
_IDLE_SECS = 10.0


def simulate(runners: int) -> dict[str, float]:
    """Start so many at 5 ms intervals, let them meet, and then do nothing for a while."""
    gc.disable()  # nothing of a mesh is garbage before its end, and looking for it costs the most
    before_bytes, begun_at = _rss_bytes(), time.monotonic()
    storm = Storm(1, nodes=runners, faults=(), keep_history=False, weigh=_weigh)
    storm.rage(0.0)
    agreed_secs = storm.settle(_SETTLE_SECS)
    met_bytes = _sent_bytes(storm)
    storm.sim.run(_IDLE_SECS)
    return {
        "agreed_secs": agreed_secs,
        "join_bytes": met_bytes / runners,
        "idle_bytes_per_sec": (_sent_bytes(storm) - met_bytes) / runners / _IDLE_SECS,
        "member_bytes": (_rss_bytes() - before_bytes) / runners,
        "run_secs": time.monotonic() - begun_at,
    }


def _weigh(packet: Packet) -> int:
    return len(encode_system(packet, NOBODY, NOBODY))


def _sent_bytes(storm: Storm) -> float:
    return sum(packets * mean_bytes for packets, mean_bytes in storm.sim.traffic.values())


def _rss_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def measure(sizes: Sequence[int] = SIZES) -> list[Row]:
    """Simulate each size in a process of its own, then tell what larger ones cost on paper."""
    seen = {size: await _apart(size) for size in sorted(sizes)}
    largest = max(seen)
    rows = [_row(size, each) for size, each in seen.items()]
    rows += [
        _row(size, _on_paper(size, largest, seen[largest]))
        for size in PAPER_SIZES
        if size > largest
    ]
    return [*rows, *landmarks()]


async def _apart(size: int) -> dict[str, float]:
    command = (sys.executable, "-m", "bench.scale", str(size))
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    said, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"the simulation of {size} runners failed; its error stands above")
    figures: dict[str, float] = json.loads(said)
    return figures


def _on_paper(size: int, known: int, seen: dict[str, float]) -> dict[str, float]:
    """What grows with the number of peers, and what the heartbeats' budget holds down."""
    times = (size - 1) / (known - 1)
    rate = seen["idle_bytes_per_sec"] * heartbeats_per_sec(size) / heartbeats_per_sec(known)
    return {
        "join_bytes": seen["join_bytes"] * times,
        "idle_bytes_per_sec": rate,
        "member_bytes": seen["member_bytes"] * times,
    }


def heartbeats_per_sec(runners: int) -> float:
    """How many an idle runner sends, and receives."""
    return min((runners - 1) / DEFAULT.heartbeat_secs, DEFAULT.heartbeats_per_sec)


def cpu_percent(runners: int) -> float:
    """Of a core, for the heartbeats of an idle runner."""
    return 2 * heartbeats_per_sec(runners) * _HEARTBEAT_SECS * 100


def landmarks() -> list[Row]:
    """Up to which size a mesh is what it is meant to be."""
    every = int(DEFAULT.heartbeats_per_sec * DEFAULT.heartbeat_secs)
    return [
        {"runners": size, "how": f"the most {why}"}
        for size, why in (
            (every + 1, "of whom each hears every heartbeat"),
            (_SOFT_DESCRIPTORS // _DESCRIPTORS + 1, "with 1,024 descriptors (ulimit -n)"),
            (DEFAULT.max_peers + 1, "by default; for more, move to a broker"),
        )
    ]


def _row(size: int, figures: dict[str, float]) -> Row:
    simulated = "agreed_secs" in figures
    return {
        "runners": size,
        "how": "simulated" if simulated else "on paper",
        "all agree after s": shown(figures["agreed_secs"]) if simulated else None,
        "to join, kB each": shown(figures["join_bytes"] / 1e3, 1),
        "idle, B/s each": shown(figures["idle_bytes_per_sec"], 0),
        "core, MB each": shown(figures["member_bytes"] / 1e6),
        "descriptors each": _DESCRIPTORS * (size - 1),
        "idle CPU % each": shown(cpu_percent(size)),
        "links": size * (size - 1),
        "simulated in s": shown(figures["run_secs"], 1) if simulated else None,
    }


if __name__ == "__main__":
    print(json.dumps(simulate(int(sys.argv[1]))))
