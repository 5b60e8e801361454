"""Liveness: who is busy, lost or gone, and what is remembered of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.scripted import ANNE, BERT, ROOM, Scripted, hello, interest

from zmqbus.config import DEFAULT
from zmqbus.core.outbox import (
    Attach,
    Departure,
    Detach,
    Hangup,
    PeerBusy,
    PeerGone,
    PeerJoined,
    PeerWithdrew,
)
from zmqbus.core.peers import PeerState
from zmqbus.packets import (
    NOBODY,
    Bye,
    Hello,
    Plane,
    Status,
    Welcome,
)


def test_link_that_stays_down_makes_the_peer_lost() -> None:
    """After ``grace_secs``, with the reason in words (R20, R22)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.link_down("tcp://anne")
    s.wait(1.1)

    (gone,) = s.seen(PeerGone)
    assert (gone.how, gone.reason) == (Departure.LOST, "its link was down for 1 s")
    assert s.node.peers[ANNE].state is PeerState.LOST
    assert s.did(Detach) == [Detach("tcp://anne/data")]


def test_data_plane_that_stays_down_makes_the_peer_lost_and_is_rebuilt() -> None:
    """Half dead is noticed, and both planes are made anew (F12, R4)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.reader(ANNE, False)
    s.wait(1.1)

    (gone,) = s.seen(PeerGone)
    assert gone.reason == "its data plane was down for 1 s"
    s.say(hello("anne", interest("anne"), heard=s.token()))
    assert s.did(Attach) == [Attach("tcp://anne/data")]
    s.reader(ANNE, True)
    s.say(Status(0, True))
    s.say(Welcome(ROOM, 0, 0))

    s.state(ANNE, Plane.SYSTEM, cursor=0)
    assert len(s.seen(PeerJoined)) == 1


def test_silent_peer_with_a_live_link_is_busy_not_lost() -> None:
    """No heartbeat but a link: its loop stands still (R20, F11)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.wait(30.0)

    (busy,) = s.seen(PeerBusy)
    assert busy.silent_secs > DEFAULT.busy_after_secs
    assert s.node.peers[ANNE].state is PeerState.BUSY
    assert s.seen(PeerGone) == []
    s.say(Status(0, True))
    assert s.node.peers[ANNE].state is PeerState.JOINED


def test_busy_peer_whose_connection_is_reset_is_not_lost() -> None:
    """I/O threads make the connection again; the handshake waits for the loop (R20, F11)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.link_down("tcp://anne")
    s.link_up("tcp://anne")
    s.wait(20.0)

    assert s.seen(PeerGone) == []
    s.say(hello("anne", interest("anne"), heard=s.token()))
    assert s.node.peers[ANNE].linked


def test_busy_peer_whose_data_plane_is_reset_is_not_lost() -> None:
    """Only a loop that turns makes its subscription again: grace begins when it does (R20, F11)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.wait(0.1)
    s.link_down("tcp://anne")
    s.reader(ANNE, False)
    s.link_up("tcp://anne")
    s.wait(20.0)
    assert s.seen(PeerGone) == []

    s.say(Status(s.token(), True, met=5))
    s.wait(0.9)
    s.reader(ANNE, True)
    s.wait(20.0)
    assert s.seen(PeerGone) == []


def test_data_plane_that_does_not_come_back_with_the_loop_makes_the_peer_lost() -> None:
    """The grace that waited for the peer to speak is no longer than any other (R20, F12)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.wait(0.1)
    s.reader(ANNE, False)
    s.wait(20.0)
    s.say(Status(0, True))
    s.wait(0.9)
    assert s.seen(PeerGone) == []
    s.wait(0.2)
    assert [gone.reason for gone in s.seen(PeerGone)] == ["its data plane was down for 1 s"]


def test_peer_that_stays_silent_without_a_data_plane_is_lost_in_the_end() -> None:
    """It may have lost us without our knowing: nobody stays half dead (R20, F12)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.wait(0.1)
    s.reader(ANNE, False)
    s.wait(DEFAULT.tombstone_secs - 0.1)
    assert s.seen(PeerGone) == []
    s.wait(0.2)
    assert [gone.how for gone in s.seen(PeerGone)] == [Departure.LOST]


