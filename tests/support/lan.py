"""Networks of this machine's own: namespaces on a bridge, which nothing outside can see."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from support.process import Child, start_child, tended

Files = Mapping[str, Path]
"""Paths that a child sees, and what is there."""


def why_not() -> str:
    """Why there can be no networks here; empty if there can."""
    if sys.platform != "linux" or shutil.which("ip") is None:
        return "there are no network namespaces without Linux and iproute2"
    if os.geteuid() != 0:
        return "only root may make network namespaces"
    name = f"zb{uuid.uuid4().hex[:8]}"
    tried = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
    if tried.returncode:
        return f"no network namespaces here: {tried.stderr.strip()}"
    subprocess.run(["ip", "netns", "del", name], check=True)
    return ""


class Host:
    """One namespace: a machine with a loopback interface, and what is plugged into it."""

    def __init__(self, name: str) -> None:
        """Make it."""
        self.name = name
        _ip("netns", "add", name)
        self.set("net.ipv6.conf.all.accept_dad", "0")
        self.set("net.ipv6.conf.default.accept_dad", "0")
        self.ip("link", "set", "lo", "up")

    def ip(self, *words: str) -> None:
        """Run ``ip`` in it."""
        _ip("-n", self.name, *words)

    def set(self, key: str, value: str) -> None:
        """Set a parameter of its kernel."""
        path = f"/proc/sys/{key.replace('.', '/')}"
        _run("ip", "netns", "exec", self.name, "sh", "-c", f"echo {value} > {path}")

    def address(self, do: str, interface: str, address: str) -> None:
        """Add or delete (``do``) an address of one of its interfaces."""
        now = ["nodad"] if ":" in address and do == "add" else []
        self.ip("address", do, address, "dev", interface, *now)

    def remove(self) -> None:
        """Remove it, with all its interfaces."""
        _ip("netns", "del", self.name)

    def start(self, files: Files | None = None, **environment: str) -> Child:
        """Start a child in it.

        Args:
            files: See `inside`.
            **environment: What it sees besides ours.
        """
        return start_child(self.inside(files), **environment)

    def inside(self, files: Files | None = None) -> list[str]:
        """What runs the command behind it in here, on a host that has the name of the namespace.

        Args:
            files: What it sees at some paths: in /run, which is empty otherwise, or in place of
                files that there are.
        """
        alone = ["ip", "netns", "exec", self.name, "unshare", "--uts", "--mount"]
        steps = [f"hostname {self.name}", "mount -t tmpfs tmpfs /run"]
        for target, file in (files or {}).items():
            if target.startswith("/run/"):
                steps += [f"mkdir -p {Path(target).parent}", f"touch {target}"]
            steps.append(f"mount --bind {file} {target}")
        return [*alone, "sh", "-c", " && ".join([*steps, 'exec "$@"']), "sh"]


class Lan:
    """A bridge, and the hosts that are plugged into it."""

    def __init__(self) -> None:
        """Make a bridge in a namespace of its own, and no hosts yet."""
        self._tag = f"zb{uuid.uuid4().hex[:8]}"
        self._plugs = 0
        self.hub = Host(f"{self._tag}-hub")
        self.hosts: list[Host] = []
        self.add_bridge("bridge")

    def add_bridge(self, name: str) -> None:
        """Add another bridge, which leads to nobody but who is plugged into it."""
        self.hub.ip("link", "add", name, "type", "bridge", "mcast_snooping", "0")
        self.hub.ip("link", "set", name, "up")

    def host(self, *addresses: str, ipv6: bool = True) -> Host:
        """Add a host with these addresses, plugged in by ``eth0``."""
        host = Host(f"{self._tag}-{len(self.hosts)}")
        self.hosts.append(host)
        if not ipv6:
            host.set("net.ipv6.conf.all.disable_ipv6", "1")
        self.plug(host, "eth0", *addresses)
        return host

    def plug(self, host: Host, interface: str, *addresses: str, bridge: str = "bridge") -> str:
        """Plug a new interface of a host into a bridge; returns the port of the bridge."""
        self._plugs += 1
        port = f"port{self._plugs}"
        self.hub.ip(*f"link add {port} type veth peer name {interface} netns {host.name}".split())
        self.hub.ip("link", "set", port, "master", bridge)
        self.hub.ip("link", "set", port, "up")
        for address in addresses:
            host.address("add", interface, address)
        host.ip("link", "set", interface, "up")
        return port

    def block_multicast(self) -> None:
        """Let no multicast from port to port any more, as many a network does."""
        for number in range(1, self._plugs + 1):
            self.hub.ip(*f"link set port{number} type bridge_slave mcast_flood off".split())

    def remove(self) -> None:
        """Remove all of it."""
        for host in [*self.hosts, self.hub]:
            host.remove()


@contextmanager
def lan() -> Iterator[Lan]:
    """A network for one test."""
    made = Lan()
    try:
        yield made
    finally:
        made.remove()


@asynccontextmanager
async def children(
    *hosts: Host, files: Files | None = None, **environment: str
) -> AsyncIterator[list[Child]]:
    """A child on each of these hosts; see `Host.start`."""
    async with tended([host.start(files, **environment) for host in hosts]) as started:
        yield started


def _ip(*words: str) -> None:
    _run("ip", *words)


def _run(*words: str) -> None:
    ran = subprocess.run(words, capture_output=True, text=True)
    assert ran.returncode == 0, f"{' '.join(words)}: {ran.stderr}"
