"""What pipecat's runner and registry are told: late joiners, departures, restarts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from random import Random
from typing import Any

import pytest
from pipecat.bus import AsyncQueueBus, BusMessage, BusWorkerRegistryMessage
from pipecat.registry.types import WorkerRegistryEntry
from support.buses import (
    Inbox,
    Mesh,
    data,
    open_mesh,
    task_manager,
    until,
    urgent,
    warnings_logged,
)
from support.journal import TIMEOUT_SECS, Journal
from support.site import Site

from zmqbus import ZmqBus, registry
from zmqbus.core.outbox import Departure, PeerWithdrew
from zmqbus.packets import Interest, NodeId


@pytest.fixture
async def mesh() -> AsyncIterator[Mesh]:
    """Buses that are stopped at the end, and leave nothing."""
    async with open_mesh() as opened:
        yield opened


@asynccontextmanager
async def site_on(mesh: Mesh, name: str, *workers: str, **options: Any) -> AsyncIterator[Site]:
    """A runner with its bus and its workers, closed at the end."""
    bus = await mesh.make(start=False, **options)
    site = Site(bus, Journal(), name)
    await site.open()
    try:
        for worker in workers:
            await site.host("sender", worker)
        yield site
    finally:
        await site.close()


def bus_of(site: Site) -> ZmqBus:
    """The bus of a site."""
    assert isinstance(site.bus, ZmqBus)
    return site.bus


async def test_newcomer_hears_the_registry_of_every_runner_before_anything_else(mesh: Mesh) -> None:
    """Snapshots come as ordinary registry messages, first of all of that runner (R8, P04)."""
    async with site_on(mesh, "old", "llm") as old:
        inbox = Inbox("newcomer")
        newcomer = await mesh.make(inbox, start=False, peers=[bus_of(old).endpoint])
        sending = asyncio.create_task(_keep_sending(old))
        await newcomer.start()
        await inbox.wait(2)
        sending.cancel()
        first = inbox.messages[0]
        assert isinstance(first, BusWorkerRegistryMessage)
        assert (first.runner, [w.name for w in first.workers]) == ("old", ["llm"])
        assert len([m for m in inbox.messages if isinstance(m, BusWorkerRegistryMessage)]) == 1
        assert await newcomer.wait_for_worker("llm", timeout_secs=TIMEOUT_SECS) == "old"
        assert newcomer.peers[0].workers == ("llm",)


async def _keep_sending(site: Site) -> None:
    while True:
        await site.bus.send(data("early", source="old"))
        await asyncio.sleep(0)


async def test_runner_without_workers_learns_all_workers(mesh: Mesh) -> None:
    """It never announces anything itself, and its watches fire all the same (P04)."""
    async with site_on(mesh, "hosting", "llm", "tts") as hosting:
        seeds = [bus_of(hosting).endpoint]
        async with site_on(mesh, "client", peers=seeds) as client:
            await client.knows("llm", "tts")
            assert sorted(client.runner.registry.remote_workers) == ["llm", "tts"]
            assert await bus_of(hosting).wait_for_worker("tts") == "hosting"


async def test_workers_of_a_runner_that_left_leave_the_registry_and_come_back(mesh: Mesh) -> None:
    """After a restart under the same name the watch fires again (P01, R24)."""
    fired: asyncio.Queue[str] = asyncio.Queue()

    async def note(ready: Any) -> None:
        fired.put_nowait(ready.runner)

    async with site_on(mesh, "stays", "desk") as stays:
        seeds = [bus_of(stays).endpoint]
        await stays.runner.registry.watch("llm", note)
        for _ in range(3):
            async with site_on(mesh, "comes and goes", "llm", peers=seeds) as other:
                assert await asyncio.wait_for(fired.get(), TIMEOUT_SECS) == "comes and goes"
                await other.knows("desk")
            await until(bus_of(stays), lambda: "llm" not in stays.runner.registry)
        assert stays.runner.registry.remote_workers == []
        assert bus_of(stays).peers == []


async def test_peer_that_withdrew_before_it_joined_leaves_no_worker(mesh: Mesh) -> None:
    """What was heard of it is forgotten, though nobody was told that it had come (F3)."""
    async with site_on(mesh, "stays", "desk") as stays:
        bus = bus_of(stays)
        session = bus._session
        assert session is not None
        entry = WorkerRegistryEntry(name="llm")
        await bus.send(BusWorkerRegistryMessage(source="ghost", runner="ghost", workers=[entry]))
        await stays.knows("llm")
        interest = Interest(session.channel.interest.channel, mesh.channel, "ghost", 1)
        ghost = NodeId(b"ghost...")
        session.report(PeerWithdrew(interest.channel, ghost, interest, Departure.LOST, "gone"))
        assert "llm" not in stays.runner.registry
        with pytest.raises(TimeoutError):
            await bus.wait_for_worker("llm", timeout_secs=0.01)


async def test_stop_forgets_the_workers_of_others(mesh: Mesh) -> None:
    """When a bus ends, nobody elsewhere is reachable through it any more."""
    async with site_on(mesh, "hosting", "llm") as hosting:
        seeds = [bus_of(hosting).endpoint]
        async with site_on(mesh, "client", "desk", peers=seeds) as client:
            await client.knows("llm")
            await bus_of(client).stop()
            assert client.runner.registry.remote_workers == []
            assert client.runner.registry.local_workers == ["desk"]
            await bus_of(client).start()  # its runner ends its workers over the bus


async def test_second_runner_of_a_name_is_refused_in_words_on_both_sides(mesh: Mesh) -> None:
    """The older keeps the name (R6)."""
    told: asyncio.Queue[str] = asyncio.Queue()
    async with site_on(mesh, "twin", "one") as older:
        bus_of(older).add_event_handler("on_peer_refused", lambda _bus, text: told.put_nowait(text))
        seeds = [bus_of(older).endpoint]
        async with site_on(mesh, "twin", peers=seeds) as younger:
            bus_of(younger).add_event_handler(
                "on_peer_refused", lambda _bus, text: told.put_nowait(text)
            )
            texts = {await asyncio.wait_for(told.get(), TIMEOUT_SECS) for _ in range(2)}
            assert all("'twin' is taken by an older runner" in text for text in texts)
            assert bus_of(older).stats().peers == 0
            for site in (older, younger):
                assert [peer.state for peer in bus_of(site).peers] == ["refused"]


async def test_registry_entry_of_another_live_runner_is_dropped(mesh: Mesh) -> None:
    """Nobody announces workers in the name of a runner that lives (R31a)."""
    async with site_on(mesh, "honest", "llm") as honest:
        seeds = [bus_of(honest).endpoint]
        forger = await mesh.make(Inbox("forger"), peers=seeds)
        await mesh.meet(bus_of(honest), forger)
        with warnings_logged() as warnings:
            for _ in range(2):
                await forger.send(
                    BusWorkerRegistryMessage(
                        source="forger",
                        runner="honest",
                        workers=[WorkerRegistryEntry(name="fake")],
                    )
                )
            stats = bus_of(honest).stats
            await until(bus_of(honest), lambda: stats().dropped == {"foreign_registry": 2})
        assert len(warnings) == 1
        assert "fake" not in honest.runner.registry


async def test_newcomer_with_a_worker_of_a_name_in_use_gets_no_jobs(mesh: Mesh) -> None:
    """They go on to who has had the name before, and all sides are warned of both (X17, R6)."""
    async with site_on(mesh, "honest") as honest:
        await honest.host("server", "llm")
        seeds = [bus_of(honest).endpoint]
        async with site_on(mesh, "asking", peers=seeds) as asking:
            await asking.host("client", "desk")
            await asking.knows("llm")
            with warnings_logged() as warnings:
                async with site_on(mesh, "newcomer", peers=seeds) as newcomer:
                    await newcomer.host("client", "llm")  # it would answer no job
                    for site in (honest, asking, newcomer):
                        await bus_of(site).wait_for_peers(2, timeout_secs=TIMEOUT_SECS)
                        told = f"{bus_of(site)}: 'llm' is on two runners, "
                        await until(bus_of(site), partial(_is_in, told, warnings))
                    for _ in range(10):
                        answer = await asking.call("desk", "ask", name="llm", job="echo")
                        assert answer == {"echo": None, "by": "llm"}
                    assert await bus_of(asking).wait_for_worker("llm") == "honest"


def _is_in(text: str, texts: list[str]) -> bool:
    return any(text in each for each in texts)


async def test_runner_name_that_cannot_travel_fails_the_start(mesh: Mesh) -> None:
    """Its own bus says so, and its dispatch is stopped again (R25)."""
    bus = await mesh.make(start=False)
    with pytest.raises(ValueError, match="name of the runner="):
        await Site(bus, Journal(), "x" * 256).open()


@pytest.mark.parametrize("successor", ["ghost", "another"])
async def test_what_a_lost_runner_had_announced_is_not_registered_later(
    mesh: Mesh, successor: str
) -> None:
    """It waited in the runner's queue meanwhile, perhaps before what a successor says (F3, P02)."""

    def announcement(runner: str, worker: str) -> BusWorkerRegistryMessage:
        workers = [WorkerRegistryEntry(name=worker)]
        return BusWorkerRegistryMessage(source=runner, runner=runner, workers=workers)

    async with site_on(mesh, "stays", "desk") as stays:
        bus = bus_of(stays)
        session = bus._session
        assert session is not None
        channel = session.channel.interest.channel
        interest = Interest(channel, mesh.channel, "ghost", 1)
        await bus.send(announcement("ghost", "llm"))
        session.report(PeerWithdrew(channel, NodeId(b"ghost..."), interest, Departure.LOST, "gone"))
        await bus.send(announcement(successor, "tts"))
        await stays.knows("tts")
        assert stays.runner.registry.remote_workers == ["tts"]