def test_observer_that_was_late_itself_calls_nobody_busy() -> None:
    """Its own lag is taken off the silence of others (R21, D15)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.now += 10.0
    s.node.advance(s.now)
    s.step()

    assert s.seen(PeerBusy) == []
    assert s.sent(Status)[-1].lag_us > 9e6


@pytest.mark.parametrize("is_up", [True, False])
def test_observer_that_was_late_itself_calls_nobody_lost(is_up: bool) -> None:
    """That a link is up again may wait to be read: all have another grace (R21, D15)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.link_down("tcp://anne")
    s.now += 10.0
    s.node.advance(s.now)
    s.step()
    assert s.seen(PeerGone) == []

    if is_up:
        s.link_up("tcp://anne")
    s.wait(DEFAULT.grace_secs)

    assert len(s.seen(PeerGone)) == (0 if is_up else 1)


def test_status_tells_round_trip_and_lag() -> None:
    """One echo gives the round trip, whatever the clocks show (R20)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.say(Status(0, True, sent_at_us=77_000_000, echo_us=int((s.now - 0.03) * 1e6), lag_us=5_000))

    peer = s.node.peers[ANNE]
    assert peer.rtt_secs == pytest.approx(0.03, abs=1e-5)
    assert peer.lag_secs == pytest.approx(0.005)
    s.wait(0.6)
    echoed = s.sent(Status)[-1].echo_us
    assert 77_000_000 < echoed < 78_000_000


def test_goodbye_is_told_and_leaves_a_tombstone() -> None:
    """The departed are not taken back by a late hello (R10, R23)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.say(Bye("it is done"))

    (gone,) = s.seen(PeerGone)
    assert (gone.how, gone.reason) == (Departure.LEFT, "it is done")
    s.say(hello("anne"), ANNE, NOBODY)
    assert s.node.counters["hello_after_bye"] == 1
    assert s.node.peers == {}


def test_who_was_lost_comes_back_by_its_own_hello() -> None:
    """A false verdict is healed by the one who knows better (R10)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.link_down("tcp://anne")
    s.node.refused(1, s.now)

    s.greet(ANNE, "anne", interest("anne"))

    assert s.node.peers[ANNE].confirmed
    s.wait(DEFAULT.tombstone_secs + 1)


def test_lost_peer_is_told_hello_until_it_is_forgotten() -> None:
    """It may have given us up without knowing; after a minute it is let go (R10)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.reader(ANNE, False)
    s.wait(1.1)
    first = s.sent(Hello, ANNE)[0].token
    s.wait(10)
    assert len(s.sent(Hello, ANNE)) > 5
    assert {h.token for h in s.sent(Hello, ANNE)} == {first}

    s.wait(DEFAULT.tombstone_secs)

    assert s.node.peers == {}
    assert s.did(Hangup) == [Hangup(1)]


@pytest.mark.parametrize("by", ["hello", "status"])
def test_peer_that_has_forgotten_us_is_met_anew(by: str) -> None:
    """Streams that only one side remembers do not go on (R3)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    if by == "hello":
        s.say(hello("anne", interest("anne"), heard=s.tokens["anne"], met=9))
    else:
        s.say(Status(s.tokens["anne"], True, met=9))

    (gone,) = s.seen(PeerGone)
    assert gone.reason == "it had given this node up"
    assert s.node.peers[ANNE].confirmed
    assert s.channel.members[ANNE].inlets is None
    assert len(s.sent(Welcome)) == 1


def test_peer_that_does_not_know_us_any_more_is_answered_with_a_hello() -> None:
    """A status would be one of a stranger to it (R3)."""
    s = Scripted()
    s.meet(ANNE, "anne")

    s.say(hello("anne", interest("anne"), met=0), ANNE, NOBODY)

    assert [h.heard for h in s.sent(Hello, ANNE)] == [7]
    assert s.node.peers[ANNE].linked


def test_peer_that_falls_silent_before_it_was_linked_is_told_hello() -> None:
    """It may have forgotten us, and take what we say for a stranger's (R3)."""
    s = Scripted()
    s.greet(ANNE, "anne", interest("anne"))
    s.clear()
    s.wait(DEFAULT.busy_after_secs)
    assert s.sent(Hello) == []

    s.wait(DEFAULT.heartbeat_secs)

    assert {h.token for h in s.sent(Hello, ANNE)} == {s.tokens["anne"]}


FEW = replace(DEFAULT, heartbeats_per_sec=0.5)
"""So that two linked peers share a heartbeat of two seconds, and each hears one every four."""


