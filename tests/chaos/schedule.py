"""What goes wrong in a run, and when: pure and seeded."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

ACTORS = 5
"""How many processes a run has."""
WARM_UP_SECS = 2.0
"""Before the first fault, and after the last, so that each can be told from start and end."""
REST_SECS = 3.0
"""How long a process is left alone after a fault. Below it the next fault would hit one that is
still coming back, and nothing could be said of either."""


class Kind(Enum):
    """Kinds of faults."""

    KILL = "kill"
    STOP = "stop"
    CUT = "cut"
    RESET = "reset"
    THROTTLE = "throttle"
    BLOCK = "block"
    DEAFEN = "deafen"


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    Parameters:
        at_secs: When, after the start of the run.
        kind: SIGKILL, SIGSTOP, a cut link, TCP resets, a narrow link, a handler that blocks the
            loop, a handler that waits.
        victim: The process.
        secs: How long until it is mended; for a kill: until its successor is started.
    """

    at_secs: float
    kind: Kind
    victim: int
    secs: float

    @property
    def until_secs(self) -> float:
        """When it is mended."""
        return self.at_secs + self.secs

    def __str__(self) -> str:
        return f"{self.at_secs:5.1f} s  {self.kind.value:<8} {self.victim} for {self.secs:g} s"


SHORT = ((Kind.CUT, 0.1), (Kind.RESET, 0.0), (Kind.KILL, 0.2), (Kind.STOP, 1.0))
"""What fits into some seconds."""
USUAL = (
    (Kind.KILL, 0.0),
    (Kind.KILL, 1.5),
    (Kind.KILL, 4.0),
    (Kind.STOP, 1.0),
    (Kind.STOP, 3.0),
    (Kind.STOP, 6.0),
    (Kind.CUT, 0.1),
    (Kind.CUT, 0.1),
    (Kind.CUT, 3.0),
    (Kind.CUT, 3.0),
    (Kind.RESET, 0.0),
    (Kind.RESET, 0.0),
    (Kind.THROTTLE, 4.0),
    (Kind.BLOCK, 5.0),
    (Kind.BLOCK, 5.0),
    (Kind.DEAFEN, 4.0),
    (Kind.DEAFEN, 8.0),
)
LONG_CUT = (Kind.CUT, 30.0)
"""In every other run that is long enough."""


def plan(seed: int, secs: float) -> list[Fault]:
    """The faults of a run of ``secs``, by time. The same arguments give the same faults.

    Two faults of one process never overlap; those of different processes may.
    """
    rng = random.Random(seed)
    menu = list(USUAL if secs >= 30 else SHORT)
    rng.shuffle(menu)
    if secs >= 45 and seed % 2:
        menu.insert(rng.randrange(3), LONG_CUT)
    end_secs = secs - WARM_UP_SECS
    free = [WARM_UP_SECS] * ACTORS
    pace_secs = (end_secs - WARM_UP_SECS) / len(menu)
    faults: list[Fault] = []
    for turn, (kind, lasts_secs) in enumerate(menu):
        wanted = WARM_UP_SECS + (turn + rng.random()) * pace_secs
        fault = _place(rng, free, wanted, kind, lasts_secs)
        if fault.until_secs <= end_secs:
            faults.append(fault)
            free[fault.victim] = fault.until_secs + REST_SECS
    return sorted(faults, key=lambda fault: fault.at_secs)


def _place(
    rng: random.Random, free: Sequence[float], wanted: float, kind: Kind, secs: float
) -> Fault:
    """Let a fault happen when it is wanted, or as soon as some process is free."""
    ready = [actor for actor in range(ACTORS) if free[actor] <= wanted]
    victim = rng.choice(ready) if ready else min(range(ACTORS), key=free.__getitem__)
    return Fault(round(max(wanted, free[victim]), 2), kind, victim, secs)
