"""Runners on several hosts find each other by mDNS alone, and stay found (R1a, R31, D01-D04)."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import permutations
from typing import Any

import pytest
from support.asking import Runner, all_ask, new_channel
from support.journal import TIMEOUT_SECS
from support.lan import Host, Lan, children
from support.process import Child

from zmqbus.keys import MeshKey

ADDRESSES = {
    "IPv4": ["10.9.0.{}/24"],
    "IPv6": ["fd00:9::{}/64"],
    "both": ["10.9.0.{}/24", "fd00:9::{}/64"],
    "link-local": [],
}


def hosts(net: Lan, count: int, family: str = "both") -> list[Host]:
    """So many hosts with addresses of a family."""
    return [
        net.host(*(form.format(n) for form in ADDRESSES[family]), ipv6=family != "IPv4")
        for n in range(1, count + 1)
    ]


def by_mdns(channel: str, **bus: Any) -> dict[str, Any]:
    """The arguments of a bus that finds others by mDNS alone, unless said otherwise."""
    return {"channel": channel, "discovery": ["lan"], "insecure": True, **bus}


@asynccontextmanager
async def runners_on(*hosts: Host) -> AsyncIterator[list[Runner]]:
    """A runner on each host, not begun yet."""
    async with children(*hosts) as started:
        yield [Runner(child, str(number)) for number, child in enumerate(started)]


async def logged(child: Child, text: str) -> int:
    """Wait until a child has logged something; returns how often it has."""
    async with asyncio.timeout(TIMEOUT_SECS):
        while text not in child.story():
            with suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(child.process.wait, 0.05)
    return child.story().count(text)


@pytest.mark.parametrize("family", ADDRESSES)
async def test_three_runners_meet_in_every_order(net: Lan, family: str) -> None:
    """Whoever is first, last, or at the same time; with IPv4, IPv6, both or neither (D19, Z21)."""
    async with children(*hosts(net, 3, family)) as started:
        for order in [None, *permutations(range(3))]:
            runners = [Runner(child, str(n)) for n, child in enumerate(started)]
            channel = new_channel()
            if order is None:
                await asyncio.gather(*(runner.begin(**by_mdns(channel)) for runner in runners))
            else:
                for number in order:
                    await runners[number].begin(**by_mdns(channel))
            await all_ask(runners)
            await asyncio.gather(*(runner.close() for runner in runners))


async def test_interface_that_leads_nowhere_is_no_hindrance(net: Lan) -> None:
    """Of two addresses of each host, on networks of one name, one pair works (D01, Z22)."""
    some = hosts(net, 2, "IPv4")
    for number, host in enumerate(some, 1):
        net.add_bridge(f"nowhere{number}")
        net.plug(host, "aaa0", f"10.8.0.{number}/24", bridge=f"nowhere{number}")
    async with runners_on(*some) as runners:
        channel = new_channel()
        await asyncio.gather(*(runner.begin(**by_mdns(channel)) for runner in runners))
        await all_ask(runners)


@pytest.mark.parametrize("who", ["one", "both"])
async def test_runner_is_found_again_when_its_address_changes(net: Lan, who: str) -> None:
    """DHCP gives one host another address, or all of them (R1a)."""
    some = hosts(net, 2, "IPv4")
    async with runners_on(*some) as runners:
        channel = new_channel()
        for runner in runners:
            await runner.begin(**by_mdns(channel))
        await all_ask(runners)
        moving = range(2) if who == "both" else range(1)
        for number in moving:
            some[number].address("del", "eth0", f"10.9.0.{number + 1}/24")
            some[number].address("add", "eth0", f"10.9.0.{number + 70}/24")
        for number in moving:
            await logged(runners[number].child, f"is at tcp://10.9.0.{number + 70}:")
        await met_again(runners)
        assert (await runners[0].call("", "endpoint")).startswith("tcp://10.9.0.70:")


async def met_again(runners: list[Runner]) -> None:
    """Everybody asks everybody until all are answered: a job may be lost with its runner (R24)."""
    async with asyncio.timeout(TIMEOUT_SECS):
        while True:
            try:
                return await all_ask(runners)
            except AssertionError as error:
                if "errored" not in str(error):
                    raise


async def test_runner_moves_to_its_other_interface(net: Lan) -> None:
    """A cable is pulled, Wi-Fi stays: the address that was not in use takes over (R5)."""
    some = hosts(net, 2, "IPv4")
    for number, host in enumerate(some, 1):
        net.plug(host, "wlan0", f"10.7.0.{number}/24")
    async with runners_on(*some) as runners:
        channel = new_channel()
        for runner in runners:
            await runner.begin(**by_mdns(channel))
        await all_ask(runners)
        some[0].ip("link", "set", "eth0", "down")
        await met_again(runners)
        some[0].ip("link", "set", "eth0", "up")
        some[0].ip("link", "set", "wlan0", "down")
        await met_again(runners)


async def test_network_that_comes_later_is_used(net: Lan) -> None:
    """A host without a network starts all the same, and is found when it has one (D02)."""
    here, late = hosts(net, 2, "IPv4")
    late.address("del", "eth0", "10.9.0.2/24")
    async with runners_on(here, late) as runners:
        channel = new_channel()
        for runner in runners:
            await runner.begin(**by_mdns(channel))
        late.address("add", "eth0", "10.9.0.2/24")
        await all_ask(runners)


async def test_runners_of_other_channels_are_left_alone(net: Lan) -> None:
    """Development and production on one LAN never become peers (D13)."""
    async with runners_on(*hosts(net, 3)) as (one, other, stranger):
        channel = new_channel()
        await stranger.begin(**by_mdns(new_channel()))
        for runner in (one, other):
            await runner.begin(**by_mdns(channel))
        await all_ask([one, other])
        assert await stranger.call("", "peers") == []


async def test_network_without_multicast_is_named_once_and_seeds_do_it(net: Lan) -> None:
    """Nothing else suffers from it, and the log says what to do (R31)."""
    some = hosts(net, 2)
    net.block_multicast()
    async with runners_on(*some) as (first, second):
        channel = new_channel()
        await first.begin(**by_mdns(channel))
        seed = await first.call("", "endpoint")
        await second.begin(**by_mdns(channel, peers=[seed]))
        await all_ask([first, second])
        for runner in (first, second):
            assert await logged(runner.child, "carries no multicast") == 1
            assert "peers=['tcp://host:port']" in runner.child.story()
        await all_ask([first, second])


async def test_to_be_the_first_on_a_network_is_no_fault(net: Lan) -> None:
    """Its adverts come back, so multicast works: it says what it sees, and warns of nothing."""
    async with runners_on(*hosts(net, 2)) as (first, second):
        channel = new_channel()
        await first.begin(**by_mdns(channel))
        assert await logged(first.child, "mDNS: nobody else is heard yet") == 1
        await second.begin(**by_mdns(channel))
        await all_ask([first, second])
        lines = [line for runner in (first, second) for line in runner.child.story().splitlines()]
        assert [line for line in lines if "WARNING" in line and "mDNS" in line] == []


async def test_host_that_cannot_send_multicast_says_so_once(net: Lan) -> None:
    """What it sends does not even come back: it is not the others that are missing (R31)."""
    [host] = hosts(net, 1, "IPv4")
    host.ip("link", "set", "eth0", "down")
    async with runners_on(host) as [runner]:
        await runner.begin(**by_mdns(new_channel()))
        assert await logged(runner.child, "by multicast (eth0) does not even come back") == 1


async def test_key_says_who_comes_in_and_mdns_only_where(net: Lan) -> None:
    """Members find each other; who has another key, or none, finds them and stays outside (R31)."""
    key, other = (MeshKey.new().reveal() for _ in range(2))
    async with runners_on(*hosts(net, 3)) as (one, two, stranger):
        channel, plain = new_channel(), Runner(stranger.child, "plain")
        await plain.begin(**by_mdns(channel))
        await stranger.begin(**by_mdns(channel, insecure=False, key=other))
        for runner in (one, two):
            await runner.begin(**by_mdns(channel, insecure=False, key=key))
        await all_ask([one, two])
        for outsider in (stranger, plain):
            await outsider.journal.wait("bus", "refused")
            assert await outsider.call("", "peers") == []
        for runner in (one, two):
            assert len(await runner.call("", "peers")) == 1
