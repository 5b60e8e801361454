"""`doctor` names the cause in each of twelve broken set-ups, and only that (issue 4)."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from support.asking import Runner
from support.buses import Mesh, started
from support.journal import Journal
from support.lan import Host, Lan, children
from support.site import Site

from zmqbus import ZmqBus
from zmqbus.doctor.case import Case
from zmqbus.doctor.examination import examine
from zmqbus.doctor.findings import Finding, Level
from zmqbus.doctor.setup import Options, read_setup
from zmqbus.keys import MeshKey
from zmqbus.keys.files import write_secret
from zmqbus.net.rendezvous import Rendezvous
from zmqbus.packets import NodeId, channel_id

RunnerProcess = Callable[..., AbstractContextManager[subprocess.Popen[str]]]

LOCAL: dict[str, Any] = {"discovery": ("local",), "peers": None}
"""How a bus of a test is found by the doctor: in the directory."""


async def diagnose(wait_secs: float = 15.0, **options: Any) -> list[Finding]:
    """All findings. The time is what a busy machine may need; it ends as soon as all is known."""
    case = Case(read_setup(Options(**options)), wait_secs)
    return [finding async for finding in examine(case)]


def causes(findings: list[Finding], level: Level = Level.FAIL) -> list[str]:
    """The names of the checks that found something this bad."""
    return [finding.check for finding in findings if finding.level is level]


def the(findings: list[Finding], check: str, level: Level = Level.FAIL) -> Finding:
    """The finding of that check, which must be the only one so bad."""
    assert causes(findings, level) == [check], findings
    return next(finding for finding in findings if finding.level is level)


def key_file(path: Path) -> Path:
    """A new file with a new mesh key."""
    write_secret(path, MeshKey.new().reveal())
    return path


async def test_mesh_that_is_well_has_no_fault(mesh: Mesh) -> None:
    """Every check is made, and none complains."""
    bus = await mesh.make(**LOCAL)
    findings = await diagnose(channel=mesh.channel)
    assert {finding.level for finding in findings} == {Level.OK}
    assert {finding.check for finding in findings} == {
        "versions", "curve", "interfaces", "directory", "key", "bind", "advertise", "multicast",
        "peers", "channel", "names", "clocks", "loop",
    }  # fmt: skip
    (peer,) = (finding.what for finding in findings if finding.check == "peers")
    assert f"at {bus.endpoint}: round trip " in peer


# -- keys


async def test_wrong_key_is_named(mesh: Mesh, tmp_path: Path) -> None:
    """Both have a key, and not the same."""
    await mesh.make(**LOCAL, key=MeshKey.new())
    findings = await diagnose(channel=mesh.channel, key_file=key_file(tmp_path / "mesh.key"))
    found = the(findings, "peers: key")
    assert "it holds another mesh key" in found.what
    assert "the same key" in found.remedy


async def test_missing_key_is_named(mesh: Mesh) -> None:
    """The others have one."""
    await mesh.make(**LOCAL, key=MeshKey.new())
    found = the(await diagnose(channel=mesh.channel), "peers: key")
    assert "needs a key, and this node has none" in found.what
    assert found.what.endswith(f"(local, pid {os.getpid()})")


async def test_key_that_the_others_lack_is_named(mesh: Mesh, tmp_path: Path) -> None:
    """And the other way round; libzmq sees the plain greeting, or that it was hung up on."""
    await mesh.make(**LOCAL)
    findings = await diagnose(channel=mesh.channel, key_file=key_file(tmp_path / "mesh.key"))
    found = the(findings, "peers: key").what
    assert "has no key: it speaks plain ZeroMQ" in found or ", or none" in found


async def test_open_bind_without_a_key_is_named() -> None:
    """No bus would start like that, so nothing is tried (R29)."""
    found = the(await diagnose(bind="tcp://*:*"), "key")
    assert found.what == "no key, and tcp://*:* can be reached by others"
    assert "zmqbus key new" in found.remedy


async def test_key_file_that_others_can_read_is_named_with_the_command(tmp_path: Path) -> None:
    """Nothing is tried with another key, or with none."""
    path = key_file(tmp_path / "mesh.key")
    path.chmod(0o644)
    found = the(await diagnose(key_file=path), "key")
    assert "others can read or write it (mode 0644)" in found.what
    assert found.remedy == f"`chmod 600 {path}` mends it"


# -- addresses


async def test_port_that_is_in_use_is_named() -> None:
    """By something that is no runner of this user; the rest is examined from another port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        at = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        findings = await diagnose(bind=at, wait_secs=0)
        assert the(findings, "bind").what == f"{at} cannot be bound: the port is in use"
        assert findings[-1].check == "loop"


