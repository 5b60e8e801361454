"""The share of a processor that a thread may take."""

from __future__ import annotations

from zmqbus.net.ration import SAVED_SECS, SHARE, Ration


def test_thread_that_does_little_never_rests() -> None:
    """Within its share it may go on for ever."""
    ration = Ration(7.0, 100.0)
    rests = [ration.rest_secs(7.0 + SHARE * n / 2, 100.0 + n) for n in range(100)]
    assert not any(rests)


def test_thread_in_a_flood_keeps_to_its_share() -> None:
    """Who would take all there is works for a tenth of the time, beyond what it had saved (D04)."""
    ration, used_secs, now = Ration(0.0, 0.0), 0.0, 0.0
    while now < 100.0:
        used_secs += 0.1
        now += 0.1
        now += ration.rest_secs(used_secs, now)
    assert used_secs <= SAVED_SECS + SHARE * now + 0.1


def test_what_is_saved_up_is_bounded() -> None:
    """A quiet day earns no more than a quiet minute."""
    ration = Ration(0.0, 0.0)
    assert not ration.rest_secs(0.0, 86_400.0)
    assert not ration.rest_secs(SAVED_SECS, 86_400.0)
    assert ration.rest_secs(SAVED_SECS + SHARE, 86_400.0) > 0.9
