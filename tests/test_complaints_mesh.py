"""What users complain about with membership: the dead that come back, the quiet that are lost."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import zmq
from support.buses import Inbox, Mesh, data, open_mesh, until
from support.journal import TIMEOUT_SECS
from support.scripted import hello, interest

from zmqbus import MeshConfig, wire
from zmqbus.core.outbox import Action, PeerGone, PeerJoined, Publish, Send
from zmqbus.packets import NOBODY, NodeId, Plane, Refusal, Refuse
from zmqbus.sim import Sim
from zmqbus.sim.network import Host

HASTY = MeshConfig(heartbeat_secs=0.1, busy_after_secs=0.5, link_timeout_secs=0.5, grace_secs=0.2)


@pytest.fixture
async def mesh() -> AsyncIterator[Mesh]:
    """Buses that are stopped at the end, and leave nothing."""
    async with open_mesh() as opened:
        yield opened


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where processes of this host meet."""
    monkeypatch.setenv("ZMQBUS_RUNTIME_DIR", str(tmp_path / "place"))
    return tmp_path / "place"


def no_change(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing happens."""


def no_place(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Discovery finds nobody any more."""
    shutil.rmtree(place)


def clock_ahead(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wall clock jumps forward."""
    _set_clock(monkeypatch, 3600)


def clock_back(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wall clock jumps back."""
    _set_clock(monkeypatch, -3600)


def _set_clock(monkeypatch: pytest.MonkeyPatch, secs: int) -> None:
    now, now_ns = time.time, time.time_ns
    monkeypatch.setattr(time, "time", lambda: now() + secs)
    monkeypatch.setattr(time, "time_ns", lambda: now_ns() + secs * 10**9)


@pytest.mark.parametrize("change", [no_change, no_place, clock_ahead, clock_back])
async def test_quiet_peers_keep_each_other(
    mesh: Mesh,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path, pytest.MonkeyPatch], None],
) -> None:
    """Without traffic or discovery, and whatever the clock shows, nobody is lost (D07, D14)."""
    inboxes = [Inbox("a"), Inbox("b")]
    a, b = [await mesh.make(i, discovery=("local",), peers=(), config=HASTY) for i in inboxes]
    await mesh.meet(a, b)
    told: list[str] = []
    for event in ("lost", "left", "busy"):
        a.add_event_handler(f"on_peer_{event}", lambda *args: told.append(str(args)))
        b.add_event_handler(f"on_peer_{event}", lambda *args: told.append(str(args)))
    change(place, monkeypatch)
    heartbeats = iter(range(12))  # in which a peer that says nothing is lost
    await until(a, lambda: next(heartbeats, None) is None)
    await a.send(data("still there"))
    await inboxes[1].wait()
    assert told == []


def test_dead_are_neither_gossiped_nor_dialled_again() -> None:
    """A newcomer never hears of one that was killed; all forget it in a minute (D08, F8)."""
    sim = Sim()
    for name in ("a", "b", "c"):
        sim.add(name, seeds=() if name == "a" else ("a",))
    sim.run(5)
    dead = sim.hosts["c"].core.id
    sim.kill("c")
    sim.run(1)
    sim.add("d", seeds=("b",))
    sim.run(30)
    sim.assert_settled()
    living = [sim.hosts[name] for name in ("a", "b", "d")]
    assert "sim://c" not in {link.endpoint for host in living for link in host.links.values()}
    assert [host.name for host in living if dead in host.core.peers] == []
    assert {type(event) for _, name, event in sim.history if name == "d"} >= {PeerJoined}
    assert not [e for _, name, e in sim.history if name == "d" and isinstance(e, PeerGone)]


@pytest.mark.parametrize("seed", range(4))
def test_peers_that_dial_each_other_at_once_hear_everything_once(seed: int) -> None:
    """Each knows the other and starts in the same moment: one peer, one copy (D17, P07)."""
    sim = Sim(seed, jitter_secs=0.005)
    pairs = [(f"left{n}", f"right{n}") for n in range(5)]
    for n, (left, right) in enumerate(pairs):
        for name, other in ((left, right), (right, left)):
            sim.add(name, seeds=(other,), channels=(f"channel{n}",))
    for _ in range(50):
        sim.run(0.001)
        for n, pair in enumerate(pairs):
            for name in pair:
                for plane in Plane:
                    sim.publish(name, channel=f"channel{n}", plane=plane, msgs=10)
    sim.run(5)
    sim.assert_settled()
    assert len([e for _, _, e in sim.history if isinstance(e, PeerJoined)]) == 2 * len(pairs)
    assert sim.ledger.counters["lost"] == 0


class MeteredSim(Sim):
    """Counts the bytes of all packets sent."""

    sent_bytes = 0

    def _do(self, host: Host, action: Action) -> None:
        match action:
            case Send(_, addressee, packet):
                self.sent_bytes += len(wire.encode_system(packet, host.core.id, addressee))
            case Publish(reader, batch):
                self.sent_bytes += len(wire.encode_data(batch, host.core.id, reader))
        super()._do(host, action)


def test_idle_link_costs_little_however_many_workers_there_are() -> None:
    """2,000 workers on each of six runners are told once, not every second (D21, R11)."""
    sim = MeteredSim()
    names = [f"n{n}" for n in range(6)]
    for name in names:
        sim.add(name, seeds=names[:1], workers=[f"{name} worker {n}" for n in range(2000)])
    sim.run(10)
    sim.assert_settled()
    told_bytes, sim.sent_bytes = sim.sent_bytes, 0
    sim.run(60)
    links = len(names) * (len(names) - 1)
    assert told_bytes > links * 2000 * len("n1 worker 1")
    assert sim.sent_bytes < links * 60 * 1000


async def test_stranger_of_another_version_is_turned_down_in_words(mesh: Mesh) -> None:
    """Both sides read which versions there are: neither is left with silence (F24, R3)."""
    bus = await mesh.make(Inbox("a"))
    told: asyncio.Queue[str] = asyncio.Queue()
    bus.add_event_handler("on_peer_refused", lambda _bus, text: told.put_nowait(text))
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    with context, context.socket(zmq.DEALER) as stranger:
        stranger.linger, stranger.rcvtimeo = 0, int(TIMEOUT_SECS * 1000)
        stranger.connect(bus.endpoint)
        words = hello("127.0.0.1:9", interest("newer", name=mesh.channel), versions=(98, 99))
        stranger.send(wire.encode_system(words, NodeId(b"stranger"), NOBODY))
        _, _, answer = wire.decode_system(await asyncio.to_thread(stranger.recv))
    assert isinstance(answer, Refuse)
    assert answer.reason is Refusal.VERSION
    assert "98 to 99" in answer.text
    assert "98 to 99" in await asyncio.wait_for(told.get(), TIMEOUT_SECS)
