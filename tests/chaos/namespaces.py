"""A LAN on one machine: each process in a network namespace, all on one bridge. Needs root.

The bridge and the far ends of the cables are in a namespace of their own, so nothing touches the
network of the machine, and what is left of a run that was killed is found by its name.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from chaos.schedule import ACTORS

_NAME = re.compile(r"zbchaos(\d+)-\w+")
_RATE = ("rate", "1500kbit", "burst", "16kb", "latency", "100ms")
"""Below what a process sends, so that a queue builds up."""
PORT = 7400
_RESET = ("ss", "-K", "-t", "state", "established")
_TRY_RESET = f"""
import socket, subprocess
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
subprocess.run({_RESET}, capture_output=True)
client.settimeout(1)
try:
    client.recv(1)
except ConnectionError:
    print("reset")
"""


class Namespaces:
    """The network of one run."""

    def __init__(self) -> None:
        """Make nothing yet."""
        self._prefix = f"zbchaos{os.getpid()}"

    @staticmethod
    def missing() -> str:
        """Why there can be none here; empty if there can."""
        if os.name != "posix" or os.geteuid() != 0:
            return "network namespaces need root"
        tools = [tool for tool in ("ip", "tc", "ss") if not shutil.which(tool)]
        if tools:
            return f"{tools[0]} is not installed (iproute2)"
        name = f"zbchaos{os.getpid()}-try"
        if _ip("netns", "add", name).returncode:
            return "this system does not let root add a network namespace"
        _ip("netns", "del", name)
        return ""

    async def open(self) -> None:
        """Lay the cables; first take away what dead runs have left."""
        sweep()
        switch = f"{self._prefix}-switch"
        _must("netns", "add", switch)
        _must("-n", switch, "link", "add", "lan", "up", "type", "bridge")
        for actor in range(ACTORS):
            name, port = self._name(actor), f"port{actor}"
            _must("netns", "add", name)
            cable = ("type", "veth", "peer", "name", "eth0", "netns", name)
            _must("-n", switch, "link", "add", port, *cable)
            _must("-n", switch, "link", "set", port, "master", "lan", "up")
            _must("-n", name, "addr", "add", f"{_host(actor)}/24", "dev", "eth0")
            _must("-n", name, "link", "set", "lo", "up")
            _must("-n", name, "link", "set", "eth0", "up")
        self._check_reset()

    def _check_reset(self) -> None:
        """See that `ss` does what it says: it reports no error where the kernel cannot."""
        line = [*self.command(0), sys.executable, "-c", _TRY_RESET]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        if "reset" not in done.stdout.split():
            raise RuntimeError(
                "`ss -K` resets no connection here: it needs a kernel with "
                "CONFIG_INET_DIAG_DESTROY; run the variant on loopback."
            )

    async def close(self) -> None:
        """Take everything away."""
        _remove(name for name in names() if name.startswith(f"{self._prefix}-"))

    def command(self, actor: int) -> list[str]:
        """What a command line must begin with to run where the actor lives."""
        return ["ip", "netns", "exec", self._name(actor)]

    def bus_options(self, actor: int) -> dict[str, Any]:
        """Where the bus of an actor binds, and whom it dials."""
        seeds = [f"tcp://{_host(n)}:{PORT}" for n in range(ACTORS) if n != actor][:2]
        return {"bind": f"tcp://{_host(actor)}:{PORT}", "peers": seeds}

    def expect(self, actor: int, pid: int) -> None:
        """Note the process that an actor is."""

    def cut(self, actor: int) -> None:
        """Pull the cable out of the switch."""
        _must("-n", f"{self._prefix}-switch", "link", "set", f"port{actor}", "down")

    def mend(self, actor: int) -> None:
        """Put it in again."""
        _must("-n", f"{self._prefix}-switch", "link", "set", f"port{actor}", "up")

    def reset(self, actor: int) -> None:
        """Reset all TCP connections of an actor."""
        subprocess.run([*self.command(actor), *_RESET], capture_output=True, check=True)

    def throttle(self, actor: int) -> None:
        """Let an actor send slowly."""
        self._tc("add", actor, "tbf", *_RATE)

    def unthrottle(self, actor: int) -> None:
        """Let it send as fast as it can."""
        self._tc("del", actor)

    def _tc(self, verb: str, actor: int, *what: str) -> None:
        line = ["tc", "-n", self._name(actor), "qdisc", verb, "dev", "eth0", "root", *what]
        subprocess.run(line, capture_output=True, check=True)

    def _name(self, actor: int) -> str:
        return f"{self._prefix}-{actor}"


def _host(actor: int) -> str:
    return f"10.77.0.{actor + 1}"


def _ip(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)


def _must(*arguments: str) -> None:
    done = _ip(*arguments)
    if done.returncode:
        raise RuntimeError(f"`ip {' '.join(arguments)}` failed: {done.stderr.strip()}")


def names() -> list[str]:
    """The namespaces of all runs on this machine."""
    lines = _ip("netns", "list").stdout.splitlines()
    return [line.split()[0] for line in lines if _NAME.match(line)]


def sweep() -> None:
    """Take away the namespaces of runs whose process is dead."""
    for name in names():
        found = _NAME.match(name)
        if found and not Path("/proc", found[1]).exists():
            _remove([name])


def _remove(names: Any) -> None:
    for name in names:
        for pid in _ip("netns", "pids", name).stdout.split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        _ip("netns", "del", name)
