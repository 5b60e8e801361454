"""Where others may listen: asked again and again, and never the end of anything."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.buses import warnings_logged
from support.journal import TIMEOUT_SECS

from zmqbus.bell import Bell
from zmqbus.errors import ConfigError
from zmqbus.net import discovery
from zmqbus.net.binding import Told
from zmqbus.net.discovery import Discovery
from zmqbus.packets import NodeId, channel_id

CHANNEL, OTHER = channel_id("acme"), channel_id("other")
A, B = NodeId(b"a" * 8), NodeId(b"b" * 8)
AT_A, AT_B = Told(("tcp://127.0.0.1:1",)), Told(("tcp://127.0.0.1:2", "ipc:///b"))
TO_A, TO_B = AT_A.endpoints, AT_B.endpoints


class Finds:
    """What was found, and waiting for more."""

    def __init__(self) -> None:
        self.all: list[tuple[tuple[str, ...], NodeId | None]] = []
        self._bell = Bell()

    def __call__(self, endpoints: tuple[str, ...], node: NodeId | None, hearsay: bool) -> None:
        """Note it."""
        assert not hearsay, "what this host and its user say is no hearsay"
        self.all.append((endpoints, node))
        self._bell.ring()

    async def wait(self, count: int) -> None:
        """Wait until so much was found."""
        async with asyncio.timeout(TIMEOUT_SECS):
            while len(self.all) < count:
                await self._bell.wait(None)


class Site:
    """Discoveries of this test, stopped at its end."""

    def __init__(self) -> None:
        self.made: list[Discovery] = []

    def open(self, *seeds: str, methods: tuple[str, ...] = ()) -> tuple[Discovery, Finds]:
        """Make one and start it."""
        finds = Finds()
        made = Discovery(seeds=seeds, methods=methods, found=finds)
        self.made.append(made)
        made.start()
        return made, finds


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A meeting place of this test's own, and pauses that are hardly any."""
    monkeypatch.setenv("ZMQBUS_RUNTIME_DIR", str(tmp_path))
    for pause in ("_SEED_FIRST_SECS", "_SEED_MAX_SECS", "LOOK_SECS"):
        monkeypatch.setattr(discovery, pause, 0.001)
    return tmp_path / "zmqbus"


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """A site; no task may be left when its discoveries have stopped."""
    before, site = asyncio.all_tasks(), Site()
    yield site
    for made in site.made:
        made.stop()
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    if left:
        done, _ = await asyncio.wait(left, timeout=TIMEOUT_SECS)
        assert all(task.cancelled() for task in done)
        assert done == left


@pytest.mark.parametrize(
    ("seeds", "methods", "reason"),
    [
        ("tcp://127.0.0.1:1", (), "a str, not a list of them"),
        (["tcp://127.0.0.1"], (), "has no port"),
        ([], ("lan party",), "'lan party': no way of discovery; use any of 'local', 'lan', or ()"),
        ([], "pigeon", "'pigeon'"),
        ([], ("local", ""), "discovery=''"),
    ],
)
def test_what_is_no_seed_or_no_method_is_refused(
    seeds: list[str], methods: tuple[str, ...], reason: str
) -> None:
    """When it is made, with the value in the text."""
    with pytest.raises(ConfigError) as caught:
        Discovery(seeds=seeds, methods=methods, found=Finds())
    assert reason in str(caught.value)


def test_one_method_may_be_written_without_brackets() -> None:
    """There is no other way to read it."""
    assert Discovery(seeds=(), methods="local", found=Finds())._rendezvous


async def test_seed_is_asked_again_for_ever(site: Site) -> None:
    """Whoever comes up later under that address is found all the same (D20)."""
    _, finds = site.open("tcp://127.0.0.1:1", "ipc:///x")
    await finds.wait(20)
    assert {("tcp://127.0.0.1:1",), ("ipc:///x",)} == {endpoints for endpoints, _ in finds.all}
    assert {node for _, node in finds.all} == {None}


