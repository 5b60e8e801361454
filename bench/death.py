"""How soon others know that a runner died or was cut off, and how soon all is well again.

What it does not show: a real network, whose cables and switches take their own time; and what a
restart takes to start an interpreter and import pipecat, which is most of what a user waits for.
Seconds, but for lost events, which are counted.
"""

from __future__ import annotations

import asyncio
import math
import signal
import sys
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from bench.buses import MissingError
from bench.children import Child, child
from bench.figures import Row, quantile, shown, verdict
from bench.lan import Lan, Place, lan

BLOCK_SECS = 10.0
_FLOW_SECS = 0.02
_BLIP_SECS = 1.0
_LONGER_SECS = (0.0, 2.0, 5.0, 8.0)
"""How long a cable stays pulled after the loss: whoever redials has waited longer each time."""
_SETTLE_SECS = 1.0
"""How long after a block a late lost event would still be counted."""

LIMITS = {
    "SIGKILL: on_peer_lost": 2.0,
    "SIGKILL in mid-job: ERROR response": 2.0,
    "restart: found by its watch, same job answered": None,
    "SIGSTOP: on_peer_lost": 4.0,
    "link cut: on_peer_lost": 4.0,
    "link up after a loss: traffic both ways": 2.0,
    f"link up after {_BLIP_SECS:g} s: traffic both ways": 2.0,
    "loop of the peer blocked: lost events": 0.0,
    "loop of the observer blocked: lost events": 0.0,
}
KILL, ERROR, RESTART, STOP, CUT, UP, BLIP, PEER, OBSERVER = LIMITS


@dataclass
class Trials:
    """The figures of each kind, in the order measured."""

    figures: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in LIMITS})

    def add(self, kind: str, figure: float) -> None:
        """Note one trial."""
        self.figures[kind].append(figure)

    def rows(self) -> list[Row]:
        """The table."""
        return [_row(kind, figures) for kind, figures in self.figures.items() if figures]


def _row(kind: str, figures: Sequence[float]) -> Row:
    return {
        "what": kind,
        "trials": len(figures),
        "p50": shown(quantile(figures, 0.5)),
        "max": shown(max(figures)),
        "limit": LIMITS[kind],
        "verdict": verdict(max(figures), LIMITS[kind]),
    }


class Pair:
    """An observer and a victim that know each other, with data flowing both ways.

    Args:
        places: Where the two run; none: here.
    """

    def __init__(self, places: Sequence[Place] = ()) -> None:
        self._places = places
        self._channel = f"bench-{uuid.uuid4().hex[:8]}"
        self._seed = ""
        self._stack = AsyncExitStack()
        self._victims = AsyncExitStack()

    async def __aenter__(self) -> Pair:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._victims)
            self.observer = await self._start(stack, 0)
            await self._open(self.observer, 0)
            await self.replace_victim()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def replace_victim(self) -> float:
        """End the victim and start another under the same names; returns when it began."""
        await self._victims.aclose()
        self.victim = await self._start(self._victims, 1)
        begun_at = time.monotonic()
        await self._open(self.victim, 1)
        await self.meet()
        return begun_at

    async def _start(self, stack: AsyncExitStack, number: int) -> Child:
        prefix = self._places[number].prefix if self._places else ()
        return await stack.enter_async_context(child(prefix))

    async def _open(self, one: Child, number: int) -> None:
        runner = ("observer", "victim")[number]
        if not self._places:
            await one.call("open", channel=self._channel, runner=runner)
            return
        peers = [self._seed] if number else []
        where = {"bind": self._places[number].bind, "insecure": True, "discovery": []}
        self._seed = await one.call(
            "open", channel=self._channel, runner=runner, peers=peers, **where
        )

    async def meet(self) -> None:
        """Wait until both know each other, and let data flow."""
        await self.observer.call("knows", runner="victim")
        await self.victim.call("knows", runner="observer")
        for one, other in ((self.observer, "victim"), (self.victim, "observer")):
            await one.call("rest")
            await one.call("flow", runner=other, every_secs=_FLOW_SECS)
        await self.heard_both(time.monotonic())

    async def heard_both(self, after: float) -> float:
        """When something that was sent after a time has come, both ways; infinite: never."""
        try:
            heard_at: list[float] = await asyncio.gather(
                self.observer.call("heard", runner="victim", after=after),
                self.victim.call("heard", runner="observer", after=after),
            )
            return max(heard_at)
        except TimeoutError:
            return math.inf


