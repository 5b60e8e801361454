"""The sending end of a stream."""

from __future__ import annotations

from typing import Any

import pytest
from support.scripted import ANNE, BERT, ROOM

from zmqbus.core.outlet import Outlet
from zmqbus.packets import Batch, Gone, NodeId, Plane

THIRD = NodeId(b"cleocleo")


def outlet(
    *readers: NodeId, plane: Plane = Plane.DATA, leader: Outlet | None = None, **limits: int
) -> Outlet:
    """One with these readers, and small limits."""
    sizes = {"history_msgs": 8, "history_bytes": 100, "window_msgs": 4, "window_bytes": 50}
    batches = {"batch_msgs": 64, "batch_bytes": 1000}
    made = Outlet(ROOM, plane, leader=leader, **{**sizes, **batches, **limits})
    for reader in readers:
        made.add_reader(reader)
    return made


def taken(made: Outlet) -> list[tuple[NodeId | None, int, int, tuple[bytes, ...]]]:
    """What `take` gives, in short."""
    return [(reader, b.first, b.previous, b.bodies) for reader, b in made.take()]


def test_broadcasts_in_a_row_are_one_batch_for_all() -> None:
    """Messages for the same readers travel together, encoded once (R12)."""
    made = outlet(ANNE, BERT)
    made.append(b"a", None)
    made.append(b"b", None)

    assert made.pending
    assert taken(made) == [(None, 1, 0, (b"a", b"b"))]
    assert not made.pending


def test_each_reader_of_a_targeted_message_has_its_own_previous() -> None:
    """A reader sees what came before for it, not what others got in between (R12)."""
    made = outlet(ANNE, BERT)
    made.append(b"a", None)
    made.append(b"b", (ANNE,))
    made.append(b"c", (ANNE, BERT))

    assert taken(made) == [
        (None, 1, 0, (b"a",)),
        (ANNE, 2, 1, (b"b",)),
        (ANNE, 3, 2, (b"c",)),
        (BERT, 3, 1, (b"c",)),
    ]


def test_broadcast_after_a_targeted_message_excepts_its_readers() -> None:
    """One encoding serves all: who got something in between is listed (R12)."""
    made = outlet(ANNE, BERT)
    made.append(b"a", (ANNE,))
    made.append(b"b", None)

    (_, first), (reader, second) = made.take()
    assert (first.first, first.previous) == (1, 0)
    assert reader is None
    assert (second.first, second.previous, second.exceptions) == (2, 0, ((ANNE, 1, 0),))


def test_message_for_nobody_is_no_message() -> None:
    """Without readers nothing is numbered nor kept."""
    made = outlet()
    made.append(b"a", None)
    made.add_reader(ANNE)
    made.append(b"b", ())

    assert made.head == 0
    assert made.kept == (0, 0)


def test_acknowledged_messages_leave_the_history() -> None:
    """What all readers have is not kept; what one lacks is."""
    made = outlet(ANNE, BERT)
    for body in (b"a", b"bb", b"ccc"):
        made.append(body, None)

    assert made.acknowledge(ANNE, 3)
    assert made.kept == (3, 6)
    assert made.acknowledge(BERT, 2)
    assert made.kept == (1, 3)
    assert made.acknowledge(BERT, 2)
    assert made.kept == (1, 3)


@pytest.mark.parametrize("cursor", [1, 5])
def test_impossible_acknowledgement_is_refused(cursor: int) -> None:
    """Nobody has what was not sent, or has no more what it had (R26a)."""
    made = outlet(ANNE)
    for _ in range(4):
        made.append(b"a", None)
    assert made.acknowledge(ANNE, 2)

    assert not made.acknowledge(ANNE, cursor)
    assert made.kept == (2, 2)


def test_departed_reader_is_owed_nothing() -> None:
    """Without its only reader the history is empty; dropping a stranger is nothing."""
    made = outlet(ANNE)
    made.append(b"a", None)

    made.drop_reader(BERT)
    assert made.kept == (1, 1)
    made.drop_reader(ANNE)
    assert made.kept == (0, 0)
    assert made.behind_msgs(ANNE) == 0


def test_repair_sends_what_is_owed_to_the_asker_alone() -> None:
    """A hole is filled with the asker's messages, chained as it knows them (R14)."""
    made = outlet(ANNE, BERT)
    made.append(b"a", None)
    made.append(b"b", (BERT,))
    made.append(b"c", None)
    made.append(b"d", (ANNE,))
    made.append(b"e", None)

    gone, batches = made.repair(ANNE, 0, 4, 1000, 0.0)

    assert gone is None
    assert batches == [
        Batch(ROOM, Plane.DATA, 1, 0, (b"a",)),
        Batch(ROOM, Plane.DATA, 3, 1, (b"c", b"d")),
    ]