async def test_name_that_does_not_resolve_holds_up_nobody_and_is_said_once(site: Site) -> None:
    """A dead seed is counted and tried on, and the live one is found meanwhile."""
    with warnings_logged() as warnings:
        made, finds = site.open("tcp://no-such-host.invalid:1", "tcp://127.0.0.1:1")
        await finds.wait(3)
        async with asyncio.timeout(TIMEOUT_SECS):
            while made.counters["seeds_unresolved"] < 3:
                await finds.wait(len(finds.all) + 1)
    assert len(warnings) == 1
    assert "seed tcp://no-such-host.invalid:1: " in warnings[0]


async def test_two_on_a_channel_find_each_other_at_once(site: Site) -> None:
    """The second finds the first when it joins; the first finds the second when it looks again."""
    one, finds_one = site.open(methods=("local",))
    other, finds_other = site.open(methods=("local",))
    one.join(CHANNEL, A, AT_A)
    other.join(OTHER, B, AT_B)
    assert finds_other.all == []
    other.join(CHANNEL, B, AT_B)
    assert finds_other.all == [(TO_A, A)]
    await finds_one.wait(1)
    assert finds_one.all[0] == (TO_B, B)


async def test_who_has_left_is_found_no_more(site: Site, place: Path) -> None:
    """Neither after `leave` nor after `stop`, which leaves no file (R32)."""
    one, _ = site.open(methods=("local",))
    other, finds = site.open(methods=("local",))
    one.join(CHANNEL, A, AT_A)
    one.join(OTHER, A, AT_A)
    one.leave(CHANNEL, A, AT_A)
    other.join(CHANNEL, B, AT_B)
    assert finds.all == []
    one.stop()
    other.join(OTHER, B, AT_B)
    assert finds.all == []
    other.stop()
    assert await asyncio.to_thread(lambda: [p for p in place.rglob("*") if p.is_file()]) == []


async def test_without_methods_nothing_is_written(site: Site, place: Path) -> None:
    """Seeds only: no directory is made, and none is read."""
    made, finds = site.open()
    made.join(CHANNEL, A, AT_A)
    made.leave(CHANNEL, A, AT_A)
    assert (finds.all, made.counters) == ([], {})
    assert not await asyncio.to_thread(place.exists)


def put_a_file_in_the_way(place: Path) -> None:
    """In one go: who looks around meanwhile would make the directory again."""
    shutil.rmtree(place)
    place.write_text("in the way")


async def test_directory_that_fails_for_a_while_ends_nothing(site: Site, place: Path) -> None:
    """It is counted and said once; when the directory can be used again, others are found."""
    one, finds = site.open(methods=("local",))
    one.join(CHANNEL, A, AT_A)
    with warnings_logged() as warnings:
        put_a_file_in_the_way(place)
        async with asyncio.timeout(TIMEOUT_SECS):
            while one.counters["failed_looks"] < 3:
                await asyncio.to_thread(place.exists)
    await asyncio.to_thread(place.unlink)
    other, _ = site.open(methods=("local",))
    other.join(CHANNEL, B, AT_B)
    await finds.wait(1)
    assert finds.all[0] == (TO_B, B)
    assert len(warnings) == 1


async def test_counters_include_those_of_the_directory(site: Site, place: Path) -> None:
    """What is malformed there shows in the statistics of the bus."""
    one, _ = site.open(methods=("local",))
    one.join(CHANNEL, A, AT_A)
    await asyncio.to_thread((place / "nodes" / B.hex()).write_text, "no json")
    await asyncio.to_thread((place / "channels" / CHANNEL.hex() / B.hex()).touch)
    one.join(CHANNEL, A, AT_A)
    assert one.counters["malformed_entries"] >= 1


async def test_discovery_can_be_started_again(site: Site) -> None:
    """A node lives several times with the same one."""
    made, finds = site.open("tcp://127.0.0.1:1")
    await finds.wait(1)
    made.stop()
    made.start()
    await finds.wait(len(finds.all) + 1)