@asynccontextmanager
async def watched_pair() -> AsyncIterator[Pair]:
    """A pair whose observer asks the victim for a job whenever its watch fires."""
    async with Pair() as pair:
        await pair.observer.call("watch", runner="victim")
        yield pair


async def kill(pair: Pair, trials: Trials) -> None:
    """SIGKILL in mid-job, then a restart under the same names."""
    begun_at = time.monotonic()
    await pair.observer.call("ask", runner="victim", name="hold")
    await pair.victim.noted("holds", "observer-worker", begun_at)
    killed_at = time.monotonic()
    pair.victim.signal(signal.SIGKILL)
    trials.add(KILL, await pair.observer.noted("lost", "victim", killed_at) - killed_at)
    trials.add(ERROR, await pair.observer.noted("failed", "victim-worker", killed_at) - killed_at)
    begun_at = await pair.replace_victim()
    answered_at = await pair.observer.noted("answered", "victim-worker", begun_at)
    trials.add(RESTART, answered_at - begun_at)


async def stop(pair: Pair, trials: Trials) -> None:
    """SIGSTOP until the victim is lost, then SIGCONT until all is well."""
    stopped_at = time.monotonic()
    pair.victim.signal(signal.SIGSTOP)
    trials.add(STOP, await pair.observer.noted("lost", "victim", stopped_at) - stopped_at)
    continued_at = time.monotonic()
    pair.victim.signal(signal.SIGCONT)
    await pair.observer.noted("joined", "victim", continued_at)  # who has not cannot be lost again
    await pair.heard_both(time.monotonic())


async def cut(pair: Pair, lan: Lan, trials: Trials, longer_secs: float) -> None:
    """A cable is pulled until both sides are lost to each other, or longer; then for a moment."""
    cut_at = time.monotonic()
    lan.pull(1)
    lost_at = await asyncio.gather(
        pair.observer.noted("lost", "victim", cut_at), pair.victim.noted("lost", "observer", cut_at)
    )
    trials.add(CUT, max(lost_at) - cut_at)
    await asyncio.sleep(longer_secs)
    trials.add(UP, await _plugged(pair, lan))
    lan.pull(1)
    await asyncio.sleep(_BLIP_SECS)
    trials.add(BLIP, await _plugged(pair, lan))


async def _plugged(pair: Pair, lan: Lan) -> float:
    """Put the cable back; returns how long it takes until both hear what was sent after that."""
    up_at = time.monotonic()
    lan.plug(1)
    return await pair.heard_both(up_at) - up_at


async def block(pair: Pair, who: str, secs: float, trials: Trials) -> None:
    """One of the two lets its loop stand still; nobody may be lost, nor be deaf after that."""
    blocked_at = time.monotonic()
    await (pair.victim if who == PEER else pair.observer).call("block", secs=secs)
    heard_at = await pair.heard_both(time.monotonic())
    await asyncio.sleep(_SETTLE_SECS)
    lost = [note for one in (pair.observer, pair.victim) for note in one.said("lost", blocked_at)]
    trials.add(who, len(lost) if math.isfinite(heard_at) else math.inf)


async def measure(count: int, block_secs: float = BLOCK_SECS) -> Trials:
    """So many trials of each kind, one kind after the other, but both kinds of blocks at once."""
    trials = Trials()
    async with watched_pair() as pair:
        for _ in range(count):
            await kill(pair, trials)
        for _ in range(count):
            await stop(pair, trials)
    await _measure_cuts(count, trials)
    async with Pair() as one, Pair() as other:
        for _ in range(count):
            await asyncio.gather(
                block(one, PEER, block_secs, trials), block(other, OBSERVER, block_secs, trials)
            )
    return trials


async def _measure_cuts(count: int, trials: Trials) -> None:
    try:
        with lan(2) as network:
            async with Pair(network.places) as pair:
                for number in range(count):
                    await cut(pair, network, trials, _LONGER_SECS[number % len(_LONGER_SECS)])
    except MissingError as error:
        print(f"cut links are skipped: {error}", file=sys.stderr)
