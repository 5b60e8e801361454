"""A node whose machine gets other addresses while it runs (R1a)."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator

import ifaddr
import pytest
from support.buses import Inbox, Mesh, data, open_mesh, until

from zmqbus import ZmqBus, incarnation

MOVED = {"tcp://127.0.0.3", "tcp://127.0.0.4"}


def reached_at(bus: ZmqBus) -> set[str]:
    """Hosts where the peers of a bus are reached."""
    return {peer.endpoint.rpartition(":")[0] for peer in bus.peers}


class Machine:
    """The addresses that this machine has, as far as nodes can see."""

    def __init__(self) -> None:
        self.hosts = ["127.0.0.2"]

    def adapters(self) -> list[ifaddr.Adapter]:
        """What the system says."""
        ips = [ifaddr.IP(host, 8, "lo") for host in self.hosts]
        return [ifaddr.Adapter("lo", "lo", ips, 1)]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine whose addresses a test can change, on loopback."""
    machine = Machine()
    monkeypatch.setattr(ifaddr, "get_adapters", machine.adapters)
    monkeypatch.setattr(incarnation, "_LOOK_AROUND_SECS", 0.01)
    return machine


@pytest.fixture
async def mesh() -> AsyncIterator[Mesh]:
    """Buses that are stopped at the end, and leave nothing."""
    async with open_mesh() as opened:
        yield opened


@pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.3 is no loopback address elsewhere")
@pytest.mark.parametrize("discovery", [(), ("local",)])
async def test_node_is_reached_where_it_is_now_and_nothing_is_lost(
    mesh: Mesh, machine: Machine, discovery: tuple[str, ...]
) -> None:
    """Peers hear of new addresses, go there, and miss nothing; newcomers are led there too."""
    a, _, b, inbox_b = await mesh.pair(bind="tcp://*:*", insecure=True, discovery=discovery)
    for number in range(300):
        await a.publish(data(number))
        if number == 100:
            machine.hosts = ["127.0.0.3", "127.0.0.4"]
    await until(b, lambda: reached_at(b) <= MOVED)
    await until(a, lambda: reached_at(a) <= MOVED)
    assert a.endpoint.startswith("tcp://127.0.0.3:")
    for number in range(300, 400):
        await a.publish(data(number))
    await inbox_b.wait(400)
    assert inbox_b.texts == [str(number) for number in range(400)]

    c = await mesh.make(Inbox("c"), bind="tcp://*:*", insecure=True, discovery=discovery)
    await mesh.meet(a, b, c)
    assert reached_at(c) <= MOVED


async def test_node_that_is_bound_to_one_address_does_not_look(
    mesh: Mesh, machine: Machine
) -> None:
    """It is reached there or nowhere; also one that says itself where it is (`advertise`)."""
    bound = await mesh.make(bind="tcp://127.0.0.1:*")
    named = await mesh.make(bind="tcp://*:*", insecure=True, advertise="127.0.0.9")
    wide = await mesh.make(bind="tcp://*:*", insecure=True)
    machine.hosts = ["127.0.0.5"]
    await until(wide, lambda: wide.endpoint.startswith("tcp://127.0.0.5:"))
    assert bound.endpoint.startswith("tcp://127.0.0.1:")
    assert named.endpoint.startswith("tcp://127.0.0.9:")