@pytest.mark.parametrize("limits", [{"batch_msgs": 2}, {"batch_bytes": 5}])
def test_batches_are_bounded_when_sent_and_when_repaired(limits: dict[str, Any]) -> None:
    """However many messages come at once or are missed, no packet grows too large (R25)."""
    made = outlet(ANNE, **limits)
    for body in (b"aaa", b"bbb", b"ccc", b"ddd", b"eee"):
        made.append(body, None)

    expected = [(1, 0, (b"aaa", b"bbb")), (3, 2, (b"ccc", b"ddd")), (5, 4, (b"eee",))]
    assert [(b.first, b.previous, b.bodies) for _, b in made.take()] == expected
    _, again = made.repair(ANNE, 0, 5, 1000, 0.0)
    assert [(b.first, b.previous, b.bodies) for b in again] == expected


def test_repair_stays_within_its_budget_but_gives_something() -> None:
    """One request is answered with little, never with nothing (R14)."""
    made = outlet(ANNE)
    for body in (b"aaa", b"bbb", b"ccc"):
        made.append(body, None)

    assert made.repair(ANNE, 0, 3, 1, 0.0)[1] == [Batch(ROOM, Plane.DATA, 1, 0, (b"aaa",))]
    assert made.repair(ANNE, 1, 3, 4, 0.0)[1] == [Batch(ROOM, Plane.DATA, 2, 1, (b"bbb", b"ccc"))]


def test_evicted_messages_are_answered_with_gone() -> None:
    """The history is bounded in messages; what has left it is counted for the asker (R15)."""
    made = outlet(ANNE, BERT)
    made.append(b"x", (BERT,))
    for _ in range(10):
        made.append(b"a", None)

    gone, batches = made.repair(ANNE, 0, 11, 1000, 0.0)

    assert made.kept == (8, 8)
    assert gone == Gone(ROOM, Plane.DATA, 3, owed_msgs=2)
    assert [(b.first, b.previous, len(b.bodies)) for b in batches] == [(4, 3, 8)]
    assert made.repair(ANNE, 1, 2, 1000, 0.0) == (gone, [])


def test_gone_does_not_count_what_was_before_the_reader() -> None:
    """A late reader is not owed the history it came to (R15)."""
    made = outlet(ANNE)
    for _ in range(4):
        made.append(b"a", None)
    made.add_reader(BERT)
    for _ in range(6):
        made.append(b"b", None)

    gone, _ = made.repair(BERT, 0, 10, 1000, 0.0)

    assert gone == Gone(ROOM, Plane.DATA, 2, owed_msgs=0)


def test_history_is_bounded_in_bytes_but_keeps_the_last_message() -> None:
    """Even a message above the limit can be repaired (R15)."""
    made = outlet(ANNE)
    made.append(b"a" * 60, None)
    made.append(b"b" * 60, None)
    assert made.kept == (1, 60)

    made.append(b"c" * 200, None)
    assert made.kept == (1, 200)
    assert made.acknowledge(ANNE, 1)
    assert made.kept == (1, 200)


@pytest.mark.parametrize(("bodies", "blocked"), [([b""] * 4, False), ([b""] * 5, True)])
def test_reader_blocks_when_it_is_further_behind_than_the_window(
    bodies: list[bytes], blocked: bool
) -> None:
    """Up to the window nobody waits (R17)."""
    made = outlet(ANNE)
    for body in bodies:
        made.append(body, None)

    assert made.blockers() == ([ANNE] if blocked else [])


def test_only_the_audience_of_a_message_is_waited_for() -> None:
    """Who is a window behind holds up what is for it and for all, and nothing else (R17, P20)."""
    made = outlet(ANNE, BERT)
    for _ in range(5):
        made.append(b"", (ANNE,))

    assert made.blockers((BERT,)) == []
    assert made.blockers((ANNE, BERT)) == made.blockers() == [ANNE]


def test_window_counts_bytes_too() -> None:
    """Few large messages fill it as well (R17)."""
    made = outlet(ANNE)
    made.append(b"a" * 51, None)

    assert made.blockers() == [ANNE]


