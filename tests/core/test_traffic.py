"""What travels on the streams: holes and their repair, acknowledgement, and who lies about it."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import pytest
from support.scripted import ANNE, BERT, ROOM, Scripted, batch, interest

from zmqbus.config import DEFAULT
from zmqbus.core.outbox import Delivered, GapOpened, GapRepaired, MessageForgone, MessagesLost
from zmqbus.packets import (
    Batch,
    Bye,
    Gone,
    Nack,
    NodeId,
    Plane,
    Status,
    StreamState,
    Welcome,
    channel_id,
)


@pytest.fixture
def s() -> Scripted:
    """A node that Anne and Bert have joined."""
    made = Scripted()
    made.meet(ANNE, "anne")
    made.meet(BERT, "bert")
    return made


def delivered(s: Scripted) -> list[bytes]:
    """All bodies so far."""
    return [body for e in s.seen(Delivered) for body in e.bodies]


# -- holes


def test_hole_is_asked_for_after_a_moment_with_growing_patience(s: Scripted) -> None:
    """A small delay, then doubling up to the limit (R14)."""
    s.say(batch(3, b"c"))
    assert s.seen(GapOpened) == [GapOpened(ROOM, ANNE, Plane.DATA, 0, 2)]
    assert s.sent(Nack) == []

    s.wait(DEFAULT.nack_delay_secs)
    assert s.sent(Nack, ANNE) == [Nack(ROOM, Plane.DATA, 0, 2)]

    s.wait(3.0)
    assert 10 < len(s.sent(Nack, ANNE)) < 14


def test_closed_hole_is_told_and_asked_for_no_more(s: Scripted) -> None:
    """Repair is an event too (R14)."""
    s.say(batch(3, b"c"))
    s.say(batch(4, b"d"))
    s.say(batch(1, b"a", b"b"))
    s.wait(1.0)

    assert delivered(s) == [b"a", b"b", b"c", b"d"]
    assert s.seen(GapRepaired) == [GapRepaired(ROOM, ANNE, Plane.DATA)]
    assert s.sent(Nack) == []


def test_next_hole_is_asked_for_without_the_patience_of_the_former(s: Scripted) -> None:
    """What is delivered makes it another hole (R14)."""
    s.say(batch(3, b"c"))
    s.say(batch(5, b"e"))
    s.wait(1.0)
    s.clear()

    s.say(batch(1, b"a", b"b"))
    s.wait(DEFAULT.nack_delay_secs)

    assert s.sent(Nack) == [Nack(ROOM, Plane.DATA, 3, 4)]


def test_lost_tail_is_found_by_the_senders_word(s: Scripted) -> None:
    """Later, since the messages may still be queued on the slower plane (R13)."""
    s.state(ANNE, Plane.DATA, head=2)
    s.wait(0.9 * DEFAULT.tail_delay_secs)
    assert s.sent(Nack) == []

    s.wait(0.2 * DEFAULT.tail_delay_secs)

    assert s.sent(Nack) == [Nack(ROOM, Plane.DATA, 0, 2)]


def test_arrival_renews_the_patience_with_a_tail(s: Scripted) -> None:
    """As long as messages come, those behind them may come too (R13)."""
    s.state(ANNE, Plane.DATA, head=9)
    for number in range(1, 9):
        s.wait(0.9 * DEFAULT.tail_delay_secs)
        s.say(batch(number, b"x"))

    assert s.sent(Nack) == []


def test_nothing_is_asked_for_while_the_channel_is_stalled(s: Scripted) -> None:
    """A reader that cannot take what it has asks for no more (R18)."""
    s.say(batch(3, b"c"))
    s.node.stall(s.channel, True, s.now)
    s.wait(1.0)
    assert s.sent(Nack) == []
    s.say(batch(1, b"a"))
    s.say(Gone(ROOM, Plane.DATA, 2, 2))
    assert delivered(s) == []
    assert s.node.counters["gone_ignored"] == 1
    assert s.seen(GapRepaired) == []

    s.node.stall(s.channel, False, s.now)
    s.step()

    assert delivered(s) == [b"a"]
    s.wait(DEFAULT.nack_delay_secs)
    assert s.sent(Nack) == [Nack(ROOM, Plane.DATA, 1, 2)]
    s.say(batch(2, b"b"))
    assert (len(s.seen(GapOpened)), len(s.seen(GapRepaired))) == (1, 1)


def test_peer_that_joins_a_stalled_channel_is_stalled_too() -> None:
    """And one that was not welcomed yet has nothing to stall (R18)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.greet(BERT, "bert", replace(s.channel.interest, runner="bert"))
    s.node.stall(s.channel, True, s.now)
    s.say(Welcome(ROOM, 0, 0), BERT)
    s.say(batch(1, b"a"), BERT)
    assert delivered(s) == []

    s.node.stall(s.channel, False, s.now)
    s.step()

    assert delivered(s) == [b"a"]


