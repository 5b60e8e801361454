"""Processes that stop, block or stand in the way of others, and what the others notice of it."""

from __future__ import annotations

import asyncio
import signal
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import islice
from typing import Any

from pipecat.bus.ui.messages import BusUIEventMessage
from support.buses import descriptors, until
from support.journal import Journal
from support.process import Child, RemoteSite, spawn
from support.proxy import own_address
from support.site import Site, make_bus

from zmqbus import ZmqBus

# A process that stands still is lost in 1.2 s, one whose loop stands is busy after 0.5 s.
HASTY = {
    "heartbeat_secs": 0.1,
    "busy_after_secs": 0.5,
    "link_timeout_secs": 0.8,
    "grace_secs": 0.4,
    "hello_retry_secs": 0.2,
}
# A reader that stands still is soon given up waiting for, and the history is short.
SHORT = HASTY | {
    "history_msgs": 200,
    "history_bytes": 2_000_000,
    "window_msgs": 100,
    "window_bytes": 1_000_000,
    "system_hwm_msgs": 200,
    "slow_peer_timeout_secs": 0.05,
}


def event(payload: Any) -> BusUIEventMessage:
    """A message from the desk to everybody."""
    return BusUIEventMessage(source="desk", event_name="say", payload=payload)


def bus_of(site: Site) -> ZmqBus:
    """The bus of a site."""
    assert isinstance(site.bus, ZmqBus)
    return site.bus


@contextmanager
def stopped(child: Child) -> Iterator[None]:
    """SIGSTOP, and SIGCONT at the end."""
    child.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        child.process.send_signal(signal.SIGCONT)


@asynccontextmanager
async def desk_among(
    count: int, config: dict[str, Any]
) -> AsyncIterator[tuple[Site, list[Child], list[RemoteSite]]]:
    """A site here, and children with a listener each; all have joined."""
    options = {"channel": new_channel(), "config": config}
    async with spawn(count) as children:
        desk = Site(make_bus("zmq", options), Journal(), "desk")
        await desk.open()
        sites = [RemoteSite(child, "site") for child in children]
        for number, site in enumerate(sites):
            await site.open(f"runner {number}", bus=options)
            await site.host("listener", f"listener {number}", hears=["BusUIEventMessage"])
        await bus_of(desk).wait_for_peers(count)
        for site in sites:
            await site.journal.wait("bus", "joined", count)
        yield desk, children, sites
        await desk.close()


def new_channel() -> str:
    """A name that nobody else uses."""
    return f"faults-{uuid.uuid4().hex}"


async def open_listener(site: RemoteSite, desk: Site, at: str) -> None:
    """A site bound to an address, with a listener that the desk knows."""
    met = len(desk.journal.of("bus", "joined"))
    await site.open("listening", bus={"channel": bus_of(desk).channel, "bind": at})
    await site.host("listener", "listener", hears=["BusUIEventMessage"])
    await desk.journal.wait("bus", "joined", met + 1)


async def test_blocked_loop_is_busy_and_neither_side_loses_the_other() -> None:
    """For twice as long as it takes to lose a dead one; all is heard then (F11, D15)."""
    async with desk_among(1, HASTY) as (desk, [child], [site]):
        blocking = asyncio.create_task(child.call("block", secs=2 * 1.2))
        await desk.journal.wait("bus", "busy")
        for number in range(100):
            await desk.bus.send(event(number))
        await blocking
        assert await site.journal.wait("listener 0", "heard", 100) == list(range(100))
        assert desk.journal.of("bus", "lost") == site.journal.of("bus", "lost") == []
        assert site.journal.of("bus", "busy") == []


