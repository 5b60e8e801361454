"""Which readers are too far behind."""

from __future__ import annotations

from math import inf

import pytest
from support.scripted import ANNE, BERT

from zmqbus.core.history import History
from zmqbus.core.window import Reader, Window
from zmqbus.packets import NodeId


def window(msgs: int, size_bytes: int) -> Window:
    """One over ten messages of two bytes, of which Anne has two and Bert has six."""
    history = History(100, 1000, 0)
    for _ in range(10):
        history.add(None, b"ab", inf)
    return Window(history, {ANNE: Reader(2, 4, 0, 0), BERT: Reader(6, 12, 0, 0)}, msgs, size_bytes)


@pytest.mark.parametrize(
    ("limits", "left_by"),
    [
        ((8, 16), []),
        ((7, 16), [ANNE]),
        ((8, 15), [ANNE]),
        ((3, 16), [ANNE, BERT]),
        ((8, 7), [ANNE, BERT]),
    ],
)
def test_window_is_left_by_number_or_by_bytes(
    limits: tuple[int, int], left_by: list[NodeId]
) -> None:
    """Whichever comes first (R17)."""
    made = window(*limits)
    assert made.is_left is bool(left_by)
    assert made.left_by() == left_by


def test_who_was_given_up_on_counts_no_more_until_pardoned() -> None:
    """The slowest of the others decides (R17)."""
    made = window(5, 16)
    assert made.left_by() == [ANNE]
    made.give_up_on(ANNE)
    assert not made.is_left
    made.pardon(ANNE)
    assert made.is_left


def test_part_of_a_window_is_smaller() -> None:
    """A laggard is waited for again within half of it (R17)."""
    made = window(8, 1000)
    anne = Reader(2, 4, 0, 0)
    assert (made.is_left_by(anne), made.is_left_by(anne, part=2)) == (False, True)
