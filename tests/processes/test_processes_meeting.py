"""Real processes find each other: in any order, from one seed, after a death."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
from support.process import Child, RemoteSite, spawn

LISTENING: dict[str, Any] = {"kind": "listener", "name": "listener", "hears": ["BusUIEventMessage"]}


def new_channel() -> str:
    """A name that nobody else uses."""
    return f"processes-{uuid.uuid4().hex}"


async def open_site(child: Child, runner: str, channel: str, **bus: Any) -> RemoteSite:
    """A site of its own in `child`, on `channel`."""
    site = RemoteSite(child, uuid.uuid4().hex)
    await site.open(runner, bus={"channel": channel, **bus})
    return site


@pytest.mark.parametrize("first", ["sender", "listener", "neither"])
async def test_messages_sent_on_discovery_all_arrive(first: str) -> None:
    """A thousand messages sent the moment a worker is known arrive in order (R4, F6, Z01)."""
    async with spawn(2) as (there, here):
        for _ in range(3):
            channel = new_channel()
            sender, listener = RemoteSite(there, channel), RemoteSite(here, channel)
            opened = [sender_greets(sender, channel), listener_opens(listener, channel)]
            if first == "neither":
                await asyncio.gather(*opened)
            else:
                for opening in opened if first == "sender" else reversed(opened):
                    await opening

            assert await listener.journal.wait("listener", "heard", 1000) == list(range(1000))
            await asyncio.gather(listener.close(), sender.close())


async def sender_greets(site: RemoteSite, channel: str) -> None:
    """Open a site whose sender bursts the moment it knows the listener."""
    await site.open("sending", bus={"channel": channel})
    await site.host("sender", "sender")
    await site.call("sender", "greet", name="listener", count=1000)


async def listener_opens(site: RemoteSite, channel: str) -> None:
    """Open a site with a listener."""
    await site.open("listening", bus={"channel": channel})
    await site.host(**LISTENING)


async def test_ten_runners_meet_from_one_seed() -> None:
    """Nine runners that know one endpoint each learn every worker of all ten (F18)."""
    channel = new_channel()
    names = [f"worker {number}" for number in range(10)]
    async with spawn(10) as children:
        first = await open_site(children[0], "runner 0", channel, discovery=[])
        await first.host("server", names[0])
        seed = await first.call("", "endpoint")
        sites = [first] + [
            RemoteSite(child, f"site {number}") for number, child in enumerate(children[1:], 1)
        ]
        options = {"channel": channel, "discovery": [], "peers": [seed]}
        await asyncio.gather(
            *(
                site.open(f"runner {number}", bus=options)
                for number, site in enumerate(sites)
                if number
            )
        )
        await asyncio.gather(
            *(site.host("server", name) for site, name in zip(sites[1:], names[1:], strict=True))
        )
        await asyncio.gather(*(site.knows(*names) for site in sites))


async def test_killed_runner_is_found_again_under_its_name() -> None:
    """After SIGKILL and a restart under the same name both sides ask each other (P01, F2)."""
    channel = new_channel()
    async with spawn(3) as (survivor, victim, successor):
        stays = await open_site(survivor, "stays", channel)
        await stays.host("server", "stays server")
        await stays.host("client", "stays client")
        before = await open_site(victim, "restarts", channel)
        await before.host("server", "restarts server")
        await stays.journal.wait("bus", "joined")
        victim.process.kill()
        await victim.exited()

        after = await open_site(successor, "restarts", channel)
        await after.host("server", "restarts server")
        await after.host("client", "restarts client")
        await after.knows("stays server")
        await stays.journal.wait("bus", "lost")
        await stays.journal.wait("bus", "joined", 2)

        asked = await after.call("restarts client", "ask", name="stays server", job="echo")
        assert asked == {"echo": None, "by": "stays server"}
        asked = await stays.call("stays client", "ask", name="restarts server", job="echo")
        assert asked == {"echo": None, "by": "restarts server"}


async def test_runner_without_workers_learns_all_workers() -> None:
    """A runner that has nothing to announce hears of what is there and what comes (P04)."""
    channel = new_channel()
    async with spawn(2) as (there, here):
        hosting = await open_site(there, "hosting", channel)
        await hosting.host("server", "earlier")
        idle = await open_site(here, "idle", channel)
        await idle.knows("earlier")
        await hosting.host("server", "later")
        await idle.knows("later")


async def test_sessions_of_fifty_channels_never_hear_each_other() -> None:
    """Fifty channels on one node in each of two processes stay apart, also when one ends."""
    channels = [f"{new_channel()}{'x' * (number % 3)}" for number in range(50)]
    async with spawn(2) as (there, here):
        sending = [RemoteSite(there, channel) for channel in channels]
        listening = [RemoteSite(here, channel) for channel in channels]
        for number, (sender, listener) in enumerate(zip(sending, listening, strict=True)):
            bus = {"channel": channels[number]}
            await sender.open("sending", bus=bus, node="shared")
            await listener.open("listening", bus=bus, node="shared")
            await sender.host("sender", "sender")
            await listener.host(**LISTENING)
            await sender.knows("listener")
            if number == 0:
                sockets = [await child.call("sockets") for child in (there, here)]
        assert [await child.call("sockets") for child in (there, here)] == sockets

        await sending[0].call("sender", "end", reason="this session is over")
        await asyncio.gather(sending[0].finished(), listening[0].finished())
        for number, sender in enumerate(sending[1:], 1):
            await sender.call("sender", "say", payload=number)

        for number, listener in enumerate(listening[1:], 1):
            assert await listener.journal.wait("listener", "heard") == [number]
