"""A runner dies, and somebody takes its place: elsewhere, at once, or under another name."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
from pipecat.pipeline.job_context import JobError
from support.journal import TIMEOUT_SECS, Journal
from support.process import Child, RemoteSite, spawn
from support.proxy import own_address
from support.site import Site
from support.workers import job_options

from zmqbus import ZmqBus

# Far beyond any patience: no job of these tests ends by its own timeout.
JOB_SECS = 10 * TIMEOUT_SECS


class Desk:
    """A site here with a client, and what comes and goes in other processes."""

    def __init__(self) -> None:
        self.site = Site(ZmqBus(channel=f"return-{uuid.uuid4().hex}"), Journal(), "desk")
        self.client: Any = None

    async def __aenter__(self) -> Desk:
        await self.site.open()
        self.client = await self.site.host("client", "client")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.site.close()

    async def server(self, child: Child, runner: str, **bus: Any) -> RemoteSite:
        """A site in a child, with the worker "server"."""
        site = RemoteSite(child, uuid.uuid4().hex)
        channel = self.site.bus.channel  # type: ignore[attr-defined]
        await site.open(runner, bus={"channel": channel, **bus})
        await site.host("server", "server")
        return site

    def ask(self, job: str) -> asyncio.Task[dict[str, Any]]:
        """Have a job done by whoever is the server, now or later."""
        return asyncio.create_task(self._ask(job))

    async def _ask(self, job: str) -> dict[str, Any]:
        async with self.client.job("server", **job_options(name=job, timeout=JOB_SECS)) as context:
            pass
        response: dict[str, Any] = context.response
        return response

    async def fails(self, asked: asyncio.Task[dict[str, Any]]) -> None:
        """A job ends with an ERROR."""
        with pytest.raises(JobError, match="worker 'server' errored"):
            await asyncio.wait_for(asked, TIMEOUT_SECS)


@pytest.mark.parametrize("where", ["anywhere", "same address", "another host"])
async def test_job_asked_again_reaches_whoever_takes_the_place(where: str) -> None:
    """Killed in mid-job: an ERROR; asked again, the job waits for the successor (F2, F9, D09)."""
    here, there = (f"tcp://{own_address()}:{port}" for port in (7000, 7100))
    first = {} if where == "anywhere" else {"bind": here}
    then = {"bind": there} if where == "another host" else first
    async with Desk() as desk, spawn(2) as (victim, heir):
        site = await desk.server(victim, "runner", **first)
        await desk.site.knows("server")
        held = desk.ask("hold")
        await site.journal.wait("server", "started")
        victim.process.kill()
        await desk.fails(held)
        again = desk.ask("echo")
        await desk.server(heir, "runner", **then)
        answer = await asyncio.wait_for(again, TIMEOUT_SECS)
        assert answer == {"echo": None, "by": "server"}
        assert desk.site.journal.of("bus", "refused") == []


async def test_name_of_a_runner_that_left_is_free_at_once() -> None:
    """After a goodbye as well, at another address: no conflict, and the watch fires (D09)."""
    async with Desk() as desk, spawn(2) as (leaves, comes):
        site = await desk.server(leaves, "runner")
        await desk.site.knows("server")
        await site.close()
        asked = desk.ask("echo")
        await desk.server(comes, "runner")
        assert await asyncio.wait_for(asked, TIMEOUT_SECS) == {"echo": None, "by": "server"}
        assert desk.site.journal.of("bus", "refused") == []


async def test_crashed_runner_leaves_no_ghost_beside_its_successor() -> None:
    """Its workers leave the registry; one of another runner is listed once (F3, P02)."""
    async with Desk() as desk, spawn(2) as (victim, heir):
        await desk.server(victim, "before")
        await desk.site.knows("server")
        await desk.site.journal.wait("bus", "joined")
        victim.process.kill()
        await desk.site.journal.wait("bus", "lost")
        registry = desk.site.runner.registry
        assert registry.remote_workers == []
        await desk.server(heir, "after")
        await desk.site.knows("server")
        assert registry.remote_workers == ["server"]
        found = registry.get("server")
        assert found
        assert found.runner == "after"
        answer = await asyncio.wait_for(desk.ask("echo"), TIMEOUT_SECS)
        assert answer == {"echo": None, "by": "server"}
