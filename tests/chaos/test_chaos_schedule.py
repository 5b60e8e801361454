"""The plans of chaos."""

from __future__ import annotations

from collections import Counter

import pytest
from chaos.schedule import ACTORS, LONG_CUT, REST_SECS, SHORT, USUAL, Fault, Kind, plan


def test_same_seed_gives_the_same_plan_and_another_seed_another() -> None:
    """A plan is a function of its seed and length."""
    assert plan(7, 60) == plan(7, 60)
    assert plan(7, 60) != plan(9, 60)


@pytest.mark.parametrize("seed", range(50))
def test_faults_of_one_process_never_overlap_and_all_are_mended_in_time(seed: int) -> None:
    """Each process has its rest after a fault, and the run ends in peace."""
    faults = plan(seed, 60)
    assert faults == sorted(faults, key=lambda fault: fault.at_secs)
    assert all(fault.until_secs <= 58 for fault in faults)
    for actor in range(ACTORS):
        mine = [fault for fault in faults if fault.victim == actor]
        for one, next_one in zip(mine, mine[1:], strict=False):
            assert next_one.at_secs >= round(one.until_secs + REST_SECS, 2)


def test_twenty_plans_hold_every_fault_many_times() -> None:
    """Twenty seeds play everything on the menu, and the long cut in a part of the runs only."""
    faults = [(f.kind, f.secs) for seed in range(1, 21) for f in plan(seed, 60)]
    counts = Counter(faults)
    assert all(counts[fault] >= 5 for fault in USUAL)
    assert 5 <= counts[LONG_CUT] <= 10
    assert {kind for kind, _ in counts} == set(Kind)


def test_short_plan_has_what_fits() -> None:
    """In ten seconds the short menu is played whole."""
    assert {(f.kind, f.secs) for f in plan(1, 10)} == set(SHORT)


def test_fault_tells_its_story() -> None:
    """A fault reads as a line of the schedule."""
    assert str(Fault(4.5, Kind.CUT, 3, 0.1)) == "  4.5 s  cut      3 for 0.1 s"
