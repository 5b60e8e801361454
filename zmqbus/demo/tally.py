"""What became of a numbered stream: the counts and times that the summary quotes."""

from __future__ import annotations

from bisect import insort


class Tally:
    """Counts numbered frames as they arrive, and how long each was under way.

    Invariant: `received` is the number of different frames seen; `duplicates` the rest.
    """

    def __init__(self) -> None:
        self.out_of_order = 0
        self.duplicates = 0
        self._seen: set[int] = set()
        self._highest = -1
        self._latencies_ms: list[float] = []

    @property
    def received(self) -> int:
        """How many different frames have arrived."""
        return len(self._seen)

    def note(self, number: int, latency_secs: float) -> None:
        """Count one frame in.

        Args:
            number: Its place in the stream, from 0.
            latency_secs: How long it was under way.
        """
        if number in self._seen:
            self.duplicates += 1
            return
        self.out_of_order += number < self._highest
        self._highest = max(self._highest, number)
        self._seen.add(number)
        insort(self._latencies_ms, latency_secs * 1000)

    def latency_ms(self, quantile: float) -> float | None:
        """The one-way latency that this share of the frames did not exceed, or None."""
        if not self._latencies_ms:
            return None
        place = min(len(self._latencies_ms) - 1, int(quantile * len(self._latencies_ms)))
        return round(self._latencies_ms[place], 3)
