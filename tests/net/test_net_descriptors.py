"""What links cost (Z31)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.net_ends import Ends, descriptors

pytestmark = pytest.mark.skipif(not descriptors(), reason="needs /proc/self/fd")


async def test_descriptors_grow_by_seven_a_peer(ends: Ends) -> None:
    """Each peer costs a node 7: its dial 4, its data 1, and 1 for each of the other's two."""
    base = len(descriptors())
    one = await ends.open()
    others = [await ends.open() for _ in range(6)]
    own = (len(descriptors()) - base) / 7
    assert own <= 17
    unlinked = len(descriptors())
    for number, other in enumerate(others):
        await one.dial(number, other)
        await one.read(other, b"to one")
        await other.dial(0, one)
        await other.read(one, b"to %d" % number)
        assert len(descriptors()) - unlinked == 2 * 7 * (number + 1)
    for number in range(6):
        one.transport.hangup(number)
    for other in others:
        await other.transport.close(0)
    await one.transport.close(0)
    assert len(descriptors()) == base


SCRIPT = """
import asyncio, resource
from support.net_ends import Recorder
from zmqbus.config import DEFAULT
from zmqbus.net.transport import Transport

async def main():
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))
    told, peer = Recorder(), Recorder()
    a, b = (Transport(t, bind="tcp://127.0.0.1:*", advertise=None, config=DEFAULT)
            for t in (told, peer))
    await a.open()
    await b.open()
    a.dial(0, b.endpoints[0])
    await told.until(lambda: told.links == [(0, True)])
    for number in range(1, 60):
        a.dial(number, b.endpoints[0])
    await told.until(lambda: bool(told.reasons))
    for number in range(1, 60):
        a.hangup(number)
    a.send(0, b"still here")
    await peer.until(lambda: peer.system == [b"still here"])
    await a.close(0)
    await b.close(0)
    print(told.reasons[0])

asyncio.run(main())
"""


def test_running_out_of_descriptors_is_reported_and_survived() -> None:
    """At the limit dials fail with a reason, nothing aborts, and links there are live on."""
    here = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=here,
        env=os.environ,
        timeout=40,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "Too many open files" in done.stdout
