"""Death is an answer: jobs on a runner that dies, leaves, or is found again (R24, F5)."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pipecat.pipeline.job_context import JobError
from support.journal import TIMEOUT_SECS, Journal
from support.process import Child, RemoteSite, spawn
from support.site import Site
from support.workers import job_options

from zmqbus import ZmqBus


@asynccontextmanager
async def desk_and_victim() -> AsyncIterator[tuple[Any, Child, RemoteSite]]:
    """A client on a desk here, and a child with a worker "server" that the desk knows."""
    channel = f"death-{uuid.uuid4().hex}"
    desk = Site(ZmqBus(channel=channel), Journal(), "desk")
    async with spawn() as (child,):
        victim = RemoteSite(child, channel)
        await desk.open()
        await victim.open("victim", bus={"channel": channel})
        client = await desk.host("client", "client")
        await victim.host("server", "server")
        await desk.knows("server")
        try:
            yield client, child, victim
        finally:
            await desk.close()


async def hold(client: Any, errors: list[str]) -> None:
    """Ask for a job that never ends by itself; note how it failed."""
    try:
        async with client.job("server", **job_options(name="hold")):
            pass
    except JobError as error:
        errors.append(str(error))


async def test_job_on_a_killed_runner_ends_with_an_error() -> None:
    """SIGKILL in mid-job: the requester gets an ERROR instead of waiting for ever (P03)."""
    async with desk_and_victim() as (client, child, victim):
        errors: list[str] = []
        asking = asyncio.create_task(hold(client, errors))
        await victim.journal.wait("server", "started")
        child.process.kill()
        await asyncio.wait_for(asking, TIMEOUT_SECS)
        assert errors == ["worker 'server' errored"]


async def test_job_on_a_runner_that_leaves_is_cancelled() -> None:
    """A runner that stops in mid-job has its last word heard: CANCELLED, and no error (P18)."""
    async with desk_and_victim() as (client, _, victim):
        errors: list[str] = []
        asking = asyncio.create_task(hold(client, errors))
        await victim.journal.wait("server", "started")
        await victim.close()
        await asyncio.wait_for(asking, TIMEOUT_SECS)
        assert errors == []


async def test_same_job_reaches_the_restarted_worker() -> None:
    """After the death a restart under the same names is found by its watch, and answers."""
    async with desk_and_victim() as (client, child, victim):
        errors: list[str] = []
        asking = asyncio.create_task(hold(client, errors))
        await victim.journal.wait("server", "started")
        child.process.kill()
        await asyncio.wait_for(asking, TIMEOUT_SECS)
        async with spawn() as (again,):
            channel = client.bus.channel
            successor = RemoteSite(again, channel)
            await successor.open("victim", bus={"channel": channel})
            await successor.host("server", "server")
            assert await client.ask("server", "echo", {"x": 1})
