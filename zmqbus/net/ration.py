"""How much of a processor a thread may take, whatever the network sends it."""

from __future__ import annotations

SHARE = 0.1
"""Of one core, over time. Below it the adverts of a large mesh come late; above it a flood of
datagrams costs the application (D04)."""
SAVED_SECS = 0.5
"""What a quiet thread may have saved up: some thousands of adverts that come at once."""
LOOK_SECS = 1.0
"""How often to look at a thread, and while it must rest ten times as often."""


class Ration:
    """Tells a thread when to rest.

    Args:
        used_secs: The processor time it has used so far, as `time.thread_time` says.
        now: The time.
    """

    def __init__(self, used_secs: float, now: float) -> None:
        self._left_secs = SAVED_SECS
        self._used_secs = used_secs
        self._at = now

    def rest_secs(self, used_secs: float, now: float) -> float:
        """How long it must do nothing now, so that it keeps to its share; 0 for not at all."""
        earned_secs = SHARE * (now - self._at) - (used_secs - self._used_secs)
        self._left_secs = min(SAVED_SECS, self._left_secs + earned_secs)
        self._used_secs, self._at = used_secs, now
        return max(0.0, -self._left_secs / SHARE)
