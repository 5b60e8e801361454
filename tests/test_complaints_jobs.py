"""What users complain about with jobs and sessions, on real buses."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pipecat.bus import BusJobCancelMessage, BusJobRequestMessage
from pipecat.pipeline.job_context import JobError
from support.journal import TIMEOUT_SECS, Journal
from support.proxy import Gate, gates
from support.site import Site

from zmqbus import MeshConfig, MeshNode, ZmqBus


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


async def test_job_whose_server_was_cut_off_fails_and_its_late_answer_is_dropped() -> None:
    """The server goes on; when the link is back its worker is known again (P03, F5, F7)."""
    channel = uuid.uuid4().hex
    async with gates(2) as (near, far):
        sites = [
            Site(gated_bus(channel, gate, near.seed), Journal(), name)
            for gate, name in ((near, "near"), (far, "far"))
        ]
        for site in sites:
            await site.open()
        server = await sites[1].host("server", "server")
        client = await sites[0].host("client", "client")
        await sites[0].knows("server")
        await sites[0].journal.wait("bus", "joined")
        asked = asyncio.create_task(client.ask("server", "hold"))
        (job_id,) = await sites[1].journal.wait("server", "started")
        for proxy in (near.system, near.data, far.system, far.data):
            proxy.cut()
        with pytest.raises(JobError):
            await asyncio.wait_for(asked, TIMEOUT_SECS)
        await server.send_job_response(job_id, {"too": "late"})
        for proxy in (near.system, near.data, far.system, far.data):
            proxy.heal()
        await sites[0].journal.wait("bus", "joined", 2)
        assert await client.ask("server", "echo") == {"echo": None, "by": "server"}
        assert isinstance(sites[0].bus, ZmqBus)
        assert sites[0].bus.stats().dropped == {"late_answer": 1}
        for site in sites:
            await site.close()


def gated_bus(channel: str, gate: Gate, seed: str) -> ZmqBus:
    """A bus that is met through its gate only, and soon misses whom it cannot reach."""
    config = MeshConfig(heartbeat_secs=0.1, link_timeout_secs=0.5, grace_secs=0.2)
    return ZmqBus(
        channel=channel,
        bind=gate.bind,
        advertise=gate.advertise,
        discovery=(),
        peers=[] if gate.seed == seed else [seed],
        config=config,
    )
