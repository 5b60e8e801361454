"""Which strangers are named, and when: each once, not too many, the doubtful ones later."""

from __future__ import annotations

from zmqbus.net.visitors import UNKNOWN, Stranger, Why, host_of

DOUBT_SECS = 1.0
"""How long a doubtful sign waits for a better explanation. Longer: strangers are named late."""
AGAIN_SECS = 60.0
"""How long a stranger must keep away to be named again."""
NAMES_PER_SEC = 5
"""How many strangers are named in a second, at most; the others are counted."""
MAX_KNOWN = 256
"""How many strangers are remembered, and how many doubtful signs."""


class Names:
    """Decides which strangers are named.

    Once for each host and reason, until it has kept away for `AGAIN_SECS`; a doubtful sign only
    when nobody from that host comes in meanwhile, and no surer one has been named.
    """

    def __init__(self) -> None:
        self._named: dict[tuple[str, Why], float] = {}
        self._doubts: dict[tuple[str, Why], tuple[float, Stranger]] = {}
        self._budget = float(NAMES_PER_SEC)
        self._at = 0.0

    def suspect(self, stranger: Stranger, sure: bool, now: float) -> list[Stranger]:
        """Take a sign; returns who is to be named now."""
        if sure and stranger.address != UNKNOWN:
            return self._name(stranger, now)
        key = host_of(stranger.address), stranger.why
        if key not in self._doubts and len(self._doubts) < MAX_KNOWN:
            self._doubts[key] = (now + DOUBT_SECS, stranger)
        return []

    def welcome(self, host: str | None) -> None:
        """Somebody was let in: what was doubtful of this host is explained; None: of any host."""
        for key in [key for key in self._doubts if host is None or key[0] in (host, UNKNOWN)]:
            del self._doubts[key]

    def due(self, now: float) -> list[Stranger]:
        """Who is to be named because no explanation came."""
        overdue = [key for key, (due, _) in self._doubts.items() if due <= now]
        strangers = [self._doubts.pop(key)[1] for key in overdue]
        return [n for s in strangers if not self._is_explained(s) for n in self._name(s, now)]

    @property
    def waiting(self) -> bool:
        """Whether anything may be `due` later."""
        return bool(self._doubts)

    def _is_explained(self, stranger: Stranger) -> bool:
        host, why = host_of(stranger.address), stranger.why
        if host == UNKNOWN:
            return any(other is why for _, other in (*self._named, *self._doubts))
        surer = {Why.HUNG_UP: Why.NO_KEY, Why.HUNG_UP_ON_PLAIN: Why.NEEDS_KEY}.get(why)
        return (host, surer) in self._named

    def _name(self, stranger: Stranger, now: float) -> list[Stranger]:
        key = (host_of(stranger.address), stranger.why)
        last = self._named.pop(key, None)
        self._budget = min(NAMES_PER_SEC, self._budget + (now - self._at) * NAMES_PER_SEC)
        self._at = now
        if last is None and self._budget < 1:
            return []
        self._named[key] = now
        if len(self._named) > MAX_KNOWN:
            del self._named[next(iter(self._named))]
        if last is not None and now - last < AGAIN_SECS:
            return []
        self._budget -= 1
        return [stranger]
