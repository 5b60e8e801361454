"""`Tally`: what the summary says is what happened to the numbered frames."""

from __future__ import annotations

from zmqbus.demo.tally import Tally


def test_loss_order_and_repetition_are_told_apart() -> None:
    """A gap, a late frame and one that came twice are each counted once, as what they are."""
    tally = Tally()
    for number in (0, 1, 4, 2, 4, 5):
        tally.note(number, 0.001)

    assert (tally.received, tally.out_of_order, tally.duplicates) == (5, 1, 1)


def test_latency_quantiles_are_of_the_frames_seen() -> None:
    """p50 and p99 are values that were measured, in milliseconds."""
    tally = Tally()
    for number in range(100):
        tally.note(number, number / 1000)

    assert (tally.latency_ms(0.5), tally.latency_ms(0.99), tally.latency_ms(1.0)) == (50, 99, 99)


def test_latency_of_nothing_is_unknown() -> None:
    """Without a frame there is no number to give."""
    assert Tally().latency_ms(0.5) is None
