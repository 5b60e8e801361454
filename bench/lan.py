"""A LAN on this machine: network namespaces on a bridge, with cables to be pulled. Root only."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.buses import MissingError

_PREFIX = "zmqbus-bench"


@dataclass(frozen=True)
class Place:
    """One host of a LAN.

    Parameters:
        namespace: Its network namespace.
        address: Its only address.
    """

    namespace: str
    address: str

    @property
    def prefix(self) -> tuple[str, ...]:
        """What a command begins with that runs there."""
        return ("ip", "netns", "exec", self.namespace)

    @property
    def bind(self) -> str:
        """Where a bus listens there."""
        return f"tcp://{self.address}:*"


class Lan:
    """A bridge in a namespace of its own, and a cable from it to each host."""

    def __init__(self, hosts: int) -> None:
        """Set nothing up yet.

        Args:
            hosts: How many hosts there are.
        """
        name = f"{_PREFIX}-{os.getpid()}"
        self.places = [Place(f"{name}-{n}", f"10.77.0.{n + 1}") for n in range(hosts)]
        self._switch = f"{name}-switch"

    def build(self) -> None:
        """Create it all."""
        _ip("netns", "add", self._switch)
        _ip("-n", self._switch, "link", "add", "bridge", "type", "bridge", "forward_delay", "0")
        _ip("-n", self._switch, "link", "set", "bridge", "up")
        for number, place in enumerate(self.places):
            self._add(place, f"port{number}")

    def _add(self, place: Place, port: str) -> None:
        there, switch = place.namespace, self._switch
        _ip("netns", "add", there)
        _ip("-n", switch, *f"link add {port} type veth peer name eth netns {there}".split())
        _ip("-n", switch, "link", "set", port, "master", "bridge", "up")
        _ip("-n", there, "address", "add", f"{place.address}/24", "dev", "eth")
        for device in ("eth", "lo"):
            _ip("-n", there, "link", "set", device, "up")

    def pull(self, number: int) -> None:
        """Pull the cable of a host."""
        _ip("-n", self._switch, "link", "set", f"port{number}", "down")

    def plug(self, number: int) -> None:
        """Put it back."""
        _ip("-n", self._switch, "link", "set", f"port{number}", "up")


@contextmanager
def lan(hosts: int) -> Iterator[Lan]:
    """A LAN, for as long as the block lasts.

    Raises:
        MissingError: This user may not, or the tool is not installed.
    """
    if os.geteuid() != 0:
        raise MissingError("network namespaces need root")
    if shutil.which("ip") is None:
        raise MissingError("ip (iproute2) is not installed")
    _sweep()
    new = Lan(hosts)
    try:
        new.build()
        yield new
    finally:
        _remove(os.getpid())


def _ip(*arguments: str) -> str:
    run = subprocess.run(("ip", *arguments), capture_output=True, text=True)
    if run.returncode:
        raise MissingError(f"`ip {' '.join(arguments)}` says: {run.stderr.strip()}")
    return run.stdout


def _remove(pid: int) -> None:
    for line in _ip("netns", "list").splitlines():
        name = line.split()[0]
        if name.startswith(f"{_PREFIX}-{pid}-"):
            _ip("netns", "delete", name)


def _sweep() -> None:
    """Remove what benchmarks that were killed have left."""
    for line in _ip("netns", "list").splitlines():
        if line.startswith(f"{_PREFIX}-"):
            pid = int(line.split()[0].removeprefix(f"{_PREFIX}-").split("-")[0])
            if not Path(f"/proc/{pid}").exists():
                _remove(pid)
