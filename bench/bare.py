"""Two bare sockets that do nothing but a dated message now and then: what the machine itself needs.

A thread sends over loopback to the main thread, which answers each line on stdin with the delays
since the last one.
"""

from __future__ import annotations

import asyncio
import json
import struct
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import zmq

from bench.children import ROOT

_DUE = struct.Struct("d")


class Bare:
    """The process, seen from the benchmark."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def delays(self) -> list[float]:
        """How late each message was since the last call, in seconds."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b"\n")
        delays: list[float] = json.loads(await self._process.stdout.readline())
        return delays


@asynccontextmanager
async def bare(every_secs: float) -> AsyncIterator[Bare]:
    """The sockets, in a process of their own, for as long as the block lasts."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.bare", str(every_secs)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        start_new_session=True,
        limit=2**24,
    )
    try:
        sockets = Bare(process)
        await sockets.delays()
        yield sockets
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _send(context: zmq.Context[zmq.Socket[bytes]], endpoint: str, every_secs: float) -> None:
    socket = context.socket(zmq.PUSH)
    socket.connect(endpoint)
    due = time.monotonic()
    while True:
        socket.send(_DUE.pack(due))
        due += every_secs
        time.sleep(max(0.0, due - time.monotonic()))


def main(every_secs: float) -> None:
    """Send and receive until stdin closes."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket, poller, delays = context.socket(zmq.PULL), zmq.Poller(), list[float]()
    port = socket.bind_to_random_port("tcp://127.0.0.1")
    sending = (context, f"tcp://127.0.0.1:{port}", every_secs)
    threading.Thread(target=_send, args=sending, daemon=True).start()
    poller.register(socket, zmq.POLLIN)
    poller.register(sys.stdin, zmq.POLLIN)
    while True:
        ready = dict(poller.poll())
        if socket in ready:
            delays.append(time.monotonic() - _DUE.unpack(socket.recv())[0])
        if sys.stdin.fileno() in ready:
            if not sys.stdin.readline():
                context.destroy(linger=0)
                return
            print(json.dumps(delays), flush=True)
            delays = []


if __name__ == "__main__":
    main(float(sys.argv[1]))
