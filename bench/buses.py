"""The buses that are measured, each made ready for one process of a pair."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator

from pipecat.bus import AsyncQueueBus, WorkerBus

KINDS = ("queue", "zmqbus", "redis")

_START_SECS = 10.0


class MissingError(Exception):
    """A bus cannot be measured here; says what is missing."""


@contextlib.contextmanager
def server(kind: str) -> Iterator[str]:
    """What the bus needs besides the two processes; gives the address of it.

    Raises:
        MissingError: It is not installed.
    """
    if kind != "redis":
        yield ""
        return
    program = shutil.which("redis-server")
    if program is None:
        raise MissingError("redis-server is not installed")
    with socket.create_server(("127.0.0.1", 0)) as free, tempfile.TemporaryDirectory() as directory:
        port = free.getsockname()[1]
        free.close()
        command = [program, "--port", str(port), "--save", "", "--dir", directory]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            _wait_for(port)
            yield f"redis://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait()


def _wait_for(port: int) -> None:
    give_up_at = time.monotonic() + _START_SECS
    while time.monotonic() < give_up_at:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.01)
    raise MissingError(f"redis-server does not answer on port {port} within {_START_SECS:g} s")


def make(kind: str, channel: str, address: str) -> WorkerBus:
    """A bus of one kind.

    Args:
        kind: One of `KINDS`.
        channel: The channel's name.
        address: As `server` gave it.
    """
    if kind == "queue":
        return AsyncQueueBus()
    if kind == "redis":
        from pipecat.bus.network.redis import RedisBus
        from redis.asyncio import Redis

        return RedisBus(redis=Redis.from_url(address), channel=channel)
    from zmqbus import ZmqBus

    return ZmqBus(channel=channel)


@contextlib.asynccontextmanager
async def started(bus: WorkerBus) -> AsyncIterator[WorkerBus]:
    """The bus, running."""
    from pipecat.utils.asyncio.task_manager import TaskManager

    await bus.setup(TaskManager(loop=asyncio.get_running_loop()))
    await bus.start()
    try:
        yield bus
    finally:
        await bus.stop()
