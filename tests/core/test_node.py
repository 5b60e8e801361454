"""The door of the core: who is heard, what comes out, and that nothing a stranger says raises."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.random_packets import packets
from support.scripted import ANNE, BERT, ME, ROOM, Scripted, batch, hello, interest

from zmqbus.config import DEFAULT
from zmqbus.core.outbox import Delivered, PeerGone, PeerJoined
from zmqbus.packets import (
    NOBODY,
    Announce,
    Batch,
    Bye,
    Gone,
    Hello,
    Nack,
    NodeId,
    Packet,
    Plane,
    Refuse,
    Status,
    StreamState,
    Welcome,
)

STRANGER = NodeId(b"stranger")


@pytest.mark.parametrize("to", [NodeId(b"somebody"), NOBODY])
def test_packet_for_another_incarnation_is_counted(to: NodeId) -> None:
    """What was queued for a dead process is not for its successor (R5a, Z08)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.say(Bye(), ANNE, to)

    assert s.node.counters["not_for_us"] == 1
    assert ANNE in s.node.peers


@pytest.mark.parametrize("packet", [Bye(), Status(0, True), Announce(), Welcome(ROOM, 0, 0)])
def test_packet_before_any_hello_is_counted(packet: Packet) -> None:
    """A hello comes first (R3)."""
    s = Scripted()
    s.say(packet, STRANGER)

    assert s.node.counters["stranger"] == 1


def test_broadcast_is_for_nobody_in_particular() -> None:
    """Data and first hellos have no addressee."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.say(batch(1, b"a"), ANNE, NOBODY)

    assert s.seen(Delivered) == [Delivered(ROOM, ANNE, Plane.DATA, [b"a"])]


def test_actions_and_events_are_given_once() -> None:
    """Both are drained by taking them."""
    s = Scripted()
    s.node.receive(hello("anne"), ANNE, NOBODY, s.now)

    assert len(s.node.take_actions()) == 1
    assert s.node.take_actions() == []
    assert s.node.take_events() == []


def test_reader_that_goes_is_no_reader_of_a_later_peer() -> None:
    """Subscriptions are remembered while they last, also those of strangers (R4)."""
    s = Scripted()
    s.reader(ANNE, True)
    s.reader(ANNE, False)
    s.reader(BERT, False)
    s.greet(ANNE, "anne")

    assert not s.node.peers[ANNE].reader_seen


def test_lagging_peer_is_given_up_waiting_for_but_not_lost() -> None:
    """Data waits for a slow peer for a while, then for the others only (R17, F13)."""
    s = Scripted(replace(DEFAULT, window_msgs=2))
    s.meet(ANNE, "anne")
    s.meet(BERT, "bert")
    s.publish(b"a", b"b", b"c")
    s.state(BERT, Plane.DATA, cursor=3)

    assert s.node.give_up_waiting(s.channel, Plane.DATA, s.now) == [ANNE]
    assert s.channel.outlets[Plane.DATA].blockers() == []
    s.step()
    assert s.seen(PeerGone) == []


def test_peer_outside_the_audience_is_not_given_up_on() -> None:
    """Who waited for one has not waited for the others (R17)."""
    s = Scripted(replace(DEFAULT, window_msgs=2))
    s.meet(ANNE, "anne")
    s.meet(BERT, "bert")
    s.publish(b"a", b"b", b"c")

    assert s.node.give_up_waiting(s.channel, Plane.DATA, s.now, (BERT,)) == [BERT]
    assert s.channel.outlets[Plane.DATA].blockers() == [ANNE]


def test_hastened_acknowledgements_tell_every_peer_what_it_is_owed() -> None:
    """So that a leaving node need not wait for heartbeats (R23)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.publish(b"a")
    s.wait(0.01)
    s.clear()

    s.node.hasten_acks(s.now)
    s.wait(0.0)

    assert s.sent(Status)[-1].states == (StreamState(ROOM, Plane.DATA, 1, -1),)