async def test_stopped_process_holds_up_nobody_and_comes_back_with_everything() -> None:
    """SIGSTOP: others are not concerned, it is lost, found again, and leaks nothing (F13, Z27)."""
    async with desk_among(2, HASTY) as (desk, [child, _], [site, other]):
        files, numbers = len(descriptors()), iter(range(300))
        for cycle in range(1, 4):
            with stopped(child):
                for number in islice(numbers, 100):
                    await desk.bus.send(event(number))
                await other.journal.wait("listener 1", "heard", cycle * 100)
                await desk.journal.wait("bus", "lost", cycle)
            await desk.journal.wait("bus", "joined", 2 + cycle)
            await site.journal.wait("listener 0", "heard", cycle * 100)
        assert site.journal.of("listener 0", "heard") == list(range(300))
        assert other.journal.of("listener 1", "heard") == list(range(300))
        assert bus_of(desk).stats().waits == 0
        await until(bus_of(desk), lambda: len(descriptors()) <= files)


async def test_what_left_the_history_is_announced_to_the_last_message() -> None:
    """A reader that stands still too long misses messages, and knows how many (F14, Z02, Z29)."""
    async with desk_among(1, SHORT) as (desk, [child], [site]):
        bus, count = bus_of(desk), 3000
        with stopped(child):
            for number in range(count):
                await bus.send(event(number))
                assert bus.stats().history_msgs <= SHORT["history_msgs"]
                if number == 1000:
                    await desk.journal.wait("bus", "lost")
        await bus.send(event("end"))
        *heard, _ = await site.journal.wait("listener 0", "heard", until="end")
        assert heard == sorted(set(heard))
        assert 0 < len(heard) < count
        announced = site.journal.of("bus", "messages lost")
        while sum(announced) + len(heard) != count:
            announced = await site.journal.wait("bus", "messages lost", len(announced) + 1)


async def test_stop_beside_a_process_that_stands_still_returns() -> None:
    """Who stops waits for nobody that takes nothing, and the others hear its goodbye (P18)."""
    async with desk_among(2, HASTY) as (desk, children, [leaves, _]):
        with stopped(children[1]):
            for number in range(20):
                await desk.bus.send(event(number))
            await leaves.close()
            await desk.journal.wait("bus", "left")
            await desk.close()


async def test_port_of_a_dead_process_gets_none_of_its_mail() -> None:
    """Whoever listens there next, in another session, hears nothing that was for it (Z08)."""
    at = f"tcp://{own_address()}:7000"
    async with spawn(2) as (victim, heir):
        desks = [Site(ZmqBus(channel=new_channel()), Journal(), "desk") for _ in range(2)]
        sites = [RemoteSite(victim, "victim"), RemoteSite(heir, "heir")]
        for desk in desks:
            await desk.open()
        await open_listener(sites[0], desks[0], at)
        await desks[0].bus.send(event("to the victim"))
        victim.process.kill()
        await victim.exited()
        for number in range(50):
            await desks[0].bus.send(event(number))
        await open_listener(sites[1], desks[1], at)
        await desks[1].bus.send(event("to the heir"))
        assert await sites[1].journal.wait("listener", "heard") == ["to the heir"]
        await desks[0].journal.wait("bus", "lost")
        assert len(desks[0].journal.of("bus", "joined")) == 1
        for desk in desks:
            await desk.close()


async def test_successor_on_the_port_is_met_after_the_loss_of_the_dead() -> None:
    """First one is lost, then the other joins, and both were there once (D06)."""
    at = f"tcp://{own_address()}:7000"
    async with spawn(2) as children:
        desk = Site(ZmqBus(channel=new_channel()), Journal(), "desk")
        await desk.open()
        first, second = RemoteSite(children[0], "first"), RemoteSite(children[1], "second")
        await open_listener(first, desk, at)
        children[0].process.kill()
        await children[0].exited()
        await open_listener(second, desk, at)
        assert [what for _, what, _ in desk.journal.notes] == ["joined", "lost", "joined"]
        (peer,) = bus_of(desk).peers
        assert peer.pid == children[1].process.pid
        await desk.close()
