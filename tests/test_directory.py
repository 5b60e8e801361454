"""Who is on a channel, and waiting for somebody."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from pipecat.bus import BusWorkerRegistryMessage
from pipecat.registry.types import WorkerRegistryEntry
from support.scripted import ANNE, Scripted, batch

from zmqbus.core import Node
from zmqbus.core.channel import Membership
from zmqbus.directory import Directory
from zmqbus.errors import BusStateError
from zmqbus.packets import Interest, NodeId, Status, channel_id

A, B, C = NodeId(b"a" * 8), NodeId(b"b" * 8), NodeId(b"c" * 8)
OURS = Interest(channel_id("acme"), "acme", "ra", 1, ("a",))
THEIRS = replace(OURS, runner="rb", subscribers=("b",))


@pytest.fixture
def directory() -> Directory:
    """That of node A on a channel where nobody is yet."""
    node = Node(A)
    return Directory(node, node.open_channel(OURS, 0.0))


def announce(directory: Directory, runner: str, *workers: str, **parents: str) -> None:
    """Let a runner announce its workers, and children with their parents."""
    entries = [WorkerRegistryEntry(name=name) for name in workers]
    entries += [WorkerRegistryEntry(name=name, parent=parents[name]) for name in parents]
    directory.note_registry(BusWorkerRegistryMessage(source=runner, runner=runner, workers=entries))


def admit(directory: Directory, node: NodeId, interest: Interest, *, joined: bool = True) -> None:
    """Let a peer be on the channel."""
    directory._channel.members[node] = Membership(
        interest, present=True, admitted=True, joined=joined
    )
    if joined:
        directory.note_joined(node, interest)


def test_peers_are_those_present_and_joined_those_reached(directory: Directory) -> None:
    """Whoever is on the way in is listed, and not counted as joined."""
    admit(directory, B, THEIRS)
    admit(directory, C, replace(THEIRS, runner="rc"), joined=False)
    directory._channel.members[NodeId(b"d" * 8)] = Membership(THEIRS)
    assert [peer.name for peer in directory.peers] == ["rb", "rc"]
    assert [peer.name for peer in directory.joined] == ["rb"]


def test_peer_that_the_core_has_forgotten_is_lost(directory: Directory) -> None:
    """There is still something to say of it."""
    peer = directory.peer(B, THEIRS)
    assert (peer.name, peer.state, peer.host, peer.pid, peer.rtt_secs) == (
        "rb",
        "lost",
        "",
        0,
        None,
    )


def test_health_of_a_peer_is_that_of_its_links_and_streams() -> None:
    """Each plane and each way for itself, and the holes in what it sends (F12)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    directory = Directory(s.node, s.channel)

    def health() -> tuple[bool | int, ...]:
        (peer,) = directory.peers
        planes = peer.system_up, peer.data_out, peer.data_in
        return (*planes, peer.open_gaps, peer.closed_gaps)

    assert directory.peers[0].endpoint == "tcp://anne"
    assert health() == (True, True, True, 0, 0)
    s.say(batch(2, b"b"))
    assert health() == (True, True, True, 1, 0)
    s.say(batch(1, b"a"))
    assert health() == (True, True, True, 0, 1)
    s.reader(ANNE, False)
    assert health() == (True, False, True, 0, 1)
    s.say(Status(0, False))
    assert health() == (True, False, False, 0, 1)
    s.link_down("tcp://anne")
    assert health() == (False, False, False, 0, 1)


def test_peer_that_has_gone_is_shown_as_it_was_last_seen(directory: Directory) -> None:
    """With its new state and its last workers, until they are forgotten, roots and children."""
    admit(directory, B, THEIRS)
    announce(directory, "rb", "llm", tts="llm")
    assert directory.peers[0].workers == ("llm", "tts")
    gone = directory.note_gone(B, replace(THEIRS, subscribers=("b", "c")), "left")
    assert (gone.name, gone.state, gone.subscribers) == ("rb", "left", ("b", "c"))
    assert gone.workers == ("llm", "tts")
    assert directory.forget("rb") == ("llm",)
    assert directory.peer(B, THEIRS).workers == ()
    assert directory.forget("rb") == ()


def test_close_tells_whose_workers_were_known(directory: Directory) -> None:
    """So that they can leave the registry."""
    announce(directory, "ra", "desk")
    announce(directory, "rb")
    assert directory.close() == ["ra", "rb"]


def test_only_the_last_announcement_of_a_runner_that_is_there_is_its_newest(
    directory: Directory,
) -> None:
    """Neither an earlier one, nor one of a predecessor of the same name, nor any once it went."""
    before, now = (BusWorkerRegistryMessage(source="rb", runner="rb", workers=[]) for _ in "12")
    directory.note_registry(before)
    assert directory.is_newest(before)
    directory.forget("rb")
    assert not directory.is_newest(before)
    directory.note_registry(now)
    assert [directory.is_newest(message) for message in (before, now)] == [False, True]


async def test_worker_is_found_wherever_it_is(directory: Directory) -> None:
    """Here, there, already or later; who waits is woken by the announcement."""
    announce(directory, "ra", "desk")
    assert await directory.wait_for_worker("desk", None) == "ra"
    waiting = asyncio.create_task(directory.wait_for_worker("llm", None))
    await asyncio.sleep(0)
    announce(directory, "rb", "tts")
    await asyncio.sleep(0)
    assert not waiting.done()
    announce(directory, "rb", "tts", "llm")
    assert await waiting == "rb"


async def test_worker_that_is_withdrawn_is_not_found(directory: Directory) -> None:
    """A newer announcement replaces the older one; a departure ends all."""
    announce(directory, "rb", "llm")
    announce(directory, "rb", "tts")
    with pytest.raises(
        TimeoutError, match=r"No worker 'llm' on channel 'acme' within 0 s; .*workers: tts"
    ):
        await directory.wait_for_worker("llm", 0)


async def test_peers_are_waited_for_until_there_are_enough(directory: Directory) -> None:
    """All that have joined are returned, also more than were asked for."""
    waiting = asyncio.create_task(directory.wait_for_peers(1, None))
    await asyncio.sleep(0)
    admit(directory, B, THEIRS)
    admit(directory, C, replace(THEIRS, runner="rc"))
    assert [peer.name for peer in await waiting] == ["rb", "rc"]
    with pytest.raises(
        TimeoutError, match=r"No 3 peers on channel 'acme' within 0 s; peers: rb \(.*, rc \("
    ):
        await directory.wait_for_peers(3, 0)


async def test_waiting_ends_with_the_channel(directory: Directory) -> None:
    """Who waits when it is closed, or later, gets an error that says what for."""
    waiting = asyncio.create_task(directory.wait_for_worker("llm", None))
    await asyncio.sleep(0)
    directory.close()
    with pytest.raises(BusStateError, match="stopped while worker 'llm'"):
        await waiting
    with pytest.raises(BusStateError):
        await directory.wait_for_peers(1, None)
