"""Readiness, activation, errors, end and cancel work alike over any distance."""

from __future__ import annotations

import pytest
from support.worlds import World


async def test_watch_fires_for_a_worker_that_was_there_before(world: World) -> None:
    """A worker watched after it became ready is reported at once, exactly once."""
    await world.far.host("server", "server")
    await world.near.knows("server")
    watching = await world.near.host("client", "client")

    await watching.watch_workers("server")

    assert await world.near.journal.wait("client", "ready") == ["server"]


async def test_watch_fires_for_a_worker_that_comes_later(world: World) -> None:
    """A worker watched before it exists is reported when it is ready, exactly once."""
    watching = await world.near.host("client", "client")
    await watching.watch_workers("server", "second")

    await world.far.host("server", "server")
    await world.far.host("server", "second")

    assert await world.near.journal.wait("client", "ready", 2) == ["server", "second"]


async def test_watch_fires_for_workers_of_the_requester(world: World) -> None:
    """What is hosted here is known there as well."""
    await world.near.host("client", "client")

    await world.far.host("client", "watching")
    await world.far.knows("client")
    await world.far.call("watching", "watch", name="client")

    assert await world.far.journal.wait("watching", "ready") == ["client"]


async def test_activation_carries_its_arguments_and_deactivation_follows(world: World) -> None:
    """A worker is activated with the arguments given, tuples included, and deactivated again."""
    await world.far.host("server", "server", active=False)
    asking = await world.near.host("client", "client")
    await world.near.knows("server")

    await asking.activate("server", greeting="hi", size=(1, 2))
    await asking.deactivate_worker("server")

    await world.far.journal.wait("server", "deactivated")
    assert world.far.journal.of("server", "activated") == [
        "dict{str:'metadata': dict{str:'greeting': str:'hi', str:'size': tuple(int:1, int:2)}}"
    ]


async def test_error_of_a_worker_is_heard_by_every_watcher(world: World) -> None:
    """A worker's error is broadcast as a system message with its text."""
    await world.near.host("listener", "watcher", hears=["BusWorkerErrorMessage"])
    await world.far.host("sender", "sender")
    await world.far.knows("watcher")

    await world.far.call("sender", "send_bus_error_message", error="the model is gone")

    heard = await world.near.journal.wait("watcher", "heard")
    assert heard == [
        "BusWorkerErrorMessage(source=str:'sender', target=NoneType:None, "
        "error=str:'the model is gone')"
    ]


@pytest.mark.parametrize("how", ["end", "cancel"])
async def test_end_and_cancel_of_a_session_end_every_runner(world: World, how: str) -> None:
    """`end()` and `cancel()` of one worker end the runners on the channel, all told the reason."""
    words = {"end": "BusEndWorkerMessage", "cancel": "BusCancelWorkerMessage"}[how]
    await world.far.host("listener", "far one", hears=[words])
    await world.near.host("listener", "near one", hears=[words])
    ending = await world.near.host("client", "client")
    await world.near.knows("far one")
    await world.far.knows("client")

    await getattr(ending, how)(reason="the caller hung up")

    await world.near.finished()
    await world.far.finished()
    for site, name in ((world.far, "far one"), (world.near, "near one")):
        heard = await site.journal.wait(name, "heard")  # pipecat 1.3.0 cancels twice
        assert "the caller hung up" in heard[0]
