"""What happens between the death of a listener and the end of the sentence, and when."""

from __future__ import annotations

import time
from collections.abc import Callable

LOST, FAILED, HANDED_OVER, TEXT, SENTENCE = "lost", "failed", "handed_over", "text", "sentence"

STEPS = {
    LOST: "the desk knows that the runner is lost",
    FAILED: "the job has its ERROR response",
    HANDED_OVER: "the standby listens",
    TEXT: "first text of the standby",
    SENTENCE: "the sentence is complete",
}
"""Each step with its words, in the order of the summary."""


class Failover:
    """Times each step from the kill on.

    Invariant: a step is timed once; text counts only after the hand-over, since what the dead
    listener said last may still be waiting to be read.

    Args:
        clock: The time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.steps: dict[str, float] = {}
        self._clock = clock
        self._killed_at: float | None = None

    @property
    def has_begun(self) -> bool:
        """Whether the listener has been killed."""
        return self._killed_at is not None

    def begin(self) -> None:
        """The listener is killed now."""
        self._killed_at = self._clock()

    def note(self, step: str) -> None:
        """A step has happened, if it is one: before the kill, and once timed, it is none."""
        too_early = step in (TEXT, SENTENCE) and HANDED_OVER not in self.steps
        if self._killed_at is not None and not too_early:
            self.steps.setdefault(step, round(self._clock() - self._killed_at, 3))