def test_reader_given_up_on_lags_until_it_is_half_a_window_behind() -> None:
    """A lagging reader is not waited for until it has caught up (R17)."""
    made = outlet(ANNE)
    for _ in range(8):
        made.append(b"a", None)
    made.give_up_on(ANNE)
    assert made.blockers() == []

    made.acknowledge(ANNE, 5)
    assert ANNE in made.laggards
    made.acknowledge(ANNE, 6)
    assert not made.laggards


def test_reader_lags_until_it_is_half_a_window_behind_in_bytes_too() -> None:
    """Few large messages are as far behind as many small ones (R17)."""
    made = outlet(ANNE)
    for _ in range(2):
        made.append(bytes(30), None)
    made.give_up_on(ANNE)
    made.acknowledge(ANNE, 1)
    assert ANNE in made.laggards
    made.acknowledge(ANNE, 2)
    assert not made.laggards


def test_reader_that_comes_back_far_behind_lags_until_it_has_caught_up() -> None:
    """After a long cut it is sent what it missed, not waited for and not given up (R16, R17)."""
    made = outlet(ANNE, BERT)
    for node in (ANNE, BERT):
        made.set_live(node, False)
    for _ in range(8):
        made.append(b"a", None)
    made.acknowledge(BERT, 5)
    for node in (ANNE, BERT):
        made.set_live(node, True)

    assert list(made.laggards) == [ANNE]
    assert made.blockers() == []
    made.set_live(ANNE, True)
    made.acknowledge(ANNE, 6)
    assert not made.laggards


def test_unlinked_reader_is_not_waited_for_and_not_drained() -> None:
    """A lost peer holds nobody up, and what it is owed stays (R3, R17)."""
    made = outlet(ANNE)
    for _ in range(5):
        made.append(b"a", None)
    assert not made.drained

    made.give_up_on(ANNE)
    made.set_live(ANNE, False)
    made.set_live(BERT, False)

    assert made.blockers() == []
    assert made.drained
    assert made.kept == (5, 5)
    made.set_live(ANNE, True)
    assert list(made.laggards) == [ANNE]


def test_messages_for_others_leave_nobody_behind() -> None:
    """Who is owed nothing keeps up with the head, whatever others get (R17)."""
    made = outlet(ANNE, BERT)
    for number in range(1, 8):
        made.append(b"a", (BERT,))
        made.acknowledge(BERT, number)

    assert made.behind_msgs(ANNE) == 0
    assert made.blockers() == []
    made.append(b"b", (ANNE,))
    assert made.behind_msgs(ANNE) == 1
    assert made.last_owed(ANNE) == 8


def test_reader_that_is_owed_nothing_is_never_waited_for() -> None:
    """However much another one, which was given up on, is sent meanwhile (R17)."""
    made = outlet(ANNE, BERT)
    assert made.blockers() == []
    made.give_up_on(ANNE)
    for _ in range(8):
        made.append(b"a", (ANNE,))
        assert made.blockers() == []


def test_what_others_were_sent_and_have_does_not_count_with_the_next_broadcast() -> None:
    """Who is owed one message is one behind, whoever keeps the history from shrinking (R17)."""
    cara = NodeId(b"peercara")
    made = outlet(ANNE, BERT, cara)
    made.append(b"a", None)
    made.give_up_on(cara)
    made.acknowledge(ANNE, 1)
    made.acknowledge(BERT, 1)
    for number in range(2, 9):
        made.append(b"b", (BERT,))
        assert made.acknowledge(BERT, number)

    made.append(b"c", None)

    assert made.behind_msgs(ANNE) == 1
    assert made.blockers() == []


def test_only_what_a_reader_is_owed_is_held_against_it() -> None:
    """Who lacks one system message is not lost for what others were sent after it (R16)."""
    made = outlet(ANNE, BERT, plane=Plane.SYSTEM, history_msgs=12)
    made.append(b"a", None)
    for number in range(2, 9):
        made.append(b"b", (BERT,))
        assert made.acknowledge(BERT, number)
    assert made.blockers() == []

    for _ in range(4):
        made.append(b"c", (ANNE,))
    assert made.blockers() == [ANNE]


def test_reader_whose_messages_leave_the_history_is_waited_for_however_few_they_are() -> None:
    """System messages are not dropped for being large (R16)."""
    made = outlet(ANNE, plane=Plane.SYSTEM, window_bytes=100)
    for _ in range(2):
        made.append(bytes(60), None)
    assert made.blockers() == [ANNE]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_history_ends_with_the_last_acknowledgement(order: tuple[int, ...]) -> None:
    """In whichever order readers acknowledge, what all have is dropped, and nothing else (R15)."""
    readers = (ANNE, BERT, NodeId(b"peercara"))
    made = outlet(*readers)
    made.append(b"a", None)
    made.append(b"b", None)

    for place in order:
        assert made.kept == (2, 2)
        made.acknowledge(readers[place], 1)
    assert made.kept == (1, 1)
    for place in order:
        made.acknowledge(readers[place], 2)
    assert made.kept == (0, 0)


