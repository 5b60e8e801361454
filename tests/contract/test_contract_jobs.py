"""Jobs end alike, whether the worker lives in this process or in another."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pipecat.pipeline.job_context import JobError, JobGroupError
from support.describe import describe
from support.samples import VALUES
from support.workers import Client, job_options
from support.worlds import World

# Long enough for an answer that comes, short enough to wait for one that does not.
IN_VAIN_SECS = 0.5


async def client(world: World) -> Client:
    """A client here, with a server there that it knows."""
    await world.far.host("server", "server")
    asking: Client = await world.near.host("client", "client")
    await world.near.knows("server")
    return asking


async def ask(asking: Client, name: str | None, payload: Any = None, **options: Any) -> Any:
    """Have one job of the server done, and return its response."""
    async with asking.job(
        "server", **job_options(name=name, payload=payload, **options)
    ) as context:
        pass
    return context.response


async def test_named_job_is_answered_by_its_handler(world: World) -> None:
    """A request with a name runs the handler of that name, and its response comes back."""
    asking = await client(world)

    response = await ask(asking, "echo", {"city": "Bern"})

    assert response == {"echo": {"city": "Bern"}, "by": "server"}
    assert asking.journal.of("client", "response") == [
        ["BusJobResponseMessage", "server", "COMPLETED", True]
    ]


async def test_job_without_a_name_reaches_the_general_handler(world: World) -> None:
    """A request without name or payload arrives as one without name or payload."""
    asking = await client(world)

    assert await ask(asking, None) == {"unnamed": None}


async def test_job_at_a_worker_that_is_ready_later_waits_for_it(world: World) -> None:
    """A client that asks before the worker exists is answered once it does."""
    asking: Client = await world.near.host("client", "client")
    asked = asyncio.create_task(ask(asking, "echo", {"n": 1}))
    await world.far.host("server", "server")

    assert await asked == {"echo": {"n": 1}, "by": "server"}


async def test_job_at_an_unknown_worker_times_out(world: World) -> None:
    """Nobody answers for a worker that does not exist: the job fails after its own timeout."""
    asking: Client = await world.near.host("client", "client")

    with pytest.raises(JobGroupError, match="not ready"):
        async with asking.job("nobody", **job_options(timeout=IN_VAIN_SECS)):
            pass


@pytest.mark.parametrize("status", ["failed", "error"])
async def test_unsuccessful_job_raises_at_the_client(world: World, status: str) -> None:
    """FAILED and ERROR arrive as the very enum members, and raise at the client."""
    asking = await client(world)

    with pytest.raises(JobError, match="errored"):
        await ask(asking, "finish", {"status": status})

    assert asking.journal.of("client", "response") == [
        ["BusJobResponseMessage", "server", status.upper(), True]
    ]


async def test_urgent_response_arrives_as_a_system_message(world: World) -> None:
    """A response sent urgently ends the job, and keeps its class."""
    asking = await client(world)

    response = await ask(asking, "finish", {"status": "completed", "urgent": True})

    assert response == {"why": "asked"}
    assert asking.journal.of("client", "response") == [
        ["BusJobResponseUrgentMessage", "server", "COMPLETED", True]
    ]


async def test_job_whose_handler_raises_times_out_and_the_next_is_answered(world: World) -> None:
    """A handler that raises answers nothing, and harms nothing."""
    asking = await client(world)

    with pytest.raises(JobError, match="timeout"):
        await ask(asking, "break", timeout=IN_VAIN_SECS)

    assert len(await world.far.journal.wait("server", "started")) == 1
    assert await ask(asking, "echo") == {"echo": None, "by": "server"}


@pytest.mark.parametrize("sample", VALUES)
async def test_payload_values_survive_both_ways(world: World, sample: str) -> None:
    """A payload is equal and of equal types at the worker, and again when it comes back."""
    asking = await client(world)
    payload = {"value": VALUES[sample]}

    response = await ask(asking, "echo", payload)

    assert await world.far.journal.wait("server", "request") == [describe(payload)]
    assert describe(response["echo"]) == describe(payload)


async def test_group_collects_the_response_of_each_worker(world: World) -> None:
    """A group over workers here and there ends with the response of each."""
    asking = await client(world)
    await world.far.host("server", "second")
    await world.near.host("server", "third")

    names = ("server", "second", "third")
    async with asking.asking(*names, name="echo", payload={"n": 1}) as group:
        pass

    assert group.responses == {name: {"echo": {"n": 1}, "by": name} for name in names}


async def test_failure_in_a_group_cancels_the_others(world: World) -> None:
    """With `cancel_on_error`, one failure ends the group, and reaches the handler still running."""
    asking = await client(world)
    await world.far.host("server", "second")
    options = {"name": "part", "payload": {"fails": "second"}, "cancel_on_error": True}

    with pytest.raises(JobGroupError, match="'second' errored"):
        async with asking.asking("server", "second", **options) as group:
            pass

    assert await world.far.journal.wait("server", "handler cancelled") == [group.job_id]


async def test_failure_in_a_tolerant_group_is_one_response_of_many(world: World) -> None:
    """Without `cancel_on_error`, the group ends with what each worker responded."""
    asking = await client(world)
    await world.far.host("server", "second")
    options = {"name": "finish", "payload": {"status": "failed"}, "cancel_on_error": False}

    async with asking.asking("server", "second", **options) as group:
        pass

    assert group.responses == {"server": {"why": "asked"}, "second": {"why": "asked"}}


async def test_stream_arrives_whole_and_in_order(world: World) -> None:
    """Start, every chunk and end of a stream come in the order sent, none missing."""
    asking = await client(world)

    events = []
    options = job_options(name="stream", payload={"chunks": 200})
    async with asking.job("server", **options) as context:
        async for event in context:
            events.append((event.type, event.data))

    chunks = [("stream_data", {"index": index}) for index in range(200)]
    assert events == [
        ("stream_start", {"chunks": 200}),
        *chunks,
        ("stream_end", {"sent": 200}),
    ]
    assert context.response == {"sent": 200}
    assert len(asking.journal.of("client", "stream")) == 202


@pytest.mark.parametrize("urgent", [False, True])
async def test_updates_arrive_before_the_response(world: World, urgent: bool) -> None:
    """Updates, plain or urgent, come in order and before the response that follows them."""
    asking = await client(world)

    events = []
    options = job_options(name="progress", payload={"steps": 5, "urgent": urgent})
    async with asking.job("server", **options) as context:
        async for event in context:
            events.append(event.data)

    assert events == [{"step": step} for step in range(5)]
    assert context.response == {"done": True}
    kind = "BusJobUpdateUrgentMessage" if urgent else "BusJobUpdateMessage"
    assert {update[0] for update in asking.journal.of("client", "update")} == {kind}


async def test_requested_update_comes_back(world: World) -> None:
    """A worker that is asked how far it is answers while it works."""
    asking = await client(world)

    async with asking.job("server", **job_options(name="hold")) as context:
        await world.far.journal.wait("server", "started")
        await asking.request_job_update(context.job_id, "server")
        event = await anext(context)
        await asking.cancel_job_group(context.job_id)

    assert event.data == {"held by": "server"}


async def test_cancel_reaches_the_running_handler(world: World) -> None:
    """A client that leaves its job cancels the handler, whose CANCELLED answer comes back."""
    asking = await client(world)

    asked = asyncio.create_task(ask(asking, "hold"))
    (job_id,) = await world.far.journal.wait("server", "started")
    await asking.cancel_job_group(job_id, reason="given up")
    with pytest.raises(JobError, match="given up"):
        await asked

    assert await world.far.journal.wait("server", "handler cancelled") == [job_id]
    assert await world.far.journal.wait("server", "job cancelled") == [[job_id, "given up"]]
    assert await asking.journal.wait("client", "response") == [
        ["BusJobResponseMessage", "server", "CANCELLED", True]
    ]


async def test_last_words_of_a_worker_that_ends_are_delivered(world: World) -> None:
    """A worker that ends answers its open job, also when its runner ends with it (P18)."""
    asking = await client(world)

    async with asking.job("server", **job_options(name="hold")):
        await world.far.journal.wait("server", "started")
        await asking.end_worker("server")
        response = await asking.journal.wait("client", "response")

    assert response == [["BusJobResponseMessage", "server", "CANCELLED", True]]