# -- a pipecat that lacks what is needed


async def test_pipecat_without_the_attributes_is_one_warning_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing fails; the log says once what does not work."""
    monkeypatch.setattr(registry, "_warned", set())
    bus = AsyncQueueBus()
    await bus.setup(task_manager())
    runner = Site(bus, Journal(), "runner").runner
    await bus.subscribe(runner)
    assert registry.runner_of(bus) is runner
    assert registry.backlog(bus) == 0
    assert not registry.is_dispatching(bus, asyncio.current_task())
    registry.forget_runner(bus, "runner")
    registry.forget_runner(bus, "unknown")
    with warnings_logged() as warnings:
        del runner._known_runners
        for _ in range(2):
            registry.forget_runner(bus, "other")
        del bus._subscriptions
        for _ in range(2):
            assert registry.backlog(bus) == 0
            assert registry.runner_of(bus) is None
    assert [w.rpartition(": ")[2] for w in warnings] == [
        "the workers of departed runners stay in the registry",
        "slow subscribers do not slow down their senders",
    ]


async def test_pipecat_without_queues_to_look_at_dispatches_as_ever() -> None:
    """Nothing is handed over past it."""
    bus = AsyncQueueBus()
    assert registry.hand_over(bus, data(1))
    del bus._subscriptions
    assert not registry.hand_over(bus, data(2))


@pytest.mark.parametrize("seed", range(20))
async def test_data_is_handled_after_the_system_messages_before_it(mesh: Mesh, seed: int) -> None:
    """Also while those keep the subscriber busy, and data among itself in order (R13a)."""
    dice = Random(seed)
    is_urgent = [dice.random() < 0.3 for _ in range(200)]
    handled: list[BusMessage] = []
    finished = asyncio.Event()

    async def handle(message: BusMessage) -> None:
        for _ in range(dice.randrange(4)):
            await asyncio.sleep(0)
        handled.append(message)
        if len(handled) == len(is_urgent):
            finished.set()

    inbox = Inbox("inbox")
    inbox.on_message = handle
    bus = await mesh.make(inbox)
    sent = [urgent(n) if is_urgent[n] else data(n) for n in range(len(is_urgent))]
    for message in sent:
        await bus.send(message)
        for _ in range(dice.choice((0, 0, 0, 1, 5))):
            await asyncio.sleep(0)
    async with asyncio.timeout(TIMEOUT_SECS):
        await finished.wait()
    numbers = [sent.index(message) for message in handled]
    before: set[int] = set()
    for number in numbers:
        assert {n for n in range(number) if is_urgent[n] or not is_urgent[number]} <= before
        before.add(number)


async def test_backlog_is_that_of_the_slowest_subscriber(mesh: Mesh) -> None:
    """Both of its queues count."""
    slow, fast = Inbox("slow"), Inbox("fast")
    bus = await mesh.make(slow, fast)
    slow.gate.clear()
    for number in range(10):
        await bus.send(data(number))
    await fast.wait(10)
    assert registry.backlog(bus) == 9
    slow.gate.set()
    await slow.wait(10)
    assert registry.backlog(bus) == 0
