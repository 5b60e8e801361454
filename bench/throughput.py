"""How many messages a second go between processes through a whole bus, and what they cost the CPU.

What it does not show: latency (flat out, queues are full), and what more cores than this machine's
would give. 1 to 8 is one broadcast to eight processes, or jobs for each of them in turn; 4 to 4 is
four flows at once, each for one worker of another process. "sender us" and "receiver us" are
microseconds of CPU of one process for one message sent, or received; the queue has one for both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from bench import buses
from bench.casts import Part, cast, meet
from bench.children import Child
from bench.figures import OVER, Row, shown, verdict

SECS = 1.0
PACED_PER_SEC = 1_000.0
WHATS = ("audio", "text", "job")
LIMIT_BROADCAST = 1.3
"""How much more CPU a message to eight may cost its sender than one to one."""
_PATIENCE_SECS = 2.0
_PAIRS_ONLY = ("queue", "bare")


@dataclass(frozen=True)
class Shape:
    """Who sends to whom.

    Parameters:
        senders: How many send.
        receivers: How many receive: one each of the senders, or all of the only one.
    """

    senders: int
    receivers: int

    def __str__(self) -> str:
        return f"{self.senders} to {self.receivers}"

    @property
    def sources(self) -> list[str]:
        """The stations that send."""
        return [f"sender-{i}" for i in range(self.senders)]

    @property
    def sinks(self) -> list[str]:
        """The stations that receive, and their counters."""
        return [f"receiver-{i}" for i in range(self.receivers)]

    @property
    def parts(self) -> dict[str, Part]:
        """All stations."""
        return {s: Part() for s in self.sources} | {s: Part(counters=(s,)) for s in self.sinks}

    def targets(self, what: str, number: int) -> Sequence[str | None]:
        """Where one of the senders sends such messages, in turn; None is everybody."""
        if self.senders > 1 or self.receivers == 1:
            return [self.sinks[number]]
        return self.sinks if what == "job" else [None]


SHAPES = (Shape(1, 1), Shape(1, 8), Shape(4, 4))


@dataclass(frozen=True)
class Rate:
    """One measurement.

    Parameters:
        sent_msgs: Messages sent, by all senders together.
        lost_msgs: Those that did not reach somebody they were for, or came twice.
        astray_msgs: Those that did not follow the one before.
        secs: From the first `send()` to the last arrival.
        sender_us: Microseconds of CPU of a sender for each message.
        receiver_us: The same of a receiver, for each that it got.
    """

    sent_msgs: int
    lost_msgs: int
    astray_msgs: int
    secs: float
    sender_us: float
    receiver_us: float

    @property
    def whole(self) -> bool:
        """Whether nothing was lost or reordered."""
        return not (self.lost_msgs or self.astray_msgs)

    @property
    def per_sec(self) -> float:
        """Messages sent a second, all of which have arrived."""
        return self.sent_msgs / self.secs


async def rate(
    stations: dict[str, Child], shape: Shape, what: str, secs: float, per_sec: float | None = None
) -> Rate:
    """Send for a while and wait until all has arrived.

    Args:
        stations: A cast of ``shape.parts`` that have met.
        shape: Who sends to whom.
        what: One of `WHATS`.
        secs: How long to send.
        per_sec: How many messages each sender sends a second; None: flat out.
    """
    sources, sinks = shape.sources, shape.sinks
    before = await _cpu_secs(stations)
    sending = [
        stations[name].call(
            "send", what=what, targets=shape.targets(what, i), secs=secs, per_sec=per_sec
        )
        for i, name in enumerate(sources)
    ]
    sent = await asyncio.gather(*sending)
    owed = [count for count, _ in sent] * (len(sinks) // len(sources))
    arriving = [
        stations[name].call("arrived", msgs=msgs, secs=_PATIENCE_SECS)
        for name, msgs in zip(sinks, owed, strict=True)
    ]
    came = await asyncio.gather(*arriving)
    after = await _cpu_secs(stations)
    sent_msgs = sum(count for count, _ in sent) * len(shape.targets(what, 0))
    return Rate(
        sent_msgs=sent_msgs,
        lost_msgs=sum(abs(due - taken) for due, (taken, *_) in zip(owed, came, strict=True)),
        astray_msgs=sum(astray for _, astray, _ in came),
        secs=max(at for *_, at in came) - min(at for _, at in sent),
        sender_us=sum(after[s] - before[s] for s in sources) / sent_msgs * 1e6,
        receiver_us=sum(after[s] - before[s] for s in sinks) / sum(owed) * 1e6,
    )


async def _cpu_secs(stations: dict[str, Child]) -> dict[str, float]:
    return {name: await station.call("cpu_secs") for name, station in stations.items()}


Key = tuple[str, Shape, str, str]


async def measure(
    rounds: int,
    secs: float = SECS,
    kinds: Sequence[str] = ("queue", "tcp"),
    shapes: Sequence[Shape] = SHAPES,
) -> list[Row]:
    """Measure all kinds, in turn; what is missing is named and left out."""
    rates: dict[Key, list[Rate]] = {}
    there = buses.available(kinds)
    for _ in range(rounds):
        for kind in there:
            for shape in shapes if kind not in _PAIRS_ONLY else shapes[:1]:
                await _round(rates, kind, shape, secs)
    return [row(key, measured) for key, measured in rates.items()] + _broadcast_rows(rates)


async def _round(rates: dict[Key, list[Rate]], kind: str, shape: Shape, secs: float) -> None:
    async with cast(kind, shape.parts) as stations:
        await meet(stations, shape.sources, shape.sinks)
        await rate(stations, shape, "audio", secs / 4)  # to warm up
        for what in WHATS if kind != "bare" else WHATS[:1]:
            for pace, per_sec in (("flat out", None), ("paced", PACED_PER_SEC)):
                one = await rate(stations, shape, what, secs, per_sec)
                rates.setdefault((kind, shape, what, pace), []).append(one)


def row(key: Key, measured: list[Rate]) -> Row:
    """One line of the table; no rate unless nothing was lost."""
    kind, shape, what, pace = key
    whole = all(one.whole for one in measured)
    return {
        "bus": buses.TITLES[kind],
        "shape": str(shape),
        "what": what,
        "pace": pace,
        "msg/s": round(median(one.per_sec for one in measured)) if whole else "lost or reordered",
        "sender us": shown(median(one.sender_us for one in measured), 1),
        "receiver us": shown(median(one.receiver_us for one in measured), 1),
        "limit": None,
        "verdict": "" if whole else OVER,
    }


def _broadcast_rows(rates: dict[Key, list[Rate]]) -> list[Row]:
    """What one to eight costs the sender, in costs of one to one."""
    rows = []
    for (kind, shape, what, pace), eight in rates.items():
        one = rates.get((kind, SHAPES[0], what, pace))
        if one and shape == SHAPES[1] and what != "job" and pace == "flat out":
            ratio = median(r.sender_us for r in eight) / median(r.sender_us for r in one)
            rows.append(
                {
                    "bus": buses.TITLES[kind],
                    "shape": f"{shape}, by 1 to 1",
                    "what": what,
                    "pace": pace,
                    "sender us": shown(ratio),
                    "limit": LIMIT_BROADCAST,
                    "verdict": verdict(ratio, LIMIT_BROADCAST),
                }
            )
    return rows