def test_many_linked_peers_share_the_heartbeats() -> None:
    """Each of n hears one every n / `heartbeats_per_sec` and is told so; who is not linked, all."""
    s = Scripted(FEW)
    s.meet(ANNE, "anne")
    s.greet(BERT, "bert", interest("bert"))
    s.wait(DEFAULT.heartbeat_secs)
    s.clear()

    s.wait(8.0)

    assert [status.every_ms for status in s.sent(Status, ANNE)] == [4000, 4000]
    assert [status.every_ms for status in s.sent(Status, BERT)] == [500] * 16


def test_peer_that_announced_its_silence_is_not_busy() -> None:
    """What it said it would take is added to ``busy_after_secs`` (R20)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.say(Status(0, True, every_ms=4000))
    s.wait(DEFAULT.busy_after_secs + 3.5)
    assert s.seen(PeerBusy) == []

    s.wait(2 * DEFAULT.heartbeat_secs)

    assert len(s.seen(PeerBusy)) == 1


def test_silent_peer_that_was_never_reached_is_left_to_its_dials() -> None:
    """There is no link to say anything on."""
    s = Scripted()
    s.say(hello("anne"), ANNE, NOBODY)
    s.wait(DEFAULT.busy_after_secs + 1.0)

    assert s.sent(Hello) == []
    s.wait(DEFAULT.tombstone_secs)
    assert s.node.peers == {}


def test_reached_but_never_linked_peer_is_forgotten_after_its_link_broke() -> None:
    """Nobody waits for it, so it is let go after a minute (R10)."""
    s = Scripted()
    s.greet(ANNE, "anne", interest("anne"))
    s.link_down("tcp://anne")
    s.wait(DEFAULT.tombstone_secs + 1.0)

    assert s.node.peers == {}
    assert s.did(Detach) == [Detach("tcp://anne/data")]


def test_peer_that_dies_before_it_was_linked_withdraws_in_time() -> None:
    """What was heard of it is not believed for a minute (R20, R24, F3)."""
    s = Scripted()
    s.greet(ANNE, "anne", interest("anne"))
    s.say(Welcome(ROOM, 0, 0, (b"snapshot",)))
    s.link_down("tcp://anne")
    s.wait(DEFAULT.grace_secs)

    (withdrew,) = s.seen(PeerWithdrew)
    assert (withdrew.how, withdrew.reason) == (Departure.LOST, "its link was down for 1 s")
    s.wait(DEFAULT.tombstone_secs)
    assert s.node.peers == {}
    assert len(s.seen(PeerWithdrew)) == 1


def test_busy_peer_whose_handshake_is_late_is_not_forgotten() -> None:
    """However long its loop stands, as long as its link lives (R20)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.link_down("tcp://anne")
    s.link_up("tcp://anne")
    s.wait(2 * DEFAULT.tombstone_secs)

    assert ANNE in s.node.peers
    assert s.seen(PeerGone) == []


def test_lost_peer_that_has_forgotten_us_is_not_told_gone_twice() -> None:
    """One loss, one event."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.reader(ANNE, False)
    s.wait(1.1)
    s.say(hello("anne", interest("anne"), heard=s.token(), met=9))

    assert len(s.seen(PeerGone)) == 1
    assert s.node.peers[ANNE].confirmed


def test_goodbye_of_a_lost_peer_is_no_second_event() -> None:
    """It was told gone when it was lost."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.link_down("tcp://anne")
    s.reader(ANNE, False)
    s.wait(1.1)

    s.say(Bye())

    assert len(s.seen(PeerGone)) == 1
    assert s.node.peers == {}


def test_peer_given_up_by_the_caller_is_lost_once() -> None:
    """A system plane that nobody acknowledges is as good as none (R16)."""
    s = Scripted(replace(DEFAULT, system_hwm_msgs=2))
    s.meet(ANNE, "anne")

    s.publish(b"a", b"b", b"c", plane=Plane.SYSTEM)
    assert s.node.give_up_waiting(s.channel, Plane.SYSTEM, s.now) == [ANNE]
    assert s.node.give_up_waiting(s.channel, Plane.SYSTEM, s.now) == []
    s.step()

    (gone,) = s.seen(PeerGone)
    assert "it left 2 system messages unacknowledged for 2 s" in gone.reason


def test_nobody_is_given_up_after_leaving() -> None:
    """Whoever still waits then is told whom it waited for, and no more."""
    s = Scripted(replace(DEFAULT, system_hwm_msgs=1))
    s.meet(ANNE, "anne")
    s.publish(b"a", b"b", plane=Plane.SYSTEM)
    s.node.leave("bye")
    s.step()

    assert s.node.give_up_waiting(s.channel, Plane.SYSTEM, s.now) == [ANNE]
    assert s.node.take_events() == []