def test_stalled_channel_goes_on_in_portions() -> None:
    """Of each peer so much at a time; all stay stalled until nobody has more (R18)."""
    s = Scripted(replace(DEFAULT, inbox_msgs=32))
    s.meet(ANNE, "anne")
    s.meet(BERT, "bert")
    s.node.stall(s.channel, True, s.now)
    for number in (1, 3, 5):
        s.say(batch(number, b"a", b"a"))
    s.say(batch(1, b"b"), BERT)
    for portion in ([b"a", b"a", b"b"], [b"a", b"a"]):
        s.node.stall(s.channel, False, s.now)
        s.step()
        assert delivered(s) == portion
        assert s.channel.stalled
        s.clear()
    s.say(batch(2, b"c"), BERT)
    assert delivered(s) == []

    s.node.stall(s.channel, False, s.now)
    s.step()

    assert delivered(s) == [b"a", b"a", b"c"]
    assert not s.channel.stalled


@pytest.mark.parametrize("every_secs", [0.001, 0.03, 0.1, 0.3])
def test_repair_over_a_narrow_link_is_asked_for_hardly_more_than_once(every_secs: float) -> None:
    """While an answer comes in, however slowly, no other is queued behind it (R14, R17)."""
    s = Scripted(replace(DEFAULT, repair_bytes=16))
    s.meet(ANNE, "anne")
    link: deque[int] = deque()
    answered = sent = 0
    s.say(batch(161, b"x"))
    while len(delivered(s)) < 161:
        s.wait(every_secs)
        nacks = s.sent(Nack)
        for nack in nacks[answered:]:
            link.extend(range(nack.cursor + 1, min(nack.cursor + 16, nack.upto) + 1))
        answered = len(nacks)
        if link:
            sent += 1
            s.say(batch(link.popleft(), b"x"))
        assert sent < 1000

    assert answered <= 16
    assert len(s.seen(GapRepaired)) == 1


def test_next_part_of_a_repair_is_asked_for_at_once(s: Scripted) -> None:
    """A fast link waits for nothing when an answer has come in whole (R14)."""
    size_bytes = DEFAULT.repair_bytes
    s.say(batch(4, b"d"))
    for number in range(1, 4):
        s.wait(DEFAULT.nack_delay_secs)
        assert len(s.sent(Nack)) == number
        s.say(batch(number, bytes(size_bytes)))

    assert len(delivered(s)) == 4


def test_next_part_of_a_repaired_tail_is_asked_for_at_once(s: Scripted) -> None:
    """The patience with a tail ends with an answer: what is not in it is not queued (R14)."""
    size_bytes = DEFAULT.repair_bytes
    s.state(ANNE, Plane.DATA, head=3)
    s.wait(DEFAULT.tail_delay_secs)
    for number in range(1, 4):
        assert len(s.sent(Nack)) == number
        s.say(batch(number, bytes(size_bytes)))
        s.wait(DEFAULT.nack_delay_secs)

    assert len(delivered(s)) == 3
    assert len(s.sent(Nack)) == 3


