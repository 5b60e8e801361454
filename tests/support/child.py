"""A process that hosts sites: ``python -m support.child``.

Commands come in on stdin, one JSON object a line: ``{"id": 1, "op": "host", "site": "s", ...}``.
Out go ``{"re": 1, "result": ...}`` or ``{"re": 1, "error": "traceback"}``, and every note of a
journal as ``{"site": "s", "note": [worker, what, data]}``. When stdin closes, the process ends,
whatever its sites are doing.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
import traceback
from functools import partial
from typing import Any

from support.journal import Journal
from support.site import Site, make_bus
from zmqbus import MeshNode

# The channel to the parent; what anybody prints goes to stderr.
_OUT = os.dup(1)
os.dup2(2, 1)


def _tell(event: dict[str, Any]) -> None:
    os.write(_OUT, json.dumps(event, default=str).encode() + b"\n")


class _Host:
    """The sites of this process, and the commands."""

    def __init__(self) -> None:
        self.sites: dict[str, Site] = {}
        self.nodes: dict[str, MeshNode] = {}
        self.leave: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def open(
        self,
        site: str,
        runner: str,
        transport: str,
        bus: dict[str, Any],
        node: str | None = None,
        **options: Any,
    ) -> None:
        """Open a site; those with the same `node` share one `MeshNode`."""
        shared = self.nodes.setdefault(node, MeshNode()) if node else None
        journal = Journal(forward=partial(self._note, site))
        self.sites[site] = Site(make_bus(transport, bus, shared), journal, runner, **options)
        await self.sites[site].open()

    async def host(self, site: str, **arguments: Any) -> None:
        """Add a worker."""
        await self.sites[site].host(**arguments)

    async def call(self, site: str, **arguments: Any) -> Any:
        """Call a worker or the bus."""
        return await self.sites[site].call(**arguments)

    async def rekey(self, site: str, **arguments: Any) -> None:
        """Change the keys of the bus."""
        self.sites[site].rekey(**arguments)

    async def knows(self, site: str, names: list[str]) -> None:
        """Wait for workers in the registry."""
        await self.sites[site].knows(*names)

    async def finished(self, site: str) -> None:
        """Wait for the end of the runner."""
        await self.sites[site].finished()

    async def close(self, site: str) -> None:
        """End the runner."""
        await self.sites.pop(site).close()

    async def block(self, secs: float) -> None:
        """Keep the event loop and the GIL for so long."""
        until = time.monotonic() + secs
        while time.monotonic() < until:
            pass

    async def sockets(self) -> int:
        """Count this process' sockets."""
        links = (f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd"))
        return sum(1 for link in links if _target(link).startswith("socket:"))

    async def quit(self) -> None:
        """Leave `main` in good order, without closing anything first."""
        self.leave.set_result(None)

    async def crash(self) -> None:
        """Leave `main` by an exception, without closing anything first."""
        self.leave.set_exception(RuntimeError("crashed on command"))

    def _note(self, site: str, worker: str, what: str, data: Any) -> None:
        _tell({"site": site, "note": [worker, what, data]})


def _target(link: str) -> str:
    try:
        return os.readlink(link)
    except FileNotFoundError:  # the listing's own descriptor
        return ""


async def _obey(host: _Host, line: bytes) -> None:
    command = json.loads(line)
    number, op = command.pop("id"), command.pop("op")
    try:
        _tell({"re": number, "result": await getattr(host, op)(**command)})
    except Exception:
        _tell({"re": number, "error": traceback.format_exc()})


async def _listen(host: _Host) -> None:
    stdin = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin
    )
    running: set[asyncio.Task[None]] = set()
    async for line in stdin:
        task = asyncio.create_task(_obey(host, line))
        running.add(task)
        task.add_done_callback(running.discard)
    os._exit(3)  # the parent is gone, and nothing here may outlive it


async def main() -> None:
    """Serve until told to leave."""
    host = _Host()
    listening = asyncio.create_task(_listen(host))
    _tell({"ready": os.getpid()})
    try:
        await host.leave
    finally:
        listening.cancel()


if __name__ == "__main__":
    asyncio.run(main())
