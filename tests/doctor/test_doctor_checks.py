"""Single checks: what else can be wrong, here and with others."""

from __future__ import annotations

import asyncio
import random
import socket
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from support.buses import Mesh
from support.journal import TIMEOUT_SECS, Journal
from support.site import Site

from zmqbus import MeshConfig, MeshKey, ZmqBus
from zmqbus.doctor import here, others
from zmqbus.doctor.case import Case
from zmqbus.doctor.examination import examine
from zmqbus.doctor.findings import Finding, Level
from zmqbus.doctor.observer import Observer
from zmqbus.doctor.probing import ask
from zmqbus.doctor.setup import Options, read_setup

LOCAL: dict[str, Any] = {"discovery": ("local",), "peers": None}


def case(wait_secs: float = 15.0, **options: Any) -> Case:
    """An examination that has not begun."""
    return Case(read_setup(Options(**options)), wait_secs)


async def diagnose(wait_secs: float = 15.0, **options: Any) -> list[Finding]:
    """All findings."""
    return [finding async for finding in examine(case(wait_secs, **options))]


def faults(findings: list[Finding]) -> list[str]:
    """The checks that failed."""
    return [finding.check for finding in findings if finding.level is Level.FAIL]


def of(findings: list[Finding], check: str) -> Finding:
    """What one check found."""
    return next(finding for finding in findings if finding.check == check)


# -- here


async def test_host_without_a_network_is_a_fault_for_who_wants_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Loopback does for a mesh on one host."""
    monkeypatch.setattr(here, "held", lambda: [])
    (found,) = await here.check_interfaces(case(bind="tcp://*:*", insecure=True))
    assert (found.level, found.what) == (Level.FAIL, "this host has no address but loopback")
    (found,) = await here.check_interfaces(case())
    assert found.level is Level.OK


async def test_libzmq_without_curve_is_a_fault_for_who_has_a_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And a warning for who may want one."""
    monkeypatch.setattr(here, "has_curve", lambda: False)
    (found,) = await here.check_curve(case())
    assert found.level is Level.WARN
    assert "built without CURVE" in found.what
    monkeypatch.setenv("ZMQBUS_KEY", MeshKey.new().reveal())
    (found,) = await here.check_curve(case())
    assert found.level is Level.FAIL


async def test_directory_that_cannot_be_used_is_named(place: Path) -> None:
    """In the words that a bus would use."""
    (place / "zmqbus").write_text("mine")
    found = of(await diagnose(wait_secs=0), "directory")
    assert found.level is Level.FAIL
    assert str(place / "zmqbus") in found.what


async def test_address_of_another_machine_is_named_and_nothing_more_is_tried() -> None:
    """Without a socket nobody can be called on."""
    findings = await diagnose(bind="tcp://192.0.2.77:*", insecure=True)
    assert faults(findings) == ["bind"]
    assert findings[-1].what.endswith("this is no address of this machine")


