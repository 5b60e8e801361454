"""Finding others by mDNS, here on the loopback interface alone."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable
from functools import partial

import pytest
from support.buses import warnings_logged
from support.journal import TIMEOUT_SECS
from zeroconf import ServiceInfo
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from zmqbus.bell import Bell
from zmqbus.errors import ConfigError
from zmqbus.net import mdns
from zmqbus.net.addresses import Held, held
from zmqbus.net.adverts import SERVICE
from zmqbus.net.discovery import Discovery
from zmqbus.net.mdns import Mdns
from zmqbus.packets import ChannelId, NodeId, channel_id

LOOPBACK = [h for h in held() if str(h.address) == "127.0.0.1"]
AT, THERE = ("tcp://10.255.0.1:7000",), ("tcp://10.255.0.2:7001", "tcp://[fd00::2]:7001")


class End:
    """One that speaks mDNS, and what it has found."""

    def __init__(self) -> None:
        self.node = NodeId(os.urandom(8))
        self.found: dict[NodeId, list[tuple[str, ...]]] = {}
        self.mdns = Mdns(self._note)
        self.mdns.start()
        self._bell = Bell()

    def _note(self, endpoints: tuple[str, ...], node: NodeId) -> None:
        self.found.setdefault(node, []).append(endpoints)
        self._bell.ring()

    def announce(self, *channels: ChannelId, at: tuple[str, ...] = AT) -> None:
        """Say where this one is, on these channels."""
        self.mdns.announce(self.node, at, channels)

    async def finds(self, *others: End) -> None:
        """Wait until it has found others."""
        async with asyncio.timeout(TIMEOUT_SECS):
            while not all(other.node in self.found for other in others):
                await self._bell.wait(None)

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until something holds that nothing tells of."""
        async with asyncio.timeout(TIMEOUT_SECS):
            while not condition():
                await self._bell.wait(0.05)


class Ends:
    """Those of one test."""

    def __init__(self) -> None:
        self.all: list[End] = []

    def open(self, *channels: ChannelId, at: tuple[str, ...] = AT) -> End:
        """One more, on these channels."""
        end = End()
        self.all.append(end)
        if channels:
            end.announce(*channels, at=at)
        return end


def is_over() -> bool:
    """Whether nobody speaks any more."""
    return not any(thread.name == "zmqbus-mdns" for thread in threading.enumerate())


@pytest.fixture
async def ends(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Ends]:
    """Ends that take loopback for a network; their threads end with the test."""
    monkeypatch.setattr(mdns, "outer", lambda: LOOPBACK)
    monkeypatch.setattr(mdns, "_TURN_SECS", 0.05)
    ends = Ends()
    yield ends
    for end in ends.all:
        end.mdns.stop()
    for end in ends.all:
        await end.until(is_over)


@pytest.fixture
def channel() -> ChannelId:
    """A channel of this test's own."""
    return channel_id(os.urandom(8).hex())


async def test_ten_on_one_host_find_each_other(ends: Ends, channel: ChannelId) -> None:
    """They share one port, have one host name, and hear of all but themselves (D18, D19)."""
    ten = [ends.open(channel) for _ in range(10)]
    for one in ten:
        await one.finds(*(other for other in ten if other is not one))
        assert one.node not in one.found


async def test_who_comes_later_finds_and_is_found_with_all_addresses(
    ends: Ends, channel: ChannelId
) -> None:
    """Who asks is answered, and who announces is heard."""
    early = ends.open(channel, at=THERE)
    await early.finds()
    late = ends.open(channel)
    await late.finds(early)
    await early.finds(late)
    assert set(late.found[early.node][0]) == set(THERE)
    assert early.found[late.node][0] == AT


async def test_other_channels_are_left_alone_until_they_are_opened(
    ends: Ends, channel: ChannelId
) -> None:
    """A node that shares no channel is not worth a dial; when it does, it is found (D13)."""
    one, bystander = ends.open(channel), ends.open(channel)
    other = ends.open(channel_id("quite another"))
    await one.finds(bystander)
    other.announce(channel_id("quite another"), channel)
    await one.finds(other)
    await other.finds(one)


async def test_what_is_heard_can_be_asked_of_all_channels(ends: Ends, channel: ChannelId) -> None:
    """Whoever looks for a fault sees that multicast comes back, and the others, on whatever."""
    one = ends.open(channel)
    assert (one.mdns.heard_self, one.mdns.adverts) == (False, [])
    other = ends.open(channel_id("quite another"))
    await one.until(lambda: one.mdns.heard_self)
    await one.until(lambda: other.node in {advert.node for advert in one.mdns.adverts})
    assert one.node not in {advert.node for advert in one.mdns.adverts}
    assert one.found == {}


async def test_who_moves_is_found_where_it_is_now(ends: Ends, channel: ChannelId) -> None:
    """Other addresses are told to those that know the first (R1a)."""
    one, other = ends.open(channel), ends.open(channel)
    await other.finds(one)
    one.announce(channel, at=THERE)
    await other.until(lambda: set(other.found[one.node][-1]) == set(THERE))


async def test_what_is_known_is_told_again_when_it_is_asked_for(
    ends: Ends, channel: ChannelId
) -> None:
    """A link to somebody broke: he may have moved before, when nobody wanted to hear of it."""
    one, other = ends.open(channel), ends.open(channel)
    await one.finds(other)
    for _ in range(4):
        before = len(one.found[other.node])
        one.mdns.look_again()
        await one.until(partial(lambda n: len(one.found[other.node]) > n, before))


