"""Saying once what happens a thousand times (S33).

The first time a field cannot travel or a class is unknown is a WARNING that names it; the second
says that it goes on and that from here it is only counted. `Notices.counts` has the numbers.
"""

from __future__ import annotations

from collections import Counter

from loguru import logger

MAX_SUBJECTS = 1000  # names come from peers: beyond this many, they share one count
OTHERS = "others"


class Notices:
    """Counts what was dropped, by subject, and logs each subject twice at most."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def warn(self, subject: str, text: str) -> None:
        """Count `subject` and say `text` about it, unless that has been said enough."""
        if subject not in self.counts and len(self.counts) >= MAX_SUBJECTS:
            subject = OTHERS
        self.counts[subject] += 1
        if self.counts[subject] == 1:
            logger.warning(f"MsgpackSerializer: {subject}: {text}")
        elif self.counts[subject] == 2:
            logger.warning(f"MsgpackSerializer: {subject}: {text} (again; only counted from now)")
