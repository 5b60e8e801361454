"""What a reader that cannot keep up costs: memory, the others' latency, and messages.

A sender floods a reader with audio frames; the reader is well, or it is not. Beside that two flows
of one small message every 20 ms go on: between two others, and from the sender to one of them.

What it does not show: a network, more cores than this machine has, and full garbage collections of
what was imported, which `gc.freeze()` spares these processes. A sender that is not held up keeps a
core busy, which delays the others too; therefore the ratio is taken to the same flood with a reader
that is well. Delays are in milliseconds, since a message was due; memory is in MB.
"""

from __future__ import annotations

import asyncio
import signal
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from statistics import median

from bench.children import Child, child
from bench.figures import Row, quantile, shown, verdict

SECS = 60.0
LIMIT_RATIO = 1.2
LIMIT_GROWTH_MB = 128
"""Twice the 64 MiB that the history may hold at the sender, or a reader hold back."""
PHASES = ("quiet", "well", "fault")
_FLOW_SECS = 0.02
_SAMPLE_SECS = 0.25
_ARRIVAL_SECS = 3.0
_FLOWS = (("one", "other"), ("sender", "one"))
_NAMES = ("sender", "reader", "one", "other")


@dataclass
class Overload:
    """One fault, measured.

    Parameters:
        fault: What is wrong with the reader.
        delays: How late messages were, by flow and phase, each round.
        growth: Memory beyond that of the start, by name and phase, over time, in bytes.
        sent_msgs: Frames sent while the reader was not well.
        received_msgs: Those of them that it received, then or later.
        announced_msgs: Those that were announced to it as lost.
    """

    fault: str
    delays: dict[tuple[str, str, str], list[list[float]]] = field(default_factory=dict)
    growth: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    sent_msgs: int = 0
    received_msgs: int = 0
    announced_msgs: int = 0

    @property
    def unaccounted_msgs(self) -> int:
        """Frames that neither came nor were announced."""
        return self.sent_msgs - self.received_msgs - self.announced_msgs

    def rows(self) -> list[Row]:
        """The table of this fault."""
        delays = [
            self._delay_row(source, target, share) for source, target in _FLOWS for share in _SHARES
        ]
        memory = [self._memory_row(name) for name in ("sender", "reader")]
        return [*delays, *memory, self._loss_row()]

    def _delay_row(self, source: str, target: str, share: str) -> Row:
        figures = [
            median(quantile(each, _SHARES[share]) for each in self.delays[source, target, phase])
            for phase in PHASES
        ]
        ratio = figures[2] / figures[1]
        what = f"{source} to {target}, {share}"
        row = dict(zip(PHASES, (shown(f * 1e3) for f in figures), strict=True))
        return self._row(what, row, shown(ratio), LIMIT_RATIO, verdict(ratio, LIMIT_RATIO))

    def _memory_row(self, name: str) -> Row:
        most = {p: shown(max(self.growth[name, p]) / 1e6, 1) for p in PHASES}
        samples = self.growth[name, "fault"]
        half = len(samples) // 2
        later = (max(samples[half:]) - max(samples[:half], default=0)) / 1e6
        what = f"growth of the {name} (in the later half: {later:+.1f})"
        over = verdict(max(samples) / 1e6, LIMIT_GROWTH_MB)
        return self._row(what, most, None, LIMIT_GROWTH_MB, over)

    def _loss_row(self) -> Row:
        what = (
            f"{self.sent_msgs:,} sent, {self.received_msgs:,} received, "
            f"{self.announced_msgs:,} announced as lost; the rest"
        )
        over = verdict(abs(self.unaccounted_msgs), 0)
        return self._row(what, {"fault": self.unaccounted_msgs}, None, 0, over)

    def _row(self, what: str, row: Row, ratio: object, limit: object, over: str) -> Row:
        columns = {phase: row.get(phase) for phase in PHASES}
        return {
            "the reader": self.fault,
            "what": what,
            **columns,
            "ratio": ratio,
            "limit": limit,
            "verdict": over,
        }


_SHARES = {"p50": 0.5, "p99": 0.99}
Cast = dict[str, Child]


@asynccontextmanager
async def cast() -> AsyncIterator[Cast]:
    """The four, all of whom know each other, with both flows going."""
    channel = f"bench-{uuid.uuid4().hex[:8]}"
    async with AsyncExitStack() as stack:
        members = {name: await stack.enter_async_context(child()) for name in _NAMES}
        for name, member in members.items():
            await member.call("open", channel=channel, runner=name)
        for member in members.values():
            for other in _NAMES:
                await member.call("knows", runner=other)
        for source, target in _FLOWS:
            await members[source].call("flow", runner=target, every_secs=_FLOW_SECS)
        yield members


