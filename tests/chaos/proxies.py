"""A LAN for whoever is not root: each process is reached through a TCP proxy on loopback.

The proxies run in this process' event loop. Which actor a connection comes from is read from the
system's table of sockets, so a cut hits what an actor sends as well as what it is sent. A cut proxy
holds what it has and takes no more, as a network with a cable missing does.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaos.schedule import ACTORS

_CHUNK_BYTES = 2**14
_SLOW_BYTES_PER_SEC = 180_000


@dataclass(eq=False)
class _Pair:
    """One connection through a proxy: from whom, to whom, and its two ends."""

    client: int
    server: int
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    def touches(self, actor: int) -> bool:
        return actor in (self.client, self.server)

    def abort(self) -> None:
        for writer in self.writers:
            writer.transport.abort()


class Proxies:
    """The network of one run."""

    def __init__(self) -> None:
        """Make nothing yet."""
        self._ports = [_free_pair() for _ in range(ACTORS)]
        self._fronts = [_free_pair() for _ in range(ACTORS)]
        self._pids: dict[int, int] = {}
        self._cut: set[int] = set()
        self._slow: set[int] = set()
        self._mended = asyncio.Event()
        self._pairs: set[_Pair] = set()
        self._servers: list[asyncio.Server] = []
        self._passing: set[asyncio.Task[None]] = set()

    @staticmethod
    def missing() -> str:
        """Why there can be none here; empty if there can."""
        return "" if Path("/proc/net/tcp").exists() else "there is no /proc to read sockets from"

    async def open(self) -> None:
        """Listen in front of every actor, for both planes."""
        for actor in range(ACTORS):
            for plane in (0, 1):
                front, port = self._fronts[actor] + plane, self._ports[actor] + plane
                accept = self._acceptor(actor, port)
                self._servers.append(await asyncio.start_server(accept, "127.0.0.1", front))

    async def close(self) -> None:
        """Stop listening, and close what is open."""
        for server in self._servers:
            server.close()
        self._cut.clear()
        self._mended.set()
        for pair in list(self._pairs):
            pair.abort()
        await asyncio.gather(*self._passing)

    def command(self, actor: int) -> list[str]:
        """What a command line must begin with to run where the actor lives."""
        return []

    def bus_options(self, actor: int) -> dict[str, Any]:
        """Where the bus of an actor binds, and whom it dials."""
        seeds = [f"tcp://127.0.0.1:{self._fronts[n]}" for n in range(ACTORS) if n != actor][:2]
        front = self._fronts[actor]
        return {
            "bind": f"tcp://127.0.0.1:{self._ports[actor]}",
            "advertise": f"127.0.0.1:{front}+{front + 1}",
            "peers": seeds,
        }

    def expect(self, actor: int, pid: int) -> None:
        """Note the process that an actor is."""
        self._pids[actor] = pid

    def cut(self, actor: int) -> None:
        """Pass nothing from or to an actor."""
        self._cut.add(actor)
        self._mended.clear()

    def mend(self, actor: int) -> None:
        """Pass what has been held back, and go on."""
        self._cut.discard(actor)
        self._mended.set()

    def reset(self, actor: int) -> None:
        """Reset all connections of an actor."""
        for pair in list(self._pairs):
            if pair.touches(actor):
                pair.abort()

    def throttle(self, actor: int) -> None:
        """Let an actor send slowly."""
        self._slow.add(actor)

    def unthrottle(self, actor: int) -> None:
        """Let it send as fast as it can."""
        self._slow.discard(actor)

    # -- passing

    def _acceptor(self, server: int, port: int) -> Any:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            client = _owner(writer.get_extra_info("peername")[1], self._pids)
            pair = _Pair(client, server, [writer])
            self._pairs.add(pair)
            try:
                await self._connect(pair, port, reader, writer)
            except OSError:
                pass
            finally:
                pair.abort()
                self._pairs.discard(pair)

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.get_running_loop().create_task(serve(reader, writer))
            self._passing.add(task)
            task.add_done_callback(self._passing.discard)

        return accept

    async def _connect(
        self, pair: _Pair, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await self._passable(pair)
        there, back = await asyncio.open_connection("127.0.0.1", port)
        pair.writers.append(back)
        ways = (
            self._pass(pair, pair.client, reader, back),
            self._pass(pair, pair.server, there, writer),
        )
        tasks = [asyncio.create_task(way) for way in ways]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _pass(
        self, pair: _Pair, sender: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(_CHUNK_BYTES):
                await self._passable(pair)
                if sender in self._slow:
                    await asyncio.sleep(len(chunk) * ACTORS / _SLOW_BYTES_PER_SEC)
                writer.write(chunk)
                await writer.drain()

    async def _passable(self, pair: _Pair) -> None:
        while pair.client in self._cut or pair.server in self._cut:
            self._mended.clear()
            await self._mended.wait()


def _free_pair() -> int:
    """A port that is free together with the next one."""
    while True:
        port = random.randrange(20_000, 32_000, 2)
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for number in (port, port + 1):
                one = stack.enter_context(socket.socket())
                one.bind(("127.0.0.1", number))
            return port


def _owner(port: int, pids: dict[int, int]) -> int:
    """The actor whose process has the near end of a connection from this port; -1 for nobody's."""
    local = f"0100007F:{port:04X}"
    inode = ""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        columns = line.split()
        if columns[1] == local and columns[2].startswith("0100007F:"):
            inode = columns[9]
            break
    for actor, pid in pids.items():
        with contextlib.suppress(OSError):
            for entry in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    if os.readlink(f"/proc/{pid}/fd/{entry}") == f"socket:[{inode}]":
                        return actor
    return -1