def test_reopened_outlet_numbers_on() -> None:
    """The numbers of a former life are not used again (R12)."""
    made = outlet(ANNE, head=40)
    made.append(b"a", None)

    assert taken(made) == [(None, 41, 40, (b"a",))]


def following(*readers: NodeId) -> tuple[Outlet, Outlet]:
    """A stream, and one that must not overtake it."""
    leader = outlet(*readers)
    return leader, outlet(*readers, leader=leader)


def test_note_comes_back_when_a_reader_is_told_that_the_message_is_gone() -> None:
    """Not before, as it may be on its way, and once, however often it asks (R15)."""
    made = outlet(ANNE, BERT, history_msgs=2)
    made.append(b"1", None, note="one")
    made.append(b"2", (BERT,), note="two")
    for body in (b"3", b"4", b"5"):
        made.append(body, (BERT,))
    assert made.take_forgone() == []
    for _ in range(2):
        made.repair(BERT, 1, 5, 1000, now=0)
    assert made.take_forgone() == [(BERT, "two")]
    made.repair(ANNE, 0, 5, 1000, now=0)
    assert made.take_forgone() == [(ANNE, "one")]
    assert made.take_forgone() == []


def test_notes_are_remembered_for_no_more_messages_than_the_history_may_have() -> None:
    """The oldest come back for all who may lack the message, told so or not (R25)."""
    made = outlet(ANNE, BERT, THIRD, history_msgs=2)
    for number in range(1, 6):
        made.append(b"", None, note=number)
        made.acknowledge(ANNE, number)
    assert made.take_forgone() == [(BERT, 1), (THIRD, 1)]
    made.repair(BERT, 0, 5, 1000, now=0)
    assert made.take_forgone() == [(BERT, 2), (BERT, 3)]
    made.append(b"", None, note=6)
    made.append(b"", None, note=7)
    assert made.take_forgone() == [(THIRD, 2), (THIRD, 3)]


def test_note_of_a_message_that_all_have_does_not_come_back() -> None:
    """Nobody misses it, nor does who has gone."""
    made = outlet(ANNE, BERT, history_msgs=1)
    made.append(b"1", (ANNE,), note="one")
    made.acknowledge(ANNE, 1)
    made.append(b"2", (BERT,), note="two")
    made.append(b"3", (ANNE,))
    made.drop_reader(BERT)
    made.repair(ANNE, 1, 3, 1000, now=0)
    assert made.take_forgone() == []


def test_data_names_the_system_message_sent_before_it() -> None:
    """Each reader is told its own, whichever way either was sent (R13a)."""
    leader, made = following(ANNE, BERT)
    leader.append(b"for all", None)
    leader.append(b"for bert", (BERT,))
    made.append(b"for anne", (ANNE,))
    made.append(b"for both", None)

    (_, targeted), (_, broadcast) = made.take()
    assert targeted.after == 1
    assert broadcast.after == 1
    assert broadcast.exceptions == ((ANNE, 1, 1), (BERT, 0, 2))
    _, (again,) = made.repair(BERT, 0, 2, 1000, 0.0)
    assert again.after == 2


def test_system_message_that_has_arrived_needs_no_exception() -> None:
    """What a reader acknowledged is before everything (R13a)."""
    leader, made = following(ANNE, BERT)
    leader.append(b"for bert", (BERT,))
    assert leader.acknowledge(BERT, 1)
    made.append(b"for both", None)

    ((_, broadcast),) = made.take()
    assert (broadcast.after, broadcast.exceptions) == (0, ())


def test_message_repaired_after_its_time_is_empty() -> None:
    """Its number stays, so the chain, the counts and the order of all else do (R18a)."""
    made = outlet(ANNE)
    made.append(b"stale", None, 5.0)
    made.append(b"text", None)
    made.append(b"fresh", None, 5.1)
    list(made.take())

    assert made.repair(ANNE, 0, 3, 1000, 4.9)[1][0].bodies == (b"stale", b"text", b"fresh")
    assert made.repair(ANNE, 0, 3, 1000, 5.0)[1][0].bodies == (b"", b"text", b"fresh")
