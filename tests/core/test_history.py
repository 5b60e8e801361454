"""What a sender keeps: numbers, bounds, and what was there."""

from __future__ import annotations

from math import inf

import pytest

from zmqbus.core.history import History


def kept(history: History) -> list[tuple[int, bytes]]:
    """Everything kept, with its numbers."""
    return [(number, entry.body) for number, entry in history.after(0, history.head)]


@pytest.mark.parametrize(("msgs", "size_bytes"), [(2, 1000), (1000, 4)])
def test_oldest_messages_beyond_a_bound_are_dropped(msgs: int, size_bytes: int) -> None:
    """Of messages or of bytes, whichever comes first (R15)."""
    history = History(msgs, size_bytes, 7)
    assert [history.add(None, b"%d!" % n, inf) for n in range(4)] == [8, 9, 10, 11]
    assert kept(history) == [(10, b"2!"), (11, b"3!")]
    assert (len(history), history.size_bytes, history.head_bytes) == (2, 4, 8)


def test_one_message_is_kept_however_large() -> None:
    """Or it could never be repaired."""
    history = History(10, 4, 0)
    history.add(None, b"small", inf)
    history.add(None, b"far too large", inf)
    assert kept(history) == [(2, b"far too large")]


def test_what_is_dropped_is_not_found_and_counts_with_its_bytes() -> None:
    """What is asked for from before it begins with what is there."""
    history = History(10, 100, 0)
    for body in (b"a", b"bb", b"ccc", b"dddd"):
        history.add(None, body, inf)
    history.drop(2)
    history.drop(1)
    assert kept(history) == [(3, b"ccc"), (4, b"dddd")]
    assert [n for n, _ in history.after(3, 9)] == [4]
    assert [n for n, _ in history.after(0, 1)] == []
    assert [history.bytes_up_to(n) for n in range(5)] == [3, 3, 3, 6, 10]
