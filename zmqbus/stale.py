"""Old audio is worse than none: stale audio frames are skipped, counted and announced (R18a).

Each end measures how long a frame has waited there, on its own clock. The sender lets the core
leave out what is sent again too late; the receiver skips what has waited too long in the inbox of
a subscriber. Nothing but audio is ever skipped, and nothing at all unless ``max_audio_age_secs`` is
set.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from functools import partial
from math import inf

from pipecat.bus import BusFrameMessage, BusMessage
from pipecat.frames.frames import AudioRawFrame

from zmqbus.gate import Gate
from zmqbus.packets import NodeId

ANNOUNCE_SECS = 0.5
"""How long skipped frames are counted before they are announced. Shorter: an event a frame."""

SKIPPED_THERE = "stale audio, skipped by its sender"
SKIPPED_HERE = "stale audio, skipped in the inbox"

_ARRIVAL = "_zmqbus_arrival"


class _Arrival:
    """When a message came that may become stale; kept on the message."""

    def __init__(
        self, expires_at: float, clock: Callable[[], float], skipped: Callable[[], None]
    ) -> None:
        self._expires_at = expires_at
        self._clock = clock
        self._skipped: Callable[[], None] | None = skipped

    def is_stale(self) -> bool:
        """Whether it has waited too long; the first time that is so, it is counted."""
        if self._clock() < self._expires_at:
            return False
        skipped, self._skipped = self._skipped, None
        if skipped:
            skipped()
        return True


class StaleAudio:
    """What one life of a bus has skipped and not announced yet.

    Args:
        max_age_secs: How long an audio frame may wait at either end; None: for ever.
        clock: The time of the core.
        announce: Told from whom, how many were skipped, and where.
    """

    def __init__(
        self,
        max_age_secs: float | None,
        clock: Callable[[], float],
        announce: Callable[[NodeId, int, str], None],
    ) -> None:
        self._max_age_secs = max_age_secs
        self._clock = clock
        self._announce = announce
        self._skipped: Counter[tuple[NodeId, str]] = Counter()
        self._handle: asyncio.TimerHandle | None = None

    def expires_at(self, message: BusMessage) -> float:
        """When a message that waits from now on becomes stale."""
        if self._max_age_secs is None or not _is_audio(message):
            return inf
        return self._clock() + self._max_age_secs

    def arrived(self, message: BusMessage, node: NodeId, at: float) -> None:
        """A message of ``node`` came at that time, and goes into the inboxes."""
        if self._max_age_secs is not None and _is_audio(message):
            skipped = partial(self.skipped, node, SKIPPED_HERE)
            arrival = _Arrival(at + self._max_age_secs, self._clock, skipped)
            setattr(message, _ARRIVAL, arrival)

    def skipped(self, node: NodeId, where: str) -> None:
        """A message of ``node`` was skipped."""
        self._skipped[node, where] += 1
        if self._handle is None:
            loop = asyncio.get_running_loop()
            self._handle = loop.call_later(ANNOUNCE_SECS, self.announce)

    def announce(self) -> None:
        """Announce what was skipped since the last time."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        skipped, self._skipped = self._skipped, Counter()
        for (node, where), count in skipped.items():
            self._announce(node, count, where)


class AudioGate(Gate):
    """Skips the audio that has become stale in a subscriber's inbox."""

    async def on_bus_message(self, message: BusMessage) -> None:
        """Hand a message on, unless it is stale."""
        arrival: _Arrival | None = getattr(message, _ARRIVAL, None)
        if arrival is None or not arrival.is_stale():
            await super().on_bus_message(message)


def _is_audio(message: BusMessage) -> bool:
    return isinstance(message, BusFrameMessage) and isinstance(message.frame, AudioRawFrame)
