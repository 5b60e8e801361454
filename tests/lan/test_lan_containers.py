"""Containers: no multicast, no code, and one name for all of a service's addresses (F19, D20)."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.asking import Runner, all_ask, new_channel
from support.lan import Host, Lan, children

#: All that a deployment says of its runners; `mesh` is a headless service.
ENVIRONMENT = {
    "ZMQBUS_BIND": "tcp://*:7400",
    "ZMQBUS_DISCOVERY": "",
    "ZMQBUS_PEERS": "tcp://mesh:7400",
    "ZMQBUS_INSECURE": "1",
}


@pytest.fixture
def pods(net: Lan) -> list[Host]:
    """Three hosts on a network without multicast."""
    pods = [net.host(f"10.9.0.{number}/24", f"fd00:9::{number}/64") for number in range(1, 4)]
    net.block_multicast()
    return pods


@pytest.fixture
def names(tmp_path: Path) -> Path:
    """What pods see as /etc/hosts."""
    return tmp_path / "hosts"


def serve(names: Path, *addresses: str) -> None:
    """Let the service stand for these addresses; in place, since the file is mounted."""
    names.write_text("".join(f"{address} mesh\n" for address in ("127.0.0.9", *addresses)))


async def test_pods_meet_by_the_name_of_their_service(pods: list[Host], names: Path) -> None:
    """All addresses of the name are tried, one's own among them, and one that is dead (R31)."""
    serve(names, "10.9.0.200", *(f"10.9.0.{number}" for number in range(1, 4)))
    channel = new_channel()
    async with children(*pods, names=names, **ENVIRONMENT) as started:
        runners = [Runner(child, str(number)) for number, child in enumerate(started)]
        for runner in runners:
            await runner.begin(channel=channel)
        await all_ask(runners)


async def test_pod_that_takes_another_ones_place_is_found_by_the_name(
    pods: list[Host], names: Path
) -> None:
    """The name is looked up again and again: those who are there find who comes (D20)."""
    serve(names, "10.9.0.1", "10.9.0.2")
    channel = new_channel()
    async with children(*pods[:2], names=names, **ENVIRONMENT) as [first, second]:
        runners = [Runner(first, "stays"), Runner(second, "goes")]
        for runner in runners:
            await runner.begin(channel=channel)
        await all_ask(runners)
        second.process.kill()
        await runners[0].journal.wait("bus", "lost")
        async with children(pods[2], names=names, **{**ENVIRONMENT, "ZMQBUS_PEERS": ""}) as [third]:
            successor = Runner(third, "comes")
            await successor.begin(channel=channel)
            serve(names, "10.9.0.1", "10.9.0.3")
            await all_ask([runners[0], successor])
