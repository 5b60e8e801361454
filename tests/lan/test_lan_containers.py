"""Containers: no multicast, no code, and one name for all of a service's addresses (F19, D20).

Hosts with the settings, the names, the key and the commands of the example files stand in for them.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from support.asking import Runner, all_ask, new_channel
from support.containers import Container, compose, kubernetes, runnable
from support.journal import TIMEOUT_SECS
from support.lan import Files, Host, Lan, children

from zmqbus.keys import MeshKey
from zmqbus.keys.files import write_secret

ADDRESSES = [f"10.9.0.{number}" for number in range(1, 4)]


@pytest.fixture
def pods(net: Lan) -> list[Host]:
    """Three hosts on a network without multicast."""
    pods = [net.host(f"{address}/24") for address in ADDRESSES]
    net.block_multicast()
    return pods


@pytest.fixture
def names(tmp_path: Path) -> Path:
    """What pods see as /etc/hosts."""
    return tmp_path / "hosts"


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A key file, as it is mounted."""
    write_secret(tmp_path / "mesh.key", MeshKey.new().reveal())
    (tmp_path / "mesh.key").chmod(0o400)
    return tmp_path / "mesh.key"


# -- runners of the tests' own, with the settings of pods


def serve(names: Path, *addresses: str) -> None:
    """Let the service stand for these addresses; in place, since the file is mounted."""
    names.write_text("".join(f"{address} mesh\n" for address in ("127.0.0.9", *addresses)))


@asynccontextmanager
async def on_pods(
    pods: dict[str, Host], names: Path, key: Path, **environment: str
) -> AsyncIterator[list[Runner]]:
    """A runner in each of these pods, by their addresses; not begun yet."""
    async with AsyncExitStack() as stack:
        runners = []
        for address, pod in pods.items():
            container = kubernetes(address)[0]
            files = {"/etc/hosts": names, container.key_file: key}
            settings = container.environment | environment
            [child] = await stack.enter_async_context(children(pod, files=files, **settings))
            runners.append(Runner(child, address))
        yield runners


async def test_pods_meet_by_the_name_of_their_service(
    pods: list[Host], names: Path, key: Path
) -> None:
    """All addresses of the name are tried, one's own among them, and one that is dead (R31)."""
    serve(names, "10.9.0.200", *ADDRESSES)
    channel = new_channel()
    async with on_pods(dict(zip(ADDRESSES, pods, strict=True)), names, key) as runners:
        for runner in runners:
            await runner.begin(channel=channel)
        await all_ask(runners)


async def test_pod_that_takes_another_ones_place_is_found_by_the_name(
    pods: list[Host], names: Path, key: Path
) -> None:
    """The name is looked up again and again: those who are there find who comes (D20)."""
    serve(names, *ADDRESSES[:2])
    channel = new_channel()
    first_two = dict(zip(ADDRESSES[:2], pods[:2], strict=True))
    async with on_pods(first_two, names, key) as [stays, goes]:
        for runner in (stays, goes):
            await runner.begin(channel=channel)
        await all_ask([stays, goes])
        goes.child.process.kill()
        await stays.journal.wait("bus", "lost")
        async with on_pods({ADDRESSES[2]: pods[2]}, names, key, ZMQBUS_PEERS="") as [comes]:
            await comes.begin(channel=channel)
            serve(names, ADDRESSES[0], ADDRESSES[2])
            await all_ask([stays, comes])


# -- the very commands of the files


class Engine:
    """Starts containers on hosts, each seeing these files."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._mine: list[Process] = []

    async def start(self, container: Container, host: Host, command: list[str]) -> Process:
        """Run a command of a container, with its settings."""
        files = {**self._files, container.key_file: self._files["key"]}
        del files["key"]
        process = await asyncio.create_subprocess_exec(
            *host.inside(files),
            *runnable(command),
            env={**os.environ, **container.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._mine.append(process)
        return process

    async def ready(self, container: Container, host: Host) -> None:
        """Wait until each probe of a container is content, as an engine does."""
        for probe in container.probes:
            told, until = b"", asyncio.get_running_loop().time() + 3 * TIMEOUT_SECS
            while asyncio.get_running_loop().time() < until:
                process = await self.start(container, host, probe)
                told, _ = await process.communicate()
                if process.returncode == 0:
                    break
            assert process.returncode == 0, told

    async def end(self) -> None:
        """Kill whatever still runs."""
        for process in self._mine:
            if process.returncode is None:
                process.kill()
                await process.communicate()


@pytest.fixture
async def engine(names: Path, key: Path) -> AsyncIterator[Engine]:
    """An engine that leaves nothing behind."""
    engine = Engine({"/etc/hosts": names, "key": key})
    yield engine
    await engine.end()


@pytest.fixture(params=["compose.yaml", "kubernetes.yaml"])
def containers(
    request: pytest.FixtureRequest, pods: list[Host], names: Path
) -> dict[str, tuple[Container, Host]]:
    """The containers of a file by name, each with its host; the names that they use are known."""
    if request.param == "compose.yaml":
        found = compose()
        known = {container.name: [a] for container, a in zip(found, ADDRESSES, strict=True)}
    else:
        found = [kubernetes(address)[number] for number, address in enumerate(ADDRESSES)]
        known = {"mesh": ADDRESSES}
    lines = [f"{address} {name}\n" for name, some in known.items() for address in some]
    names.write_text("".join(lines))
    return {c.name: (c, pod) for c, pod in zip(found, pods, strict=True)}


@pytest.mark.timeout(200)
async def test_example_runs_as_its_file_says(
    containers: dict[str, tuple[Container, Host]], engine: Engine
) -> None:
    """The workers become ready, the transport holds the conversation, and all end well."""
    workers = []
    for name in ("greeter", "expert"):
        workers.append(await engine.start(*containers[name], containers[name][0].command))
        await engine.ready(*containers[name])
    container, host = containers["transport"]
    transport = await engine.start(container, host, container.command)
    told, _ = await asyncio.wait_for(transport.communicate(), 3 * TIMEOUT_SECS)
    assert told.decode().endswith("customer: No, thank you.\ngreeter: Goodbye!\n")
    ended = [await worker.communicate() for worker in workers]
    assert [each.returncode for each in (transport, *workers)] == [0, 0, 0], ended


@pytest.mark.timeout(200)
async def test_container_that_is_told_to_stop_says_goodbye_and_ends_alone(
    containers: dict[str, tuple[Container, Host]], engine: Engine
) -> None:
    """SIGTERM is enough, nobody has to be killed, and the others stay ready (R23)."""
    greeter, expert = [
        await engine.start(*containers[name], containers[name][0].command)
        for name in ("greeter", "expert")
    ]
    for name in ("greeter", "expert"):
        await engine.ready(*containers[name])
    greeter.send_signal(signal.SIGTERM)
    told = await asyncio.wait_for(greeter.communicate(), TIMEOUT_SECS)
    assert greeter.returncode == 0, told
    await engine.ready(*containers["expert"])
    assert expert.returncode is None