class Fault:
    """What happens to the reader: it takes frames at a tenth of its speed."""

    name = "at a tenth of its speed"

    async def begin(self, reader: Child, per_sec: float) -> None:
        """Let it happen to a reader that took so many frames a second."""
        await reader.call("pace", per_sec=per_sec / 10)

    async def end(self, reader: Child) -> None:
        """Make it well again."""
        await reader.call("pace", per_sec=None)


class Hang(Fault):
    """Its handler does not return."""

    name = "with a handler that hangs"

    async def begin(self, reader: Child, per_sec: float) -> None:
        """Let it hang."""
        await reader.call("hang", hangs=True)

    async def end(self, reader: Child) -> None:
        """Let it return."""
        await reader.call("hang", hangs=False)


class Stop(Fault):
    """Its process is stopped."""

    name = "stopped by SIGSTOP"

    async def begin(self, reader: Child, per_sec: float) -> None:
        """Stop it."""
        reader.signal(signal.SIGSTOP)

    async def end(self, reader: Child) -> None:
        """Let it go on."""
        reader.signal(signal.SIGCONT)


FAULTS: tuple[Fault, ...] = (Fault(), Hang(), Stop())


async def measure(rounds: int, secs: float = SECS, faults: Sequence[Fault] = FAULTS) -> list[Row]:
    """Measure each fault, for ``secs`` in all rounds together, beside as much of each other phase.

    Args:
        rounds: How many times each phase is measured, in turn.
        secs: How long each phase is, over all rounds.
        faults: Which faults.
    """
    return [row for fault in faults for row in (await overload(fault, rounds, secs)).rows()]


async def overload(fault: Fault, rounds: int, secs: float) -> Overload:
    """One fault, with processes of its own."""
    result, each_secs = Overload(fault.name), secs / rounds
    async with cast() as members:
        start = {name: member.rss_bytes() for name, member in members.items()}
        for _ in range(rounds):
            await _phase("quiet", each_secs, members, start, result)
            per_sec = await _well(each_secs, members, start, result)
            await _ill(fault, per_sec, each_secs, members, start, result)
    return result


async def _well(secs: float, members: Cast, start: dict[str, int], result: Overload) -> float:
    """A flood that the reader can stand; returns how many frames it took a second."""
    sender, reader = members["sender"], members["reader"]
    before = await reader.call("received")
    await sender.call("flood", runner="reader")
    await _phase("well", secs, members, start, result)
    per_sec: float = (await reader.call("received") - before) / secs
    sent = await sender.call("calm")
    await reader.call("received_at_last", msgs=sent, secs=_ARRIVAL_SECS)
    return per_sec


async def _ill(
    fault: Fault,
    per_sec: float,
    secs: float,
    members: Cast,
    start: dict[str, int],
    result: Overload,
) -> None:
    sender, reader = members["sender"], members["reader"]
    sent, received = await sender.call("calm"), await reader.call("received")
    begun_at = time.monotonic()
    await fault.begin(reader, per_sec)
    await sender.call("flood", runner="reader")
    await _phase("fault", secs, members, start, result)
    sent = await sender.call("calm") - sent
    await fault.end(reader)
    await _caught_up(reader, received + sent, begun_at)
    result.sent_msgs += sent
    result.received_msgs += await reader.call("received") - received
    result.announced_msgs += _announced_msgs(reader, begun_at)


async def _caught_up(reader: Child, msgs: int, after: float) -> None:
    """Wait until everything has come or been announced, or nothing comes any more."""
    seen = -1
    while seen < (now := await reader.call("received") + _announced_msgs(reader, after)) < msgs:
        seen = now
        await asyncio.sleep(_ARRIVAL_SECS)


def _announced_msgs(reader: Child, after: float) -> int:
    return sum(note.count for note in reader.said("messages lost", after))


async def _phase(
    phase: str, secs: float, members: Cast, start: dict[str, int], result: Overload
) -> None:
    """Measure for a while."""
    for _, target in _FLOWS:
        await members[target].call("delays")
    until = time.monotonic() + secs
    while (left_secs := until - time.monotonic()) > 0:
        await asyncio.sleep(min(_SAMPLE_SECS, left_secs))
        for name in ("sender", "reader"):
            growth = members[name].rss_bytes() - start[name]
            result.growth.setdefault((name, phase), []).append(growth)
    for source, target in _FLOWS:
        delays = (await members[target].call("delays")).get(source, [])
        since_due = [late for late, _ in delays]
        result.delays.setdefault((source, target, phase), []).append(since_due)
