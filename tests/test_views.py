"""What people see of peers and counts."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import pytest

from zmqbus.views import BusStats, Peer

PEER = Peer(
    name="desk",
    node="a3f1000000000000",
    state="joined",
    host="box",
    pid=42,
    endpoint="tcp://127.0.0.1:1",
    subscribers=("desk",),
    workers=(),
    rtt_secs=None,
    lag_secs=0.0,
    behind_msgs=0,
    system_up=True,
    data_out=True,
    data_in=True,
    open_gaps=0,
    closed_gaps=0,
)


def test_peer_says_who_and_where_it_is() -> None:
    """In a log line: its name, the start of its id, its process and host."""
    assert str(PEER) == "desk (a3f1, pid 42 on box)"
    assert str(replace(PEER, name="")) == "observer (a3f1, pid 42 on box)"


def test_views_are_read_only() -> None:
    """They are snapshots: nobody can change the bus through them."""
    with pytest.raises(FrozenInstanceError):
        PEER.state = "lost"  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        BusStats().peers = 1  # type: ignore[misc]


def test_stats_of_nothing_are_zero() -> None:
    """Two of them share no dictionary."""
    one, other = BusStats(), BusStats()
    assert one == other
    assert one.dropped is not other.dropped
    assert (one.sent_msgs, one.dropped, one.counters) == (0, {}, {})
