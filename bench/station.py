"""One bus of any kind in a process of its own, which sends and receives as `bench.casts` tells it.

``python -m bench.station KIND NAME``. Nothing here imports zmqbus unless the kind is made of it.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from typing import Any

from loguru import logger
from pipecat.utils.asyncio.task_manager import TaskManager, TaskManagerParams
from pipecat.workers.base_worker import BaseWorker
from pipecat.workers.runner import WorkerRunner

from bench import buses, pace, sockets
from bench.ears import Clock, Counter, Ear, dated, greeting, numbered
from bench.orders import end, obey

_GREET_SECS = _LOOK_SECS = 0.02


class Station:
    """The bus and its subscribers; every method is an order.

    Args:
        kind: Of the bus, one of `bench.buses.TITLES`.
        name: What its messages come from.
    """

    def __init__(self, kind: str, name: str) -> None:
        self._kind, self._name = kind, name
        self._flows: list[asyncio.Task[None]] = []
        self._counters: dict[str, Counter] = {}
        self._clocks: dict[str, Clock] = {}

    async def open(
        self,
        *,
        channel: str,
        address: str,
        counters: Sequence[str] = (),
        clocks: Sequence[str] = (),
        runner: bool = False,
    ) -> None:
        """Start the bus with such subscribers; with a runner and a worker if asked for."""
        self._bus = bus = buses.make(self._kind, self._name, channel, address)
        self._counters = {name: Counter(name) for name in counters}
        self._clocks = {name: Clock(name, bus) for name in clocks}
        if runner:
            self._runner = WorkerRunner(name=self._name, bus=bus, handle_sigint=False)
            await self._runner.add_workers(BaseWorker(name=f"{self._name}-worker"))
            self._running = asyncio.create_task(self._runner.run())
            return
        await bus.setup(_task_manager())
        await bus.start()
        for ear in self._ears():
            await bus.subscribe(ear)

    def _ears(self) -> list[Ear]:
        return [*self._counters.values(), *self._clocks.values()]

    async def peers(self, *, count: int) -> None:
        """Wait until so many other runners have joined (zmqbus only)."""
        await self._bus.wait_for_peers(count, timeout_secs=60.0)  # type: ignore[attr-defined]

    async def greet(self, *, name: str) -> None:
        """Greet everybody by a name until told to `rest`."""

        async def one(_: int) -> None:
            await self._bus.send(greeting(name))

        self._flows.append(asyncio.create_task(pace.flow(one, _GREET_SECS)))

    async def hears(self, *, names: Sequence[str]) -> None:
        """Wait until all subscribers have heard the greetings of these stations."""
        while not all(ear.heard.issuperset(names) for ear in self._ears()):  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_SECS)

    async def send(
        self, *, what: str, targets: Sequence[str | None], secs: float, per_sec: float | None = None
    ) -> tuple[int, float]:
        """Send numbered messages for a while, flat out or paced, to each target in turn.

        Returns:
            How many to each target, and when the first was sent.
        """

        async def one(number: int) -> None:
            for target in targets:
                await self._bus.send(numbered(what, self._name, target, number))

        begun_at = time.monotonic()
        return await pace.send(one, secs, per_sec and per_sec / len(targets)), begun_at

    async def arrived(self, *, msgs: int, secs: float) -> tuple[int, int, float]:
        """Wait until every counter has so many, or nothing has come for a while.

        Returns:
            How many came and how many were not in order since the last call, and when the last did.
        """
        counters, seen, changed_at = list(self._counters.values()), -1, time.monotonic()
        while (taken := sum(c.taken_msgs for c in counters)) < msgs * len(counters):
            if taken != seen:
                seen, changed_at = taken, time.monotonic()
            elif time.monotonic() - changed_at > secs:
                break
            await asyncio.sleep(_LOOK_SECS)
        astray, last_at = sum(c.astray_msgs for c in counters), max(c.last_at for c in counters)
        for counter in counters:
            counter.restart()
        return taken, astray, last_at

    async def flow(
        self, *, source: str, target: str, every_secs: float, urgent: bool = False
    ) -> None:
        """Send dated messages from one clock to another until told to `rest`."""

        async def one(_: int) -> None:
            await self._bus.send(dated(source, target, time.monotonic_ns(), urgent=urgent))

        self._flows.append(asyncio.create_task(pace.flow(one, every_secs)))

    async def rest(self) -> None:
        """Send no dated messages and no greetings any more."""
        await end(self._flows)

    async def echo(self, *, clock: str, echoes: bool) -> None:
        """Let a clock send back what comes."""
        self._clocks[clock].echoes = echoes

    async def delays(self, *, clock: str) -> list[int]:
        """How late what came to a clock since the last call was, in nanoseconds."""
        taken, self._clocks[clock].delays_ns = self._clocks[clock].delays_ns, []
        return taken

    async def cpu_secs(self) -> float:
        """What the process has used of the processors so far, all threads together."""
        return time.process_time()

    async def sent_bytes(self) -> int:
        """What all its TCP connections that stand have sent so far."""
        return sockets.sent_bytes()


def _task_manager() -> TaskManager:
    loop = asyncio.get_running_loop()
    try:
        return TaskManager(loop=loop)
    except TypeError:  # before pipecat 1.5.0
        manager = TaskManager()
        manager.setup(TaskManagerParams(loop=loop))
        return manager


def main(kind: str, name: str) -> None:
    """Obey until stdin closes, on the loop that the kind wants."""
    actor: Any
    if kind == "bare":
        from bench.bare_station import BareStation as Actor

        actor = Actor(name)
    else:
        actor = Station(kind, name)
    factory = None
    if kind.endswith("uvloop"):
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(obey(actor))


if __name__ == "__main__":
    logger.remove()
    main(sys.argv[1], sys.argv[2])
