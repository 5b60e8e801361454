"""A process with a bus ends when it should, whoever its peers were (Z15)."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import uuid

import pytest
from support.process import Child, RemoteSite, spawn

# Discard: a port where nobody listens, so this seed is never met.
NEVER_SEEN = "tcp://127.0.0.1:9"


async def open_with_a_dead_and_an_unseen_peer(child: Child, other: Child) -> None:
    """Sites of both; `other` is killed once they have met, and messages are on their way to it."""
    channel = f"ending-{uuid.uuid4().hex}"
    site, dying = RemoteSite(child, channel), RemoteSite(other, channel)
    bus = {"channel": channel, "peers": [NEVER_SEEN]}
    await site.open("site", bus=bus, handle_sigint=True)
    await dying.open("dying", bus=bus)
    await site.host("sender", "sender")
    await dying.host("server", "server")
    await site.knows("server")
    other.process.kill()
    await other.exited()
    await site.call("sender", "burst", count=20, targets=[None, "server"])


@pytest.mark.parametrize(("how", "status"), [("quit", 0), ("crash", 1)])
async def test_process_that_leaves_its_bus_open_ends(how: str, status: int) -> None:
    """A process that returns, or dies of an exception, without `stop()` ends all the same."""
    async with spawn(2) as (child, other):
        await open_with_a_dead_and_an_unseen_peer(child, other)
        child.say({"id": 0, "op": how})
        assert await child.exited() == status


async def test_process_ends_after_stop() -> None:
    """`stop()` returns although a peer is dead and another was never there; so does main (F25)."""
    async with spawn(2) as (child, other):
        await open_with_a_dead_and_an_unseen_peer(child, other)
        await child.call("close", site=next(iter(child.journals)))
        child.say({"id": 0, "op": "quit"})
        assert await child.exited() == 0


async def test_interrupted_process_ends_its_runner_and_itself() -> None:
    """SIGINT cancels the runner, and the process can leave."""
    async with spawn(2) as (child, other):
        await open_with_a_dead_and_an_unseen_peer(child, other)
        child.process.send_signal(signal.SIGINT)
        await child.call("finished", site=next(iter(child.journals)))
        child.say({"id": 0, "op": "quit"})
        assert await child.exited() == 0


async def test_child_ends_when_its_parent_is_gone() -> None:
    """A child whose stdin closes ends at once, so that no failing test leaves one behind."""
    async with spawn() as (child,):
        site = RemoteSite(child, "site")
        await site.open("site", bus={"channel": f"ending-{uuid.uuid4().hex}"})
        assert child.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            child.process.stdin.close()
        assert await child.exited() == 3


async def test_peers_that_stop_together_both_end() -> None:
    """Two that say goodbye to each other at the same moment wait for nothing."""
    channel = f"ending-{uuid.uuid4().hex}"
    async with spawn(2) as children:
        sites = [RemoteSite(child, channel) for child in children]
        for number, site in enumerate(sites):
            await site.open(f"runner {number}", bus={"channel": channel})
            await site.host("server", f"server {number}")
        await asyncio.gather(sites[0].knows("server 1"), sites[1].knows("server 0"))
        await asyncio.gather(*(site.close() for site in sites))
        for child in children:
            child.say({"id": 0, "op": "quit"})
            assert await child.exited() == 0
