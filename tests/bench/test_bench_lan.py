"""The LAN of namespaces: cables can be pulled, and nothing is left of it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from bench.lan import Lan, lan

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None, reason="needs root and iproute2"
)


def carrier(network: Lan) -> str:
    """What the second host's device says of its cable."""
    where = network.places[1].prefix
    command = [*where, "cat", "/sys/class/net/eth/carrier"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def use_and_fail() -> None:
    """Pull a cable and put it back, and come to grief."""
    with lan(2) as network:
        assert carrier(network) == "1"
        network.pull(1)
        assert carrier(network) == "0"
        network.plug(1)
        assert carrier(network) == "1"
        raise RuntimeError("enough")


def test_pulled_cable_is_seen_and_nothing_is_left() -> None:
    """Each host hangs on a cable of its own; afterwards the namespaces are gone, even on errors."""
    with pytest.raises(RuntimeError, match="enough"):
        use_and_fail()
    left = Path("/run/netns").glob(f"zmqbus-bench-{os.getpid()}-*")
    assert list(left) == []