def test_leaving_sends_what_was_published_before_the_goodbye() -> None:
    """The last words are not lost (R23, F25, P18)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.node.publish(s.channel, Plane.SYSTEM, None, b"end")
    s.node.leave("done")
    s.step()

    assert [type(p) for p in s.sent(object)] == [Batch, Bye]


def test_repr_tells_the_story() -> None:
    """Who is where, and how much is kept."""
    s = Scripted()
    assert repr(s.node) == f"<Node {ME.hex()[:4]} [alone | history 0 msgs]>"
    s.meet(ANNE, "anne")
    s.say(hello("bert"), BERT, NOBODY)
    s.publish(b"a")

    assert repr(s.node) == f"<Node {ME.hex()[:4]} [1 connecting, 1 joined | history 1 msgs]>"


def test_deadline_of_a_node_that_waits_for_nothing_is_none() -> None:
    """Before its start nothing is due, and advancing is nothing."""
    s = Scripted()
    s.node.leave("done")

    assert s.node.deadline() is None
    s.node.advance(99.0)


def _addressed(packet: Packet) -> NodeId:
    return NOBODY if isinstance(packet, Hello) else ME


@settings(max_examples=100)
@given(st.lists(st.tuples(packets, st.sampled_from([ANNE, STRANGER])), max_size=12), st.data())
def test_no_packet_raises_or_harms_another_peer(
    heard: list[tuple[Packet, NodeId]], data: st.DataObject
) -> None:
    """Whatever Anne and a stranger say, Bert is heard and repaired as before (R26)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.meet(BERT, "bert")
    for packet, sender in heard:
        if isinstance(packet, Batch | Welcome | Nack | Gone | Refuse):
            packet = replace(packet, channel=ROOM)
        s.say(packet, sender, _addressed(packet))
        s.wait(data.draw(st.sampled_from([0.0, 0.3, 2.0])))
        s.say(Status(0, True), BERT)

    s.say(batch(1, b"from bert"), BERT)
    s.publish(b"for all")
    s.say(Nack(ROOM, Plane.DATA, 0, 1), BERT)
    s.wait(30.0)

    assert [e for e in s.seen(PeerGone) if e.node == BERT] == []
    assert [e.bodies for e in s.seen(Delivered) if e.node == BERT] == [[b"from bert"]]
    assert (BERT, (b"for all",)) in [(r, b.bodies) for r, b in s.published()]
    assert s.seen(PeerJoined) == [e for e in s.seen(PeerJoined) if e.node != BERT]


@settings(max_examples=100)
@given(
    st.lists(
        st.one_of(
            st.builds(
                Batch,
                st.just(ROOM),
                st.sampled_from(Plane),
                st.integers(0, 30),
                st.integers(0, 30),
                st.lists(st.binary(max_size=2), max_size=4).map(tuple),
                st.lists(
                    st.tuples(st.just(ME), st.integers(0, 30), st.integers(0, 30)), max_size=1
                ).map(tuple),
                st.integers(0, 30),
            ),
            st.builds(
                Gone, st.just(ROOM), st.sampled_from(Plane), st.integers(0, 30), st.integers(0, 30)
            ),
            st.builds(
                Nack, st.just(ROOM), st.sampled_from(Plane), st.integers(0, 30), st.integers(0, 30)
            ),
            st.builds(
                lambda states: Status(0, True, states=tuple(states)),
                st.lists(
                    st.builds(
                        StreamState,
                        st.just(ROOM),
                        st.sampled_from(Plane),
                        st.integers(-1, 30),
                        st.integers(-1, 30),
                    ),
                    max_size=2,
                ),
            ),
            st.builds(Welcome, st.just(ROOM), st.integers(0, 30), st.integers(0, 30)),
            st.just(Announce((interest("anne"),))),
            st.just(Announce(closed=(ROOM,))),
        ),
        max_size=25,
    )
)
def test_no_nearly_right_packet_raises(heard: list[Packet]) -> None:
    """A liar that knows the protocol fills no memory and breaks nothing (R25, R26)."""
    s = Scripted(replace(DEFAULT, early_msgs=8, window_msgs=8))
    s.meet(ANNE, "anne")
    s.meet(BERT, "bert")
    for packet in heard:
        s.say(packet)
        s.publish(b"x")
        s.wait(0.01)
        member = s.channel.members.get(ANNE)
        for inlet in member.inlets or () if member else ():
            assert inlet.early_msgs <= 8

    assert s.node.peers[ANNE].linked
    s.say(batch(1, b"from bert"), BERT)
    assert s.seen(Delivered)[-1].node == BERT


def test_address_is_up_while_a_connection_to_it_stands() -> None:
    """Whoever is there, and whether it says anything or not."""
    s = Scripted()
    s.node.discovered(("tcp://anne",), s.now)
    s.step()
    assert not s.node.is_up("tcp://anne")
    s.link_up("tcp://anne")
    assert s.node.is_up("tcp://anne")
    assert not s.node.is_up("tcp://bert")
    s.link_down("tcp://anne")
    assert not s.node.is_up("tcp://anne")


def test_lag_is_how_late_the_last_timer_was() -> None:
    """What a blocked loop leaves behind, until a timer is in time again (R21)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    due = s.node.deadline()
    assert due is not None
    s.node.advance(due + 3.0)
    assert s.node.lag_secs == pytest.approx(3.0)
    due = s.node.deadline()
    assert due is not None
    s.node.advance(due)
    assert s.node.lag_secs == 0.0
