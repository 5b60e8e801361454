"""How long runners take to meet: from the last one's `start()` until each knows every worker.

What it does not show: how long an interpreter takes to start and to import pipecat, which is most
of what a user waits for; and the network, for all runners are on this machine.
"""

from __future__ import annotations

import asyncio
import sys
import time
import uuid
from collections.abc import Sequence
from contextlib import AsyncExitStack

from loguru import logger
from pipecat.workers.base_worker import BaseWorker
from pipecat.workers.runner import WorkerRunner

from zmqbus import ZmqBus

COUNTS = (2, 10)
WAYS = ("local", "one seed")
_MOST_SECS = 60.0


async def measure(way: str, count: int) -> float:
    """Start ``count`` runners, each a process with one worker; returns the seconds.

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
    begun_at = max(float(begun) for begun, _ in times)
    return max(float(known) for _, known in times) - begun_at


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
    begun_at = time.monotonic()
    running = asyncio.create_task(runner.run())
    await bus.wait_for_worker(f"worker-{number}", timeout_secs=_MOST_SECS)
    _say(bus.endpoint)
    for other in range(count):
        await bus.wait_for_worker(f"worker-{other}", timeout_secs=_MOST_SECS)
    await _ask(f"{begun_at} {time.monotonic()}")
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
