"""What users complain about with jobs and sessions, on real buses."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pipecat.bus import BusJobCancelMessage, BusJobRequestMessage
from support.journal import TIMEOUT_SECS, Journal
from support.site import Site

from zmqbus import MeshNode, ZmqBus


@asynccontextmanager
async def session(
    channel: str, near: MeshNode | None = None, far: MeshNode | None = None
) -> AsyncIterator[tuple[Site, Site, Any]]:
    """Two sites on a channel: a server at the far one, a client at the near one, and the client."""
    sites = [
        Site(ZmqBus(channel=channel, node=node), Journal(), name)
        for node, name in ((near, "near"), (far, "far"))
    ]
    for site in sites:
        await site.open()
    await sites[1].host("server", "server")
    client = await sites[0].host("client", "client")
    await sites[0].knows("server")
    yield sites[0], sites[1], client
    for site in sites:
        await site.close()


def request(job_id: str, job_name: str) -> BusJobRequestMessage:
    """The client asks the server."""
    return BusJobRequestMessage(source="client", target="server", job_id=job_id, job_name=job_name)


async def test_cancel_sent_right_behind_its_request_ends_the_job() -> None:
    """It overtakes the request, which is not run then; the next job is (P06, F4, R19)."""
    async with session(uuid.uuid4().hex) as (near, far, client):
        for number in range(20):
            job_id = f"job {number}"
            await near.bus.send(request(job_id, "hold"))
            await near.bus.send(
                BusJobCancelMessage(source="client", target="server", job_id=job_id)
            )
        assert await client.ask("server", "echo") == {"echo": None, "by": "server"}
        started = far.journal.of("server", "started")
        assert far.journal.of("server", "handler cancelled") == started
        assert far.workers["server"].active_jobs == {}


async def test_request_that_comes_twice_is_run_once() -> None:
    """Whatever sent it again, nobody is called twice (P07)."""
    async with session(uuid.uuid4().hex) as (near, far, client):
        message = request("job", "echo")
        for _ in range(3):
            await near.bus.send(message)
        await client.ask("server", "echo", {"x": 1})
        assert len(far.journal.of("server", "request")) == 2


async def test_end_of_one_session_ends_no_other() -> None:
    """Sessions that share their nodes end one by one, on both sides (F27)."""
    nodes = MeshNode(), MeshNode()
    channels = [uuid.uuid4().hex for _ in range(3)]
    async with (
        session(channels[0], *nodes) as (*ended, ending),
        session(channels[1], *nodes) as (*_, client),
        session(channels[2]) as (*_, stranger),
    ):
        await ending.end(reason="the caller hung up")
        for site in ended:
            await site.finished()
        for living in (client, stranger):
            asked = asyncio.wait_for(living.ask("server", "echo", {"x": 1}), TIMEOUT_SECS)
            assert await asked == {"echo": {"x": 1}, "by": "server"}
