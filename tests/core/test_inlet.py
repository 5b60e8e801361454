"""The receiving end of a stream."""

from __future__ import annotations

import pytest
from support.scripted import ANNE, BERT, ROOM, batch

from zmqbus.core.inlet import Inlet
from zmqbus.packets import Batch, Gone, Plane


def inlet(cursor: int = 0, early_msgs: int = 8, early_bytes: int = 100) -> Inlet:
    """One that has everything up to ``cursor``."""
    return Inlet(ANNE, cursor, early_msgs, early_bytes)


def test_batch_in_order_is_delivered() -> None:
    """What comes next goes on."""
    made = inlet(cursor=4)

    assert made.accept(batch(5, b"a", b"b")) == [b"a", b"b"]
    assert made.cursor == made.head == 6
    assert made.hole == 0


def test_duplicates_are_dropped_by_number() -> None:
    """Whole and partial repetitions deliver nothing twice (R14)."""
    made = inlet()
    made.accept(batch(1, b"a", b"b"))

    assert made.accept(batch(1, b"a", b"b")) == []
    assert made.accept(batch(2, b"b", b"c")) == [b"c"]
    assert made.duplicates == 3


def test_early_batch_waits_for_what_is_before_it() -> None:
    """A hole holds up what comes after it, and closing it releases all in order (R12)."""
    made = inlet()

    assert made.accept(batch(4, b"d")) == []
    assert made.accept(batch(3, b"c")) == []
    assert made.early_msgs == 2
    assert made.hole == 2
    assert made.accept(batch(1, b"a", b"b")) == [b"a", b"b", b"c", b"d"]
    assert made.early_msgs == 0
    assert made.hole == 0


def test_gap_that_others_got_is_no_hole() -> None:
    """Only what is owed to this reader counts (R12)."""
    made = inlet()

    assert made.accept(batch(1, b"a")) == [b"a"]
    assert made.accept(batch(9, b"i", previous=1)) == [b"i"]


def test_exception_names_this_readers_previous() -> None:
    """A broadcast lists whom it follows another message for (R12)."""
    made = inlet()
    broadcast = Batch(ROOM, Plane.DATA, 2, 0, (b"b",), ((BERT, 1, 0),))

    assert made.accept(broadcast) == [b"b"]

    made = inlet()
    assert made.accept(Batch(ROOM, Plane.DATA, 2, 0, (b"b",), ((ANNE, 1, 0),))) == []
    assert made.hole == 1


def test_lost_tail_is_a_hole_once_the_head_is_known() -> None:
    """The sender's word shows what no later message does (R13)."""
    made = inlet()
    made.note_head(3)
    made.note_head(2)

    assert made.hole == 3


@pytest.mark.parametrize(
    ("limits", "held"), [({"early_msgs": 2}, 2), ({"early_bytes": 2}, 2), ({}, 3)]
)
def test_early_buffer_is_bounded(limits: dict[str, int], held: int) -> None:
    """What exceeds it is dropped, to be asked for again (R25)."""
    made = inlet(**limits)
    for number in (3, 5, 7):
        made.accept(batch(number, b"x"))

    assert made.early_msgs == held
    assert made.head == 7


def test_repeated_early_batch_is_held_once_and_a_longer_one_too() -> None:
    """Repetitions do not fill the buffer; what they have more of is not lost (R14)."""
    made = inlet()
    made.accept(batch(3, b"c"))
    made.accept(batch(3, b"c"))
    assert (made.early_msgs, made.duplicates) == (1, 1)

    made.accept(batch(3, b"c", b"d"))
    made.accept(batch(3, b"c", b"d"))

    assert made.accept(batch(1, b"a", b"b")) == [b"a", b"b", b"c", b"d"]


def test_gone_counts_exactly_what_did_not_arrive() -> None:
    """The loss is what was owed less what was taken (R15)."""
    made = inlet()
    made.accept(batch(1, b"a"))

    assert made.skip(Gone(ROOM, Plane.DATA, 5, owed_msgs=4)) == (3, [])
    assert (made.cursor, made.taken) == (5, 4)
    assert made.accept(batch(6, b"f")) == [b"f"]


def test_gone_spares_what_is_held() -> None:
    """What had arrived early is delivered, not counted as lost (R15)."""
    made = inlet()
    made.accept(batch(3, b"c", b"d", b"e"))
    made.accept(batch(8, b"h"))

    assert made.skip(Gone(ROOM, Plane.DATA, 4, owed_msgs=4)) == (2, [b"c", b"d", b"e"])
    assert made.cursor == 5
    assert made.skip(Gone(ROOM, Plane.DATA, 7, owed_msgs=7)) == (2, [b"h"])
    assert made.taken == 8


def test_gone_that_nothing_is_missing_of_is_no_loss() -> None:
    """Messages for others may go without a word (R15)."""
    made = inlet()

    assert made.skip(Gone(ROOM, Plane.DATA, 5, owed_msgs=0)) == (0, [])
    assert made.cursor == made.head == 5


def test_stalled_inlet_holds_everything_and_has_no_hole() -> None:
    """Nothing is delivered nor asked for until it is resumed (R18)."""
    made = inlet()
    made.stall()

    assert made.accept(batch(1, b"a")) == []
    assert made.accept(batch(3, b"c")) == []
    assert made.hole == 0
    assert made.resume() == [b"a"]
    assert made.hole == 2


def test_stalled_inlet_is_emptied_in_portions() -> None:
    """It stays stalled until nothing is left that may be delivered (R18)."""
    made = inlet()
    made.stall()
    for number in (1, 3, 5, 8):
        made.accept(batch(number, b"a", b"b"))

    assert made.resume(3) == [b"a", b"b"] * 2
    assert made.stalled
    assert made.resume(3) == [b"a", b"b"]
    assert not made.stalled
    assert made.hole == 7


def test_what_others_were_sent_behind_a_loss_is_no_loss() -> None:
    """Numbers beyond the loss that are not for this reader are not counted (R12, R15)."""
    made = inlet()
    made.accept(batch(2, b"b", b"c"))
    made.accept(batch(6, b"f", previous=3))

    assert made.skip(Gone(ROOM, Plane.DATA, 2, owed_msgs=2)) == (1, [b"b", b"c", b"f"])
    assert (made.cursor, made.taken) == (6, 4)
