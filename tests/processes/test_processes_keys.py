"""Real processes with a key file: members meet by local discovery, others are told why not."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import product
from pathlib import Path
from typing import Any

from support.journal import TIMEOUT_SECS
from support.process import Child, RemoteSite, spawn

from zmqbus.keys import MeshKey, RunnerKey
from zmqbus.keys.files import write_secret
from zmqbus.net.curve import public_key

LISTENING: dict[str, Any] = {"kind": "listener", "name": "listener", "hears": ["BusUIEventMessage"]}


async def test_processes_with_one_key_file_meet_and_one_without_is_turned_away(
    tmp_path: Path,
) -> None:
    """A thousand messages arrive; the outsider on the same host and channel is no peer of anybody.

    It is told why by the others, though it finds them by the same rendezvous (X06, X07).
    """
    path = tmp_path / "mesh.key"
    write_secret(path, MeshKey.new().reveal())
    channel = f"keys-{uuid.uuid4().hex}"
    async with spawn(2, ZMQBUS_KEY_FILE=str(path)) as (there, here), spawn(1) as (outside,):
        sender, listener = RemoteSite(there, "sending"), RemoteSite(here, "listening")
        outsider = RemoteSite(outside, "outside")
        for site, runner in ((listener, "listening"), (outsider, "outside"), (sender, "sending")):
            await site.open(runner, bus={"channel": channel})
        await listener.host(**LISTENING)
        await sender.host("sender", "sender")
        await sender.call("sender", "greet", name="listener", count=1000)

        assert await listener.journal.wait("listener", "heard", 1000) == list(range(1000))
        [text, *_] = await outsider.journal.wait("bus", "refused", 1)
        assert "and this node has n" in text  # "none", if it dialled; "no key", if it was dialled
        assert await outsider.call("", "peers") == []
        assert len(await sender.call("", "peers")) == 1
        for site in (sender, listener, outsider):
            await site.close()


# -- changes, while five processes talk


class Talker:
    """A runner in a process of its own that says numbers without a pause, and hears all others."""

    def __init__(self, child: Child, name: str) -> None:
        self.name = name
        self.site = RemoteSite(child, name)
        self.said = 0
        self._is_over = False

    async def begin(self, channel: str, key: Any) -> None:
        """Start the runner."""
        await self.site.open(self.name, bus={"channel": channel, "key": key})
        await self.site.host(**{**LISTENING, "name": f"listener {self.name}"})
        await self.site.host("sender", f"sender {self.name}")

    async def talk(self) -> None:
        """Say one number after another, until it is over."""
        while not self._is_over:
            await self.site.call(f"sender {self.name}", "say", payload=[self.name, self.said])
            self.said += 1

    def end(self) -> None:
        """Fall silent soon."""
        self._is_over = True

    async def more(self) -> None:
        """Wait until fifty more of the numbers of each have been heard here."""
        listener = f"listener {self.name}"
        count = len(self.site.journal.of(listener, "heard"))
        await self.site.journal.wait(listener, "heard", count + 50 * 5)

    async def heard(self, other: Talker) -> list[int]:
        """What another one said, in the order in which it came; waits for all of it."""
        last = [other.name, other.said - 1]
        listener = f"listener {self.name}"
        notes = await self.site.journal.wait(listener, "heard", until=last)
        return [number for name, number in notes if name == other.name]


@asynccontextmanager
async def five_that_talk(keys: list[Any], channel: str) -> AsyncIterator[list[Talker]]:
    """Five processes; afterwards each has heard all of each, once, in order, and lost nobody."""
    async with spawn(5) as children, asyncio.TaskGroup() as talking:
        talkers = [Talker(child, f"t{number}") for number, child in enumerate(children)]
        for talker, key in zip(talkers, keys, strict=True):
            await talker.begin(channel, key)
        for talker in talkers:
            await talker.site.knows(*(f"listener {other.name}" for other in talkers))
            await talker.site.call("", "wait_for_peers", count=4, timeout_secs=TIMEOUT_SECS)
        tasks = [talking.create_task(talker.talk()) for talker in talkers]
        await asyncio.gather(*(talker.more() for talker in talkers))
        yield talkers
        await asyncio.gather(*(talker.more() for talker in talkers))
        for talker in talkers:
            talker.end()
        await asyncio.wait(tasks)
        for talker, other in product(talkers, talkers):
            assert await talker.heard(other) == list(range(other.said))
            assert talker.site.journal.of("bus", "messages lost") == []


async def test_rotation_while_five_processes_talk_loses_nothing() -> None:
    """Accept the new key, use it, drop the old one, process by process (R30b)."""
    old, new = (MeshKey.new().reveal() for _ in range(2))
    async with five_that_talk([old] * 5, uuid.uuid4().hex) as talkers:
        for change, key in (("accept", new), ("use", new), ("drop", old)):
            for talker in talkers:
                await talker.site.rekey(change, key)
                await talker.more()
    assert all(talker.site.journal.of("bus", "lost") == [] for talker in talkers)


async def test_revocation_while_five_processes_talk_loses_nothing() -> None:
    """A sixth is turned out by one after another, and hears no more; the others do (R30c)."""
    mesh, channel = MeshKey.new().reveal(), uuid.uuid4().hex
    runners = [RunnerKey.new() for _ in range(6)]
    public = [str(public_key(runner)) for runner in runners]
    keys = [{"use": mesh, "runner": runner.reveal(), "admit": public} for runner in runners]
    async with spawn(1) as [child], five_that_talk(keys[:5], channel) as talkers:
        outcast = Talker(child, "outcast")
        await outcast.begin(channel, keys[5])
        await outcast.more()
        for talker in talkers:
            await talker.site.rekey("revoke", public[5])
            [text] = await talker.site.journal.wait("bus", "lost")
            assert text.startswith("outcast")
        await outcast.site.journal.wait("bus", "lost", 5)
        before = len(outcast.site.journal.of("listener outcast", "heard"))
        await outcast.site.call("sender outcast", "say", payload=["outcast", 0])
        await asyncio.gather(*(talker.more() for talker in talkers))
        assert len(outcast.site.journal.of("listener outcast", "heard")) == before + 1  # its own
    for talker in talkers:
        heard = talker.site.journal.of(f"listener {talker.name}", "heard")
        assert not any(name == "outcast" for name, _ in heard)