def test_answer_is_given_the_time_that_it_takes(s: Scripted) -> None:
    """On a link with a long round trip nothing is asked for twice (R14)."""
    s.say(Status(0, True, echo_us=int((s.now - 0.08) * 1e6)))
    s.say(batch(3, b"c"))
    s.wait(DEFAULT.nack_delay_secs + 0.15)

    assert len(s.sent(Nack)) == 1
    s.wait(0.02)
    assert len(s.sent(Nack)) == 2


def test_round_trip_over_a_loop_that_stood_still_delays_no_repair_for_long(s: Scripted) -> None:
    """What was measured then is no measure of the link (R14, R21)."""
    s.now += 30.0
    s.say(Status(0, True, echo_us=1_000_000))
    s.say(batch(3, b"c"))
    s.wait(DEFAULT.nack_delay_secs)
    assert len(s.sent(Nack)) == 1

    s.wait(DEFAULT.nack_max_delay_secs)

    assert len(s.sent(Nack)) == 2


def test_hole_in_the_stream_of_a_departed_is_forgotten(s: Scripted) -> None:
    """Nobody can be asked any more."""
    s.say(batch(3, b"c"))
    s.say(Bye())
    s.wait(2.0)

    assert s.sent(Nack) == []
    assert s.seen(GapRepaired) == []


# -- loss


def test_loss_is_counted_exactly_and_told_before_what_comes_after(s: Scripted) -> None:
    """What left the sender's history never arrives (R15)."""
    s.say(batch(1, b"a"))
    s.say(batch(6, b"f"))
    s.say(Gone(ROOM, Plane.DATA, 4, owed_msgs=3))

    assert [type(e) for e in s.events][-2:] == [GapOpened, MessagesLost]
    (lost,) = s.seen(MessagesLost)
    assert lost.lost_msgs == 2
    s.say(batch(5, b"e"))
    assert delivered(s) == [b"a", b"e", b"f"]


def test_gone_without_loss_is_no_event(s: Scripted) -> None:
    """Messages for others may leave the history."""
    s.state(ANNE, Plane.DATA, head=4)
    s.say(Gone(ROOM, Plane.DATA, 4, owed_msgs=0))

    assert s.seen(MessagesLost) == []
    assert s.seen(GapRepaired) == [GapRepaired(ROOM, ANNE, Plane.DATA)]


@pytest.mark.parametrize(
    "gone", [Gone(ROOM, Plane.DATA, 0, 9), Gone(channel_id("x"), Plane.DATA, 9, 9)]
)
def test_gone_of_the_past_or_of_nothing_is_counted(s: Scripted, gone: Gone) -> None:
    """Nothing is skipped for it (R26)."""
    s.say(gone)

    assert s.node.counters["gone_ignored"] == 1
    assert s.events == []


# -- repair


@pytest.mark.parametrize("plane", Plane)
def test_nack_is_answered_on_its_plane_to_the_asker_alone(s: Scripted, plane: Plane) -> None:
    """One peer's loss is no matter of the others (R14)."""
    s.publish(b"a", b"b", plane=plane)
    s.clear()

    s.say(Nack(ROOM, plane, 0, 2))

    again = Batch(ROOM, plane, 1, 0, (b"a", b"b"))
    if plane is Plane.DATA:
        assert s.published() == [(ANNE, again)]
    else:
        assert s.sent(Batch, ANNE) == [again]
        assert s.sent(Batch, BERT) == []
    assert s.node.counters["repaired_msgs"] == 2


def test_nack_for_what_has_left_the_history_is_answered_with_gone() -> None:
    """The asker learns how much it was owed (R15)."""
    s = Scripted(replace(DEFAULT, history_msgs=2, window_msgs=2, system_hwm_msgs=2))
    s.meet(ANNE, "anne")
    s.publish(b"a", b"b", b"c")
    s.clear()

    s.say(Nack(ROOM, Plane.DATA, 0, 3))

    assert s.sent(Gone) == [Gone(ROOM, Plane.DATA, 1, owed_msgs=1)]
    assert s.published() == [(ANNE, Batch(ROOM, Plane.DATA, 2, 1, (b"b", b"c")))]