async def test_port_of_ones_own_runner_is_no_fault(mesh: Mesh) -> None:
    """Whoever examines a running mesh gives the doctor what the runner was given."""
    bus = await mesh.make(**LOCAL)
    findings = await diagnose(channel=mesh.channel, bind=bus.endpoint)
    assert causes(findings) == []
    assert "in use by a runner of yours" in the(findings, "bind", Level.WARN).what


async def test_advertised_address_that_leads_nowhere_is_named(closed_port: int) -> None:
    """Peers would be told it, and never call back."""
    findings = await diagnose(advertise=f"127.0.0.1:{closed_port}")
    found = the(findings, "advertise")
    assert f"tcp://127.0.0.1:{closed_port} (refused)" in found.what


async def test_peer_that_advertises_what_leads_nowhere_is_named(
    mesh: Mesh, closed_port: int
) -> None:
    """A seed leads to it all the same; whoever hears of it from others is lost."""
    bus = await mesh.make(advertise=f"127.0.0.1:{closed_port}", discovery=(), peers=None)
    at = f"tcp://127.0.0.1:{bound_port(bus)}"
    found = the(await diagnose(channel=mesh.channel, peers=at, wait_secs=5), "peers: advertise")
    assert f"tcp://127.0.0.1:{closed_port}, where nobody answers" in found.what


def bound_port(bus: ZmqBus) -> int:
    """The port that a bus is bound to, whatever it tells others."""
    assert started(bus)
    port: int = bus._node._life.transport._at[0].port
    return port


async def test_port_that_refuses_is_named(closed_port: int) -> None:
    """As a firewall does that says so, or a host on which nobody listens there."""
    seed = f"tcp://127.0.0.1:{closed_port}"
    found = the(await diagnose(peers=seed, wait_secs=0), "peers: tcp")
    assert found.what.startswith(f"{seed} (seed) refuses connections")