@pytest.mark.parametrize("bind", ["tcp://127.0.0.1:*", "tcp://*:*"])
async def test_own_look_at_the_own_port_is_no_stranger(
    bind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it is open is looked at without a key; nobody else was there."""
    monkeypatch.setenv("ZMQBUS_KEY", MeshKey.new().reveal())
    examined = case(bind=bind)
    try:
        await here.check_bind(examined)
        assert of(await here.check_advertise(examined), "advertise").level is Level.OK
        async with asyncio.timeout(TIMEOUT_SECS):
            while not examined.node.texts:
                await examined.node.wait(0.1, lambda: False)
        assert await others.check_strangers(examined) == []
    finally:
        await examined.node.stop()


async def test_port_that_is_open_to_all_is_a_warning() -> None:
    """Whoever said `insecure` sees what that means (X04)."""
    (found,) = await here.check_key(case(bind="tcp://*:7400", insecure=True))
    assert found.level is Level.WARN
    assert "whoever reaches tcp://*:7400 can read and send" in found.what
    (found,) = await here.check_key(case(insecure=True))
    assert found.level is Level.OK


async def test_key_is_told_by_its_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever compares two hosts sees at once whether they have one key."""
    keys = [MeshKey.new(), MeshKey.new()]
    monkeypatch.setenv("ZMQBUS_KEY", " ".join(key.reveal() for key in keys))
    (found,) = await here.check_key(case())
    one, other = (key.fingerprint for key in keys)
    assert found.what == f"uses the one with the fingerprint {one}, accepts {other} too"
    monkeypatch.setenv("ZMQBUS_KEY", keys[0].reveal()[:-9])
    (found,) = await here.check_key(case())
    assert found.what == "ZMQBUS_KEY: cut short: 66 characters of 75"


# -- others


async def test_peers_that_others_tell_of_are_judged_too(mesh: Mesh) -> None:
    """One seed leads to everybody."""
    first, second = await mesh.make(), await mesh.make()
    await mesh.meet(first, second)
    findings = await diagnose(channel=mesh.channel, peers=first.endpoint, discovery="")
    peers = [finding.what for finding in findings if finding.check == "peers"]
    assert faults(findings) == []
    assert len(peers) == 2
    assert any(f"at {second.endpoint}: " in what for what in peers)


async def test_one_peer_at_two_addresses_is_judged_once(mesh: Mesh) -> None:
    """It is a seed, and in the directory."""
    bus = await mesh.make(**LOCAL)
    findings = await diagnose(channel=mesh.channel, peers=bus.endpoint)
    assert [finding.check for finding in findings].count("peers") == 1


async def test_seed_that_is_this_very_node_is_left_out() -> None:
    """The name of a service stands for all its hosts, and so for this one (D20)."""
    at = f"tcp://127.0.0.1:{free_port()}"
    findings = await diagnose(bind=at, peers=at)
    assert faults(findings) == []
    assert of(findings, "peers").what == "nobody was found"


async def test_seed_that_does_not_resolve_is_named() -> None:
    """Z23: a name server that knows nothing of it, or none at all."""
    findings = await diagnose(peers="tcp://nowhere.invalid:7400", bind="tcp://localhost:*")
    assert "seed tcp://nowhere.invalid:7400: nowhere.invalid does" in of(findings, "peers").what


async def test_data_port_that_is_closed_is_named(mesh: Mesh, closed_port: int) -> None:
    """A firewall with one hole: a runner has two ports."""
    port = free_port()
    bus = await mesh.make(
        bind=f"tcp://127.0.0.1:{port}", advertise=f"127.0.0.1:{port}+{closed_port}", **LOCAL
    )
    assert bus.endpoint == f"tcp://127.0.0.1:{port}"
    findings = await diagnose(channel=mesh.channel, wait_secs=5)
    assert faults(findings) == ["peers: data"]
    assert f"not its data port, tcp://127.0.0.1:{closed_port}" in of(findings, "peers: data").what


def free_port() -> int:
    """A port that is free, as is the next, of those that the system gives nobody by chance."""
    for port in random.sample(range(12_000, 32_000), 100):
        with socket.socket() as first, socket.socket() as second, suppress(OSError):
            first.bind(("127.0.0.1", port))
            second.bind(("127.0.0.1", port + 1))
            return port
    raise AssertionError("no port is free")


async def test_clock_that_is_ahead_is_named(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    """A runner that started an hour from now would be younger than all for ever (R6)."""
    later_ns = time.time_ns() + 3600 * 10**9
    with monkeypatch.context() as patched:
        patched.setattr(time, "time_ns", lambda: later_ns)
        await mesh.make(**LOCAL)
    findings = await diagnose(channel=mesh.channel)
    assert faults(findings) == []
    assert "is ahead by at least 3" in of(findings, "clocks").what


async def test_stranger_at_the_door_is_named() -> None:
    """It may be one of ours with another key; who was judged already is not told twice."""
    examined = case()
    examined.observer = Observer(examined.setup, "tcp://127.0.0.1:*", None)
    text = "10.0.0.9:4711 was turned away: it holds another mesh key"
    examined.observer.texts += [text, text]
    (found,) = await others.check_strangers(examined)
    assert (found.level, found.what) == (Level.WARN, text)


# -- health


async def test_runner_with_all_the_peers_it_can_have_is_well(mesh: Mesh) -> None:
    """It takes no newcomer, which is a fault for a newcomer, and none of the runner's."""
    full, other = await mesh.make(config=MeshConfig(max_peers=1), **LOCAL), await mesh.make()
    await mesh.meet(full, other)
    findings = await diagnose(channel=mesh.channel)
    assert "peers: limit" in faults(findings)
    (found,) = await ask(case(channel=mesh.channel), None)
    assert found.level is Level.OK
    assert "max_peers=1 is reached here" in found.what


async def test_runner_whose_name_is_taken_is_not_well() -> None:
    """Nobody hears it; the older one is well (R6)."""
    channel = uuid.uuid4().hex
    sites = [Site(ZmqBus(channel=channel), Journal(), "desk") for _ in range(2)]
    try:
        for site in sites:
            await site.open()
        findings = await ask(case(channel=channel), None)
    finally:
        await asyncio.gather(*(site.close() for site in sites))
    assert [finding.check for finding in findings] == ["peers", "peers", "names"]
    assert faults(findings) == ["names"]


async def test_who_is_asked_for_its_health_notices_nothing(mesh: Mesh) -> None:
    """A probe that comes every few seconds is no runner: it is neither told of nor counted."""
    told: list[str] = []
    bus = await mesh.make(start=False, **LOCAL)
    for event in ("joined", "left", "lost", "refused"):
        bus.add_event_handler(f"on_peer_{event}", lambda *_: told.append("something"))
    await bus.start()
    assert [f.level for f in await ask(case(channel=mesh.channel), None)] == [Level.OK]
    assert (bus.peers, told, bus.stats().counters) == ([], [], {})