def test_note_of_a_message_that_has_left_the_history_comes_back_with_the_gone() -> None:
    """Whoever waits for it can be told (R15); so, unasked, once too many are remembered (R25)."""
    s = Scripted(replace(DEFAULT, history_msgs=2, window_msgs=2, system_hwm_msgs=2))
    s.meet(ANNE, "anne")
    for number in range(4):
        s.node.publish(s.channel, Plane.DATA, None, b"", note=number)
    s.step()
    assert s.seen(MessageForgone) == []

    s.say(Nack(ROOM, Plane.DATA, 1, 4))
    assert s.seen(MessageForgone) == [MessageForgone(ROOM, ANNE, 1)]

    s.clear()
    for number in range(4, 9):
        s.node.publish(s.channel, Plane.DATA, None, b"", note=number)
    s.step()
    assert s.seen(MessageForgone) == [MessageForgone(ROOM, ANNE, n) for n in (2, 3, 4)]


@pytest.mark.parametrize(
    "nack",
    [
        Nack(ROOM, Plane.DATA, 0, 3),
        Nack(ROOM, Plane.DATA, 2**40, 2**41),
        Nack(ROOM, Plane.DATA, 2, 1),
        Nack(ROOM, Plane.DATA, 1, 1),
        Nack(channel_id("unknown"), Plane.DATA, 0, 1),
    ],
)
def test_nack_for_the_future_or_for_nothing_is_counted(s: Scripted, nack: Nack) -> None:
    """Nobody misses what was not sent (R26)."""
    s.publish(b"a", b"b")
    s.clear()

    s.say(nack)

    assert s.node.counters["nack_impossible"] + s.node.counters["nack_refused"] == 1
    assert s.actions == []


def test_nack_of_somebody_who_is_owed_nothing_is_counted() -> None:
    """A peer of another channel reads nothing here (R26)."""
    s = Scripted()
    s.greet(ANNE, "anne")
    s.say(Nack(ROOM, Plane.DATA, 0, 1))

    assert s.node.counters["nack_refused"] == 1


def test_what_expired_before_its_repair_goes_out_empty(s: Scripted) -> None:
    """And once: the reader that has its numbers asks no more (R18a)."""
    s.node.publish(s.channel, Plane.DATA, (ANNE,), b"audio", s.now + 0.2)
    s.node.publish(s.channel, Plane.DATA, (ANNE,), b"text")
    s.step()
    s.wait(0.3)
    s.clear()
    s.say(Nack(ROOM, Plane.DATA, 0, 2))

    ((reader, sent),) = s.published()
    assert (reader, sent.first, sent.previous, sent.bodies) == (ANNE, 1, 0, (b"", b"text"))
    s.state(ANNE, Plane.DATA, cursor=2)
    assert s.channel.outlets[Plane.DATA].kept == (0, 0)


# -- acknowledgement


def test_lost_tail_is_told_of_however_rare_heartbeats_are() -> None:
    """Whoever has not acknowledged everything hears how far it goes every half second (R13)."""
    s = Scripted(replace(DEFAULT, heartbeats_per_sec=0.1))
    s.meet(ANNE, "anne")
    s.wait(DEFAULT.heartbeat_secs)
    s.publish(b"a")
    s.clear()

    s.wait(2 * DEFAULT.heartbeat_secs)

    states = [status.states for status in s.sent(Status, ANNE)]
    assert states == [(StreamState(ROOM, Plane.DATA, 1, -1),)] * 2
    s.state(ANNE, Plane.DATA, cursor=1)
    s.clear()
    s.wait(8.0)
    assert s.sent(Status, ANNE) == []


