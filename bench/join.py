"""How long runners take to meet: from the last one's `start()` until each knows every worker.

What it does not show: how long an interpreter takes to start and to import pipecat, which is most
of what a user waits for; and the network, for all runners are on this machine. "there and back" is
from a runner's own `start()` until its first message to another has been answered, by the slowest;
the first of a mesh, which was there before anybody, does not count.
"""

from __future__ import annotations

import asyncio
import sys
import time
import uuid
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from statistics import median

from loguru import logger
from pipecat.bus import BusJobUpdateMessage, BusMessage, BusSubscriber
from pipecat.workers.base_worker import BaseWorker
from pipecat.workers.runner import WorkerRunner

from bench.figures import Row, shown, verdict
from zmqbus import ZmqBus

COUNTS = (2, 10, 30)
WAYS = ("local", "one seed")
LIMIT_MS = 150.0
"""For the first message of the second runner, there and back."""
_MOST_SECS = 180.0
_PING = "ping"


@dataclass(frozen=True)
class Met:
    """One measurement.

    Parameters:
        known_secs: From the last `start()` until each knew every worker.
        answered_secs: From a runner's `start()` until its first message was answered, at most.
    """

    known_secs: float
    answered_secs: float


class Echo(BusSubscriber):
    """Answers pings, and knows when its own was answered."""

    def __init__(self, number: int, bus: ZmqBus) -> None:
        self._name, self._bus = f"echo-{number}", bus
        self._answered = asyncio.Event()

    @property
    def name(self) -> str:
        """What it can be targeted by."""
        return self._name

    async def on_bus_message(self, message: BusMessage) -> None:
        """Take one message."""
        if not isinstance(message, BusJobUpdateMessage) or message.target != self._name:
            return
        if message.job_id == _PING:
            await self._say(message.source, "pong")
        else:
            self._answered.set()

    async def ask(self) -> float:
        """Ask whoever comes first; returns when the answer came."""
        peers = await self._bus.wait_for_peers(1, timeout_secs=_MOST_SECS)
        target = next(name for name in peers[0].subscribers if name.startswith("echo-"))
        await self._say(target, _PING)
        await self._answered.wait()
        return time.monotonic()

    async def _say(self, target: str, what: str) -> None:
        said = BusJobUpdateMessage(source=self._name, target=target, job_id=what)
        await self._bus.send(said)


async def rows(
    rounds: int, counts: Sequence[int] = COUNTS, ways: Sequence[str] = WAYS
) -> list[Row]:
    """Measure all sizes and ways, in turn."""
    met: dict[tuple[int, str], list[Met]] = {}
    for _ in range(rounds):
        for case in ((count, way) for count in counts for way in ways):
            met.setdefault(case, []).append(await measure(case[1], case[0]))
    return [_row(count, way, each) for (count, way), each in met.items()]


def _row(count: int, way: str, met: list[Met]) -> Row:
    limit = LIMIT_MS if count == min(COUNTS) else None
    answered_ms = median(one.answered_secs for one in met) * 1e3
    return {
        "discovery": way,
        "runners": count,
        "ms": shown(median(one.known_secs for one in met) * 1e3, 0),
        "worst ms": shown(max(one.known_secs for one in met) * 1e3, 0),
        "there and back ms": shown(answered_ms, 0),
        "limit": limit,
        "verdict": verdict(answered_ms, limit),
    }


async def measure(way: str, count: int) -> Met:
    """Start ``count`` runners, each a process with one worker.

    Args:
        way: How they find each other, one of `WAYS`.
        count: How many there are.
    """
    channel = f"bench-{uuid.uuid4().hex[:8]}"
    async with AsyncExitStack() as stack:
        processes = [await _spawn(stack, channel, number, count) for number in range(count)]
        async with asyncio.timeout(_MOST_SECS):
            for process in processes:
                await _read(process)  # it has imported everything
            seed = await _begin(processes[0], "-" if way == "one seed" else way)
            rest = [_begin(p, seed if way == "one seed" else way) for p in processes[1:]]
            await asyncio.gather(*rest)
            times = [(await _read(process)).split() for process in processes]
    begun, known, answered = ([float(t) for t in column] for column in zip(*times, strict=True))
    late = [at - since for since, at in zip(begun[1:], answered[1:], strict=True)]
    return Met(max(known) - max(begun), max(late))


async def _spawn(
    stack: AsyncExitStack, channel: str, number: int, count: int
) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    command = (sys.executable, "-m", "bench.join", channel, str(number), str(count))
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
    stack.push_async_callback(process.wait)
    stack.callback(_kill, process)
    return process


def _kill(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()


async def _begin(process: asyncio.subprocess.Process, how: str) -> str:
    """Have a process start its runner; returns its endpoint."""
    assert process.stdin is not None
    process.stdin.write(f"{how}\n".encode())
    return await _read(process)


async def _read(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    line = (await process.stdout.readline()).decode().strip()
    if not line:
        raise RuntimeError("a runner's process ended too early; its error stands above")
    return line


async def _run(channel: str, number: int, count: int) -> None:
    """One of the processes: start when told, say when every worker is known, wait for the end."""
    how = await _ask("ready")
    bus = ZmqBus(channel=channel, discovery=("local",) if how == "local" else (), peers=_seeds(how))
    runner = WorkerRunner(name=f"runner-{number}", bus=bus, handle_sigint=False)
    await runner.add_workers(BaseWorker(name=f"worker-{number}"))
    echo = Echo(number, bus)
    await bus.subscribe(echo)
    begun_at = time.monotonic()
    running = asyncio.create_task(runner.run())
    await bus.wait_for_worker(f"worker-{number}", timeout_secs=_MOST_SECS)
    _say(bus.endpoint)
    asking = asyncio.create_task(echo.ask())
    for other in range(count):
        await bus.wait_for_worker(f"worker-{other}", timeout_secs=_MOST_SECS)
    known_at = time.monotonic()
    await _ask(f"{begun_at} {known_at} {await asking}")
    await runner.cancel()
    await running


def _seeds(how: str) -> Sequence[str]:
    return [how] if "://" in how else []


def _say(line: str) -> None:
    print(line, flush=True)


async def _ask(line: str) -> str:
    _say(line)
    answer: str = await asyncio.to_thread(sys.stdin.readline)
    return answer.strip()


if __name__ == "__main__":
    logger.remove()
    asyncio.run(_run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