async def test_node_without_a_network_is_told_when_it_has_one(
    ends: Ends, channel: ChannelId, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No interface at the start is no error; one that comes is used (D02)."""
    here: list[Held] = []
    monkeypatch.setattr(mdns, "outer", lambda: here)
    with warnings_logged() as warnings:
        alone = ends.open(channel, at=("tcp://127.0.0.1:1",))
        late = ends.open(channel)
        await asyncio.to_thread(is_over)
        here += LOOPBACK
        alone.announce(channel)
        await late.finds(alone)
    assert warnings == []


async def test_blocked_application_still_answers(ends: Ends, channel: ChannelId) -> None:
    """What others ask does not wait for the event loop of the node."""
    opened, release = threading.Event(), threading.Event()
    blocked: list[End] = []

    async def open_and_block() -> None:
        blocked.append(ends.open(channel))
        opened.set()
        release.wait(TIMEOUT_SECS)

    thread = threading.Thread(target=lambda: asyncio.run(open_and_block()))
    thread.start()
    assert await asyncio.to_thread(opened.wait, TIMEOUT_SECS)
    try:
        other = ends.open(channel)
        await other.finds(*blocked)
    finally:
        release.set()
        thread.join()


async def test_stopped_one_is_heard_no_more(ends: Ends, channel: ChannelId) -> None:
    """Its thread ends, and whatever is asked of it then does nothing."""
    one, other = ends.open(channel), ends.open(channel)
    await other.finds(one)
    one.mdns.stop()
    await one.until(lambda: one.mdns.counters and one.mdns._inner and one.mdns._inner.is_closed())
    one.announce(channel)
    one.mdns.stop()
    late = ends.open(channel)
    await late.finds(other)
    assert one.node not in late.found


async def test_one_that_nobody_stopped_ends_with_its_loop(ends: Ends, channel: ChannelId) -> None:
    """An application that ends its loop without a goodbye leaves no advert behind (Z15)."""

    async def open_and_leave() -> None:
        ends.open(channel)

    await asyncio.to_thread(lambda: asyncio.run(open_and_leave()))
    await ends.all.pop().until(is_over)


async def test_interface_that_fails_is_said_once_and_tried_again(
    ends: Ends, channel: ChannelId, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends nothing: when it works again, others are found."""

    def fail() -> None:
        raise OSError("no such device")

    monkeypatch.setattr(mdns, "outer", fail)
    with warnings_logged() as warnings:
        one, other = ends.open(channel), ends.open(channel)
        await one.until(lambda: one.mdns.counters["failed_mdns"] > 2)
        monkeypatch.setattr(mdns, "outer", lambda: LOOPBACK)
        await one.finds(other)
    assert warnings == ["zmqbus: mDNS: no such device"] * 2


# -- strangers


def stranger(name: str, port: int, txt: dict[bytes, bytes], host: str) -> ServiceInfo:
    """The service that somebody else says it has."""
    server = f"{os.urandom(4).hex()}.local."
    return AsyncServiceInfo(
        SERVICE, f"{name}.{SERVICE}", port, properties=txt, server=server, parsed_addresses=[host]
    )


async def test_malformed_adverts_are_counted_and_end_nothing(
    ends: Ends, channel: ChannelId
) -> None:
    """Not one of them is found, and those that are well formed still are (D04)."""
    good = {b"v": b"1-1", b"ch": b"\xff" * 32}

    def some() -> str:
        return os.urandom(8).hex()

    bad = [
        stranger("not an id", 7000, good, "10.0.0.1"),
        stranger(some(), 7000, {b"ch": b"\xff" * 32}, "10.0.0.1"),
        stranger(some(), 7000, {**good, b"ch": b"short"}, "10.0.0.1"),
        stranger(some(), 0, good, "10.0.0.1"),
        stranger(some(), 7000, good, "8.8.8.8"),
    ]
    one = ends.open(channel)
    async with AsyncZeroconf(interfaces=["127.0.0.1"]) as others:
        for info in bad:
            await others.async_register_service(info, cooperating_responders=True)
        await one.until(lambda: one.mdns.counters["malformed_adverts"] >= len(bad))
        well = ends.open(channel)
        await one.finds(well)
    assert set(one.found) == {well.node}


async def test_odd_datagrams_end_nothing(ends: Ends, channel: ChannelId) -> None:
    """Empty, short, long and random ones: whoever speaks well is found all the same (D04)."""
    one = ends.open(channel)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        for datagram in [b"", b"\0", os.urandom(22), b"\0\0\x84\0" + b"\xff" * 60, bytes(9_000)]:
            sender.sendto(datagram, ("224.0.0.251", 5353))
    other = ends.open(channel)
    await one.finds(other)
    await other.finds(one)


# -- what it needs


def test_missing_package_is_named_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked for only by who asks for the LAN."""
    monkeypatch.setitem(sys.modules, "zeroconf", None)
    monkeypatch.delitem(sys.modules, "zmqbus.net.mdns")

    def found(endpoints: tuple[str, ...], node: NodeId | None, hearsay: bool) -> None: ...

    Discovery(seeds=(), methods=("local",), found=found)
    with pytest.raises(ConfigError, match=r"pip install 'pipecat-zmqbus\[lan\]'"):
        Discovery(seeds=(), methods=("local", "lan"), found=found)