async def test_port_of_something_else_is_named() -> None:
    """It takes connections, and no handshake of ZeroMQ comes to an end there."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        seed = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        found = the(await diagnose(peers=seed, wait_secs=1), "peers: handshake")
    assert "does not speak ZeroMQ" in found.what


# -- others


async def test_other_version_is_named(runner_process: RunnerProcess) -> None:
    """Both ranges are told: the other side says so as it refuses."""
    channel = uuid.uuid4().hex
    with runner_process(channel, "version"):
        found = the(await diagnose(channel=channel), "peers: version")
    assert "no common protocol version: 1 to 1 there, 9 to 9 here" in found.what


async def test_other_channel_is_named(mesh: Mesh) -> None:
    """With the names of both."""
    await mesh.make(**LOCAL)
    mistyped = mesh.channel.upper()
    found = the(await diagnose(channel=mistyped), "channel")
    assert f"{mistyped!r}; those that are reached are on {mesh.channel!r}" in found.what


async def test_name_that_is_taken_is_named(mesh: Mesh) -> None:
    """Of two live runners of one name the older keeps it (R6)."""
    sites = [Site(ZmqBus(channel=mesh.channel), Journal(), "desk") for _ in range(2)]
    try:
        for site in sites:
            await site.open()
        findings = await diagnose(channel=mesh.channel)
    finally:
        await asyncio.gather(*(site.close() for site in sites))
    assert "two live runners are called 'desk'" in the(findings, "names").what


async def test_blocked_loop_is_named(runner_process: RunnerProcess) -> None:
    """Its sockets take connections, its file is not freshened any more: only the loop stands."""
    channel = uuid.uuid4().hex
    with runner_process(channel, "block") as process:
        found = the(await diagnose(channel=channel, wait_secs=6), "peers: loop")
    assert f"pid {process.pid}) is connected, and says nothing" in found.what


# -- the directory


async def test_entry_of_the_dead_is_named(runner_process: RunnerProcess) -> None:
    """It does no harm: the next one that starts sweeps it (R32)."""
    channel = uuid.uuid4().hex
    with runner_process(channel) as process:
        pass
    findings = await diagnose(channel=channel, wait_secs=0)
    stale = next(finding for finding in findings if finding.check == "directory")
    assert stale.level is Level.WARN
    assert f"is stale: process {process.pid} has died" in stale.what


async def test_entry_that_a_forked_child_keeps_alive_is_named(
    place: Path, closed_port: int
) -> None:
    """Nobody listens there, yet the lock is held: nobody sweeps it, and all dial it for ever."""
    node, channel = NodeId(b"deadnode"), uuid.uuid4().hex
    rendezvous = Rendezvous(place / "zmqbus")
    rendezvous.register(channel_id(channel), node, (f"tcp://127.0.0.1:{closed_port}",))
    path = place / "zmqbus" / "nodes" / node.hex()
    with path.open("rb") as inherited, pytest.raises(BlockingIOError):
        fcntl.flock(inherited, fcntl.LOCK_SH | fcntl.LOCK_NB)
    findings = await diagnose(channel=channel, wait_secs=0)
    rendezvous.close()
    assert causes(findings) == ["directory", "peers: tcp"]
    stale = next(finding for finding in findings if finding.check == "directory")
    assert f"{path} is stale: nobody listens at tcp://127.0.0.1:{closed_port}" in stale.what


# -- networks


async def examine_on(host: Host, *arguments: str) -> list[dict[str, str]]:
    """What the command finds on a host, as a program reads it."""
    command = ("ip", "netns", "exec", host.name, sys.executable, "-m", "zmqbus.cli", "doctor")
    process = await asyncio.create_subprocess_exec(
        *command, "--json", "--insecure", *arguments, stdout=subprocess.PIPE
    )
    told, _ = await process.communicate()
    findings: list[dict[str, str]] = json.loads(told)
    assert process.returncode == any(finding["level"] == "fail" for finding in findings)
    return findings


def of(findings: list[dict[str, str]], check: str) -> dict[str, str]:
    """What one check found."""
    return next(finding for finding in findings if finding["check"] == check)


async def test_host_without_multicast_is_named(net: Lan) -> None:
    """What it sends does not come back to it; seeds are the way out (R31)."""
    host = net.host("10.9.0.1/24", ipv6=False)
    host.ip("link", "set", "eth0", "down")
    found = of(await examine_on(host, "--discovery", "lan", "--wait", "0"), "multicast")
    assert found["level"] == "fail"
    assert found["what"].startswith("no multicast: what this host sends does not even come back")
    assert "peers=['tcp://host:port']" in found["remedy"]


async def test_network_without_multicast_is_named(net: Lan) -> None:
    """A runner is there, reached by its address, and not heard."""
    here, there = (net.host(f"10.9.0.{number}/24", ipv6=False) for number in (1, 2))
    net.block_multicast()
    async with children(there) as [child]:
        runner = Runner(child, "there")
        channel = uuid.uuid4().hex
        await runner.begin(channel=channel, discovery=["lan"], insecure=True)
        seed = await runner.call("", "endpoint")
        findings = await examine_on(
            here, "--discovery", "lan", "--channel", channel, "--peers", seed
        )
    found = of(findings, "multicast")
    assert (found["level"], found["what"]) == ("warn", "it comes back, and nobody else is heard")
    assert "carries no multicast" in found["remedy"]
    assert of(findings, "peers")["level"] == "ok"


async def test_runner_heard_by_mdns_and_behind_a_firewall_is_named(net: Lan) -> None:
    """Its advert comes, and its port swallows packets: it stops at TCP."""
    here, there = (net.host(f"10.9.0.{number}/24", ipv6=False) for number in (1, 2))
    async with children(there) as [child]:
        runner = Runner(child, "there")
        channel = uuid.uuid4().hex
        await runner.begin(channel=channel, discovery=["lan"], insecure=True)
        there.ip("rule", "add", "from", "10.9.0.2", "ipproto", "tcp", "blackhole")
        findings = await examine_on(here, "--discovery", "lan", "--channel", channel, "--wait", "1")
    assert of(findings, "multicast")["level"] == "ok"
    assert "(lan) does not answer" in of(findings, "peers: tcp")["what"]


async def test_runner_that_cannot_call_back_is_named(net: Lan) -> None:
    """A firewall lets this host out, and nobody in: the others never reach its ports."""
    here, there = (net.host(f"10.9.0.{number}/24", ipv6=False) for number in (1, 2))
    back = ("from", "10.9.0.1", "ipproto", "tcp", "sport", "7400-7401")
    here.ip("rule", "add", *back, "blackhole")
    async with children(there) as [child]:
        runner = Runner(child, "there")
        channel = uuid.uuid4().hex
        await runner.begin(channel=channel, bind="tcp://*:*", insecure=True)
        seed = await runner.call("", "endpoint")
        bind = "tcp://10.9.0.1:7400"
        findings = await examine_on(
            here, "--bind", bind, "--channel", channel, "--peers", seed, "--wait", "3"
        )
    assert of(findings, "advertise")["level"] == "ok"
    assert f"does not call back at {bind}" in of(findings, "peers: way back")["what"]
