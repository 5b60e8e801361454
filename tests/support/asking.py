"""Runners in other processes that ask each other, so that it shows who reaches whom."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from itertools import permutations
from typing import Any

from support.process import RemoteSite


class Runner(RemoteSite):
    """A runner with a server and a client, which asks the servers of others."""

    async def begin(self, **bus: Any) -> None:
        """Start it, with these arguments of its bus."""
        await self.open(self.site, bus=bus)
        await self.host("server", f"server {self.site}")
        await self.host("client", f"client {self.site}")

    async def asks(self, other: Runner) -> None:
        """Ask the server of another one, and be answered."""
        server = f"server {other.site}"
        await self.knows(server)
        asked = await self.call(f"client {self.site}", "ask", name=server, job="echo")
        assert asked == {"echo": None, "by": server}


async def all_ask(runners: Sequence[Runner]) -> None:
    """Everybody asks everybody else: both directions of both planes, by every pair."""
    await asyncio.gather(*(one.asks(other) for one, other in permutations(runners, 2)))


def new_channel() -> str:
    """A name that nobody else uses."""
    return f"asking-{uuid.uuid4().hex}"
