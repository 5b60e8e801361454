"""When the thread at the door lets events gather."""

from __future__ import annotations

from zmqbus.net.zap import CALM_EVENTS_PER_SEC, Crowd


def test_members_that_come_and_go_are_no_crowd() -> None:
    """A whole mesh that comes at once is dealt with at once, and so is its coming and going."""
    crowd = Crowd(CALM_EVENTS_PER_SEC)
    crowd.events += CALM_EVENTS_PER_SEC
    assert not crowd.is_there(1.0)
    for tenth in range(11, 100):
        crowd.events += CALM_EVENTS_PER_SEC / 10
        assert not crowd.is_there(tenth / 10)


def test_flood_is_a_crowd_until_a_second_after_it() -> None:
    """However long and large it was."""
    crowd = Crowd(CALM_EVENTS_PER_SEC)
    for second in range(60):
        crowd.events += 30_000
        assert crowd.is_there(float(second))
    assert crowd.is_there(59.9)
    assert not crowd.is_there(61.0)
