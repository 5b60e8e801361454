"""`Failover`: each step is timed from the kill, once, and only if it is one."""

from __future__ import annotations

from itertools import count

from zmqbus.demo.failover import FAILED, HANDED_OVER, LOST, SENTENCE, STEPS, TEXT, Failover


def test_steps_in_order_are_timed_from_the_kill() -> None:
    """The first of each kind counts."""
    failover = Failover(clock=count().__next__)
    failover.begin()
    for step in (FAILED, LOST, HANDED_OVER, TEXT, TEXT, SENTENCE, SENTENCE):
        failover.note(step)

    assert failover.steps == {FAILED: 1, LOST: 2, HANDED_OVER: 3, TEXT: 4, SENTENCE: 6}
    assert failover.steps.keys() == STEPS.keys()


def test_nothing_before_the_kill_is_a_step() -> None:
    """What the listener does while it lives is no failover."""
    failover = Failover()
    for step in STEPS:
        failover.note(step)

    assert (failover.steps, failover.has_begun) == ({}, False)


def test_last_words_of_the_dead_are_not_taken_for_the_standby() -> None:
    """Text that is read after the kill and before the hand-over came from the listener."""
    failover = Failover()
    failover.begin()
    for step in (TEXT, SENTENCE):
        failover.note(step)

    assert (failover.steps, failover.has_begun) == ({}, True)