def test_arrivals_are_acknowledged_after_a_moment(s: Scripted) -> None:
    """Acknowledgements wait for company (R17)."""
    s.wait(DEFAULT.heartbeat_secs + 0.01)
    s.clear()
    s.say(batch(1, b"a", b"b"))
    s.wait(0.9 * DEFAULT.ack_delay_secs)
    assert s.sent(Status, ANNE) == []

    s.wait(0.2 * DEFAULT.ack_delay_secs)

    assert s.sent(Status, ANNE)[-1].states == (StreamState(ROOM, Plane.DATA, -1, 2),)
    s.wait(DEFAULT.heartbeat_secs)
    assert s.sent(Status, ANNE)[-1].states == ()


@pytest.mark.parametrize(
    "arrival",
    [
        batch(1, *[b"x"] * (DEFAULT.window_msgs // 8)),
        batch(1, bytes(DEFAULT.window_bytes // 8)),
    ],
)
def test_eighth_of_a_window_is_acknowledged_at_once(s: Scripted, arrival: Batch) -> None:
    """A fast sender never waits for the delay (R17)."""
    s.wait(0.01)
    s.clear()
    s.say(arrival)
    s.wait(0.0)

    assert s.sent(Status, ANNE)[-1].states[0].cursor == len(arrival.bodies)


def test_unacknowledged_head_is_told_until_it_is_acknowledged(s: Scripted) -> None:
    """The tail is found without further traffic (R13)."""
    s.publish(b"a")
    s.wait(0.6)
    assert s.sent(Status, ANNE)[-1].states == (StreamState(ROOM, Plane.DATA, 1, -1),)

    s.state(ANNE, Plane.DATA, cursor=1)
    s.wait(0.6)

    assert s.sent(Status, ANNE)[-1].states == ()
    assert s.sent(Status, BERT)[-1].states == (StreamState(ROOM, Plane.DATA, 1, -1),)


def test_head_that_has_arrived_is_acknowledged_again(s: Scripted) -> None:
    """The sender's word shows that ours was lost (R13)."""
    s.say(batch(1, b"a"))
    s.wait(0.6)
    s.clear()

    s.state(ANNE, Plane.DATA, head=1)
    s.wait(0.0)

    assert s.sent(Status, ANNE)[-1].states == (StreamState(ROOM, Plane.DATA, -1, 1),)


# -- liars


def test_acknowledgement_of_the_future_is_counted(s: Scripted) -> None:
    """What was not sent cannot have arrived; the others' history stays (R26)."""
    s.publish(b"a")
    s.state(ANNE, Plane.DATA, cursor=2)

    assert s.node.counters["ack_impossible"] == 1
    assert s.channel.outlets[Plane.DATA].kept == (1, 1)


def test_acknowledgement_of_who_is_owed_nothing_is_counted_and_no_lie() -> None:
    """A younger runner of our name is no reader; it may not know yet (R6)."""
    s = Scripted()
    s.greet(ANNE, "anne", interest("mine", age=200))
    s.state(ANNE, Plane.DATA, cursor=0)

    assert s.node.counters["ack_refused"] == 1
    assert s.node.peers[ANNE].faults == 0


def test_cursor_that_goes_back_changes_nothing(s: Scripted) -> None:
    """What was acknowledged stays so (R26)."""
    s.publish(b"a", b"b")
    s.state(ANNE, Plane.DATA, cursor=2)
    s.state(ANNE, Plane.DATA, cursor=1)

    assert s.channel.outlets[Plane.DATA].behind_msgs(ANNE) == 0


def test_numbers_that_jump_harm_the_liars_stream_alone(s: Scripted) -> None:
    """Others are delivered and repaired as before (R26)."""
    s.state(ANNE, Plane.DATA, head=2**60)
    s.say(batch(2**50, b"far"))
    s.say(Gone(ROOM, Plane.DATA, 2**61, 2**61))
    s.say(batch(1, b"b1"), BERT)
    s.wait(2.0)

    assert delivered(s) == [b"far", b"b1"]
    assert s.seen(MessagesLost)[0].node == ANNE


@pytest.mark.parametrize("sender", [ANNE, NodeId(b"stranger")])
def test_batch_of_nothing_or_of_a_stranger_is_counted(s: Scripted, sender: NodeId) -> None:
    """Empty batches cannot fill the buffer for what is early (R26)."""
    s.say(batch(9) if sender == ANNE else batch(1, b"x"), sender)

    assert s.node.counters["batch_empty"] + s.node.counters["batch_refused"] == 1
    assert s.events == []


def test_state_of_an_unknown_stream_is_ignored(s: Scripted) -> None:
    """Neither channel nor membership need exist (R26)."""
    states = (StreamState(channel_id("unknown"), Plane.DATA, 5, 5),)
    s.say(Status(0, True, states=states))
    other = NodeId(b"peernew1")
    s.greet(other, "new")
    s.state(other, Plane.DATA, head=5, cursor=5)
    third = NodeId(b"peernew2")
    s.greet(third, "third", interest("third"))
    s.state(third, Plane.DATA, head=5)

    assert s.events == []


def test_duplicates_are_counted(s: Scripted) -> None:
    """A repair that was not needed costs a count (R14)."""
    s.say(batch(1, b"a"))
    s.say(batch(1, b"a", b"b"))

    assert delivered(s) == [b"a", b"b"]
    assert s.node.counters["duplicates"] == 1


def test_nothing_arrives_after_leaving(s: Scripted) -> None:
    """What is still on its way then sets no timer."""
    s.node.leave("bye")
    s.say(batch(1, b"a"))

    assert s.node.deadline() is None


@pytest.mark.parametrize("held_up", ["lost", "late"])
def test_data_waits_for_the_system_messages_before_it(held_up: str) -> None:
    """Two connections keep no order: what was sent after them is not delivered before (R13a)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    if held_up == "lost":
        s.say(batch(2, b"urgent", plane=Plane.SYSTEM))
    s.say(replace(batch(1, b"response"), after=2))
    s.wait(1.0)
    assert s.seen(Delivered) == []
    assert [p.plane for p in s.sent(Nack)] == [Plane.SYSTEM] * len(s.sent(Nack))
    s.say(batch(1, b"before", b"urgent", plane=Plane.SYSTEM))
    assert [(e.plane, e.bodies) for e in s.seen(Delivered)] == [
        (Plane.SYSTEM, [b"before", b"urgent"]),
        (Plane.DATA, [b"response"]),
    ]


def test_data_that_waits_is_not_given_up(s: Scripted) -> None:
    """It is here: a late answer to an old question does not take it for lost (R13a, R15)."""
    s.say(replace(batch(2, b"response"), after=1))
    s.say(Gone(ROOM, Plane.DATA, 2, 2))
    assert s.seen(MessagesLost) == []
    s.say(batch(1, b"urgent", plane=Plane.SYSTEM))
    s.say(Gone(ROOM, Plane.DATA, 2, 2))
    assert [e.lost_msgs for e in s.seen(MessagesLost)] == [1]
    assert [e.bodies for e in s.seen(Delivered)] == [[b"urgent"], [b"response"]]


def test_closed_hole_lets_no_data_into_a_stalled_channel() -> None:
    """The subscribers are behind: that comes first (R18)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.node.stall(s.channel, True, s.now)
    s.say(batch(2, b"urgent", plane=Plane.SYSTEM))
    s.say(replace(batch(1, b"response"), after=2))
    s.say(batch(1, b"lost", plane=Plane.SYSTEM))
    assert [e.plane for e in s.seen(Delivered)] == [Plane.SYSTEM]
    s.node.stall(s.channel, False, s.now)
    s.step()
    assert [e.plane for e in s.seen(Delivered)] == [Plane.SYSTEM, Plane.DATA]
