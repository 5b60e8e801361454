"""Whether a bus lives, whether it is ready, and why not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest
from support.buses import Mesh, data, open_mesh, until

from zmqbus import MeshConfig
from zmqbus.health import NOT_STARTED, Health, examine
from zmqbus.views import Peer


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A meeting place of this test's own."""
    monkeypatch.setenv("ZMQBUS_RUNTIME_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
async def mesh() -> AsyncIterator[Mesh]:
    """Buses that are stopped at the end, and leave nothing."""
    async with open_mesh() as opened:
        yield opened


def peer(state: str = "joined", **ways: bool) -> Peer:
    """A peer of which all works, unless said otherwise."""
    ways = {"system_up": True, "data_out": True, "data_in": True, **ways}
    return Peer("desk", "a3f1" + "0" * 12, state, "box", 42, "", (), (), None, 0.0, 0, **ways,
                open_gaps=0, closed_gaps=0)  # fmt: skip


def health(*peers: Peer, **facts: Any) -> Health:
    """The health of a bus of which all is well, unless said otherwise."""
    well = {"admitted": True, "stalled": False, "lag_secs": 0.0, "lost_msgs": 0}
    return examine(endpoint="tcp://here", peers=peers, late_secs=2.0, **{**well, **facts})


def test_bus_that_is_alone_is_healthy() -> None:
    """The first runner of a mesh has nobody to talk to, and is ready all the same."""
    alone = health()
    assert (alone.ok, alone.ready, alone.reasons, alone.peers) == (True, True, (), 0)


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"lag_secs": 2.5}, "its event loop is 2.5 s late"),
        ({"stalled": True}, "its subscribers are too far behind to take more"),
    ],
)
def test_what_passes_is_a_matter_of_readiness(facts: dict[str, Any], reason: str) -> None:
    """A restart would mend nothing, so liveness is not touched."""
    hindered = health(**facts)
    assert (hindered.ok, hindered.ready, hindered.reasons) == (True, False, (reason,))


def test_half_dead_link_is_named_with_what_is_dead() -> None:
    """One that is on its way in is none, nor one that is busy (R20)."""
    known = peer("connecting", data_in=False), peer("busy"), peer("unreachable", data_in=False)
    hindered = health(*known)
    link = "desk (a3f1, pid 42 on box): no data from it"
    assert (hindered.ok, hindered.half_dead) == (True, (link,))
    assert hindered.reasons == (f"half-dead link: {link}",)
    assert hindered.peers == 1


def test_name_that_is_taken_is_a_fault() -> None:
    """Nobody hears this runner until it is started under another name (R6)."""
    assert health(admitted=False).faults == ("an older runner on the channel has the same name",)
    assert not health(admitted=False).ok


def test_health_is_read_only() -> None:
    """It is a snapshot."""
    with pytest.raises(FrozenInstanceError):
        NOT_STARTED.started = True  # type: ignore[misc]


async def test_bus_is_healthy_from_start_to_stop(mesh: Mesh) -> None:
    """One call for liveness and readiness, in a handler of an HTTP server, say."""
    a, b = await mesh.make(start=False), await mesh.make(start=False)
    assert a.health() == NOT_STARTED
    assert a.health().reasons == ("the bus is not started",)
    await a.start()
    await b.start()
    assert a.health().ready
    await a.stop()
    assert not a.health().ok


async def test_bus_counts_who_has_joined_and_where_it_is(mesh: Mesh) -> None:
    """What a probe shows beside its answer."""
    a, _, b, _ = await mesh.pair()
    told = a.health()
    assert (told.started, told.endpoint, told.peers, told.lost_msgs) == (True, a.endpoint, 1, 0)
    assert b.health().half_dead == ()


async def test_bus_with_a_subscriber_that_is_behind_is_not_ready(mesh: Mesh) -> None:
    """And is again when that has caught up (R18)."""
    config = MeshConfig(inbox_msgs=32)
    a, _, b, inbox = await mesh.pair(config=config)
    inbox.gate.clear()
    for number in range(64):
        await a.send(data(number))
    await until(b, lambda: b.health().stalled)
    assert (b.health().ok, b.health().ready) == (True, False)
    inbox.gate.set()
    await inbox.wait(64)
    await until(b, lambda: b.health().ready)
