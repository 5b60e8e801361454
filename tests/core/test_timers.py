"""Deadlines by key."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from zmqbus.core.timers import Timers


def test_key_set_again_comes_due_at_the_later_time_only() -> None:
    """A key has one deadline: the last one set."""
    timers = Timers()
    timers.set(("a", 1), 1.0)
    timers.set(("a", 1), 2.0)

    assert timers.next_due() == 2.0
    assert timers.pop_due(1.5) is None
    assert timers.pop_due(2.0) == ("a", 1)
    assert timers.pop_due(9.0) is None


def test_hasten_moves_a_deadline_forward_only() -> None:
    """A hastened key comes due no later than before."""
    timers = Timers()
    timers.hasten(("a", 1), 5.0)
    timers.hasten(("a", 1), 9.0)
    assert timers.next_due() == 5.0

    timers.hasten(("a", 1), 3.0)

    assert timers.next_due() == 3.0


def test_cancelled_key_never_comes_due() -> None:
    """A cancelled key is not set, and cancelling one that is not set is nothing."""
    timers = Timers()
    timers.set(("a", 1), 1.0)
    timers.cancel(("a", 1))
    timers.cancel(("b", 1))

    assert not timers.is_set(("a", 1))
    assert timers.pop_due(9.0) is None
    assert timers.next_due() is None


def test_cleared_timers_have_nothing_due() -> None:
    """After `clear` no key has a deadline."""
    timers = Timers()
    timers.set(("a", 1), 1.0)

    timers.clear()

    assert timers.next_due() is None
    assert not timers.is_set(("a", 1))


@given(st.lists(st.tuples(st.sampled_from(["set", "hasten", "cancel", "pop"]), st.integers(0, 4))))
def test_timers_agree_with_a_plain_dict(steps: list[tuple[str, int]]) -> None:
    """Whatever is set, hastened and cancelled, the earliest comes due, ties as they were set."""
    timers = Timers()
    model: dict[int, float] = {}
    for at, (step, key) in enumerate(steps):
        due = float(at * 7 % 5)
        if step == "set" or (step == "hasten" and model.get(key, 9.0) > due):
            model.pop(key, None)
            model[key] = due
        if step == "set":
            timers.set(("k", key), due)
        elif step == "hasten":
            timers.hasten(("k", key), due)
        elif step == "cancel":
            model.pop(key, None)
            timers.cancel(("k", key))
        else:
            first = min(model, key=model.__getitem__, default=None)
            expected = first if first is not None and model[first] <= due else None
            assert timers.pop_due(due) == (None if expected is None else ("k", expected))
            if expected is not None:
                del model[expected]
        assert timers.next_due() == min(model.values(), default=None)
