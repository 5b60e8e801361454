"""Death is an answer: jobs on a runner that dies, leaves, or is found again (R24, F5)."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pipecat.pipeline.job_context import JobError, JobGroupError
from support.journal import TIMEOUT_SECS, Journal
from support.process import Child, RemoteSite, spawn
from support.site import Site
from support.workers import job_options

from zmqbus import ZmqBus


def make_desk() -> Site:
    """A site on a channel of its own."""
    return Site(ZmqBus(channel=f"death-{uuid.uuid4().hex}"), Journal(), "desk")


def bus_of(site: Site) -> ZmqBus:
    """The bus of a site, with its type."""
    assert isinstance(site.bus, ZmqBus)
    return site.bus


@asynccontextmanager
async def desk_and_victim(desk: Site | None = None) -> AsyncIterator[tuple[Any, Child, RemoteSite]]:
    """A client on a desk here, and a child with a worker "server" that the desk knows."""
    desk = desk or make_desk()
    channel = bus_of(desk).channel
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


async def hold(client: Any, errors: list[str]) -> dict[str, Any]:
    """Ask for a job that never ends by itself; note how it failed, and return the response."""
    job = client.job("server", **job_options(name="hold"))
    try:
        async with job:
            pass
    except JobError as error:
        errors.append(str(error))
    response: dict[str, Any] = job.response
    return response


async def test_job_on_a_killed_runner_ends_with_an_error() -> None:
    """SIGKILL in mid-job: the requester gets an ERROR instead of waiting for ever (P03, F5)."""
    async with desk_and_victim() as (client, child, victim):
        errors: list[str] = []
        asking = asyncio.create_task(hold(client, errors))
        await victim.journal.wait("server", "started")
        child.process.kill()
        response = await asyncio.wait_for(asking, TIMEOUT_SECS)
        assert errors == ["worker 'server' errored"]
        assert response["error"].startswith("runner 'victim' was lost: ")


async def test_job_on_a_runner_that_says_goodbye_without_answering_ends_with_an_error() -> None:
    """Its bus leaves before its worker had a last word: the reason is another one (R24)."""
    async with desk_and_victim() as (client, _, victim):
        errors: list[str] = []
        asking = asyncio.create_task(hold(client, errors))
        await victim.journal.wait("server", "started")
        await victim.call("", "stop")
        response = await asyncio.wait_for(asking, TIMEOUT_SECS)
        assert errors == ["worker 'server' errored"]
        assert response == {"error": "runner 'victim' left: it said goodbye"}


async def test_job_on_a_runner_that_leaves_is_cancelled() -> None:
    """A runner that stops in mid-job has its last word heard: CANCELLED, and no error (P18)."""
    desk = make_desk()
    async with desk_and_victim(desk) as (client, _, victim):
        errors: list[str] = []
        asking = asyncio.create_task(hold(client, errors))
        await victim.journal.wait("server", "started")
        await victim.close()
        await asyncio.wait_for(asking, TIMEOUT_SECS)
        assert errors == []
        assert desk.journal.of("client", "response") == [
            ["BusJobResponseMessage", "server", "CANCELLED", True]
        ]


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


async def test_group_with_cancel_on_error_ends_when_one_of_its_runners_dies() -> None:
    """As for any error: the group fails, and the others are told to cancel (R24)."""
    desk = make_desk()
    async with desk_and_victim(desk) as (client, child, victim):
        await desk.host("server", "near")
        asking = asyncio.create_task(client.asking("server", "near", name="hold").__aenter__())
        group = await asyncio.wait_for(asking, TIMEOUT_SECS)
        await victim.journal.wait("server", "started")
        await desk.journal.wait("near", "started")
        child.process.kill()
        with pytest.raises(JobGroupError, match="worker 'server' errored"):
            await asyncio.wait_for(group.__aexit__(None, None, None), TIMEOUT_SECS)
        (cancelled,) = await desk.journal.wait("near", "job cancelled")
        assert cancelled == [group.job_id, "worker 'server' errored"]


async def test_group_without_cancel_on_error_has_the_error_among_its_responses() -> None:
    """It goes on with those that live (R24)."""
    desk = make_desk()
    async with desk_and_victim(desk) as (client, child, victim):
        await desk.host("server", "near")
        options = {"name": "part", "payload": {"fails": "near"}, "cancel_on_error": False}
        async with client.asking("server", "near", **options) as group:
            await victim.journal.wait("server", "started")
            child.process.kill()
        assert group.responses["server"]["error"].startswith("runner 'victim' was lost: ")
        assert group.responses["near"] == {}


async def test_stream_of_a_killed_runner_ends() -> None:
    """Who iterates over its events is let go, and the job fails (R24, P03)."""
    async with desk_and_victim() as (client, child, _):
        payload = {"chunks": 3, "endless": True}
        job = client.job("server", **job_options(name="stream", payload=payload))
        events: list[str] = []
        await job.__aenter__()
        async for event in job:
            events.append(event.type)
            if len(events) == 4:
                child.process.kill()
        assert events == ["stream_start", *3 * ["stream_data"]]
        with pytest.raises(JobError, match="worker 'server' errored"):
            await job.__aexit__(None, None, None)


@pytest.mark.parametrize("killed", [True, False])
async def test_root_workers_of_a_lost_runner_are_said_to_have_failed(killed: bool) -> None:
    """As they would have said themselves; nothing is said after a goodbye (R24)."""
    desk = make_desk()
    async with desk_and_victim(desk) as (_, child, victim):
        watcher = await desk.host("listener", "watcher", hears=["BusWorkerErrorMessage"])
        if killed:
            child.process.kill()
            await desk.journal.wait("watcher", "heard")
        else:
            await victim.close()
            await desk.journal.wait("bus", "left")
        said = [(m.source, m.target, m.error.partition(": ")[0]) for m in watcher.messages]
        assert said == ([("server", None, "runner 'victim' was lost")] if killed else [])
