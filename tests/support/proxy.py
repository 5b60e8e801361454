"""A link that can fail: TCP proxies in front of the two ports of a node, in the test's own loop."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

_CHUNK_BYTES = 16 * 2**10
_NODE_PORT, _PROXY_PORT = 7000, 8000


class Proxy:
    """Forwards the connections made to one port to another, as long as it is told to.

    Args:
        host: Address of both.
        port: Where it listens.
        target: Port it forwards to.
    """

    def __init__(self, host: str, port: int, target: int) -> None:
        self._host = host
        self._port = port
        self._target = target
        self._rate: float | None = None
        self._flows = asyncio.Event()
        self._flows.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._accept, self._host, self._port)

    async def close(self) -> None:
        """Break everything, and listen no more."""
        self._server.close()
        self.reset()
        for pump in self._pumps:
            pump.cancel()
        if self._pumps:
            await asyncio.wait(self._pumps)
        await self._server.wait_closed()

    def cut(self) -> None:
        """Let nothing through, and tell nobody: what comes waits."""
        self._flows.clear()

    def heal(self) -> None:
        """Let everything through again."""
        self._flows.set()

    def reset(self) -> None:
        """Break each connection; new ones may be made."""
        for writer in list(self._writers):
            writer.transport.abort()

    def slow_down(self, bytes_per_sec: float) -> None:
        """Let no connection carry more than so much."""
        self._rate = bytes_per_sec

    async def _accept(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        try:
            far, forth = await asyncio.open_connection(self._host, self._target)
        except OSError:
            back.transport.abort()
            return
        self._writers |= {back, forth}
        for reader, writer in ((near, forth), (far, back)):
            pump = asyncio.create_task(self._pump(reader, writer))
            self._pumps.add(pump)
            pump.add_done_callback(partial(self._end, (back, forth)))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(_CHUNK_BYTES):
                await self._flows.wait()
                if self._rate is not None:
                    await asyncio.sleep(len(chunk) / self._rate)
                writer.write(chunk)
                await writer.drain()

    def _end(
        self, ends: tuple[asyncio.StreamWriter, asyncio.StreamWriter], pump: asyncio.Task[None]
    ) -> None:
        """One end has closed the connection: so does the other."""
        self._pumps.discard(pump)
        for end in ends:
            end.transport.abort()
            self._writers.discard(end)


class Gate:
    """The proxies of one node.

    Parameters:
        system: That of its ROUTER.
        data: That of its XPUB.
        bind: Where the node has to bind.
        advertise: What it has to tell others, so that they come through the proxies.
        seed: What others are given to find it.
    """

    def __init__(self, host: str) -> None:
        self.system = Proxy(host, _PROXY_PORT, _NODE_PORT)
        self.data = Proxy(host, _PROXY_PORT + 1, _NODE_PORT + 1)
        self.bind = f"tcp://{host}:{_NODE_PORT}"
        self.advertise = f"{host}:{_PROXY_PORT}"
        self.seed = f"tcp://{host}:{_PROXY_PORT}"


@asynccontextmanager
async def gates(count: int) -> AsyncIterator[list[Gate]]:
    """Gates with addresses of their own."""
    opened = [Gate(own_address()) for _ in range(count)]
    proxies = [proxy for gate in opened for proxy in (gate.system, gate.data)]
    for proxy in proxies:
        await proxy.open()
    try:
        yield opened
    finally:
        for proxy in proxies:
            await proxy.close()


def own_address() -> str:
    """A loopback address that no other test uses: all of its ports are free."""
    rng = random.SystemRandom()
    return f"127.{rng.randint(1, 254)}.{rng.randint(0, 255)}.{rng.randint(1, 254)}"
