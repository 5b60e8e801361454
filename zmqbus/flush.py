"""Flush probes that cross processes: the event their initiator awaits stays where it is.

pipecat drains a pipeline by sending a `PipelineFlushFrame` through it and whatever it is bridged
to; the pipeline that completes its last leg sets the `asyncio.Event` on the frame. Within one
process that is the initiator's own event. Across processes the frame gets a stand-in, whose
``set()`` tells the initiator's bus; a probe that comes home has its own event again. Without this
every drain would wait for its timeout.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

from pipecat.bus import BusDataMessage, BusFrameMessage, BusMessage
from pipecat.frames import frames

PROBE: type[Any] | None = getattr(frames, "PipelineFlushFrame", None)
"""The class of probes; None in a pipecat that does not drain."""


@dataclass
class FlushDoneMessage(BusDataMessage):
    """A flush probe has completed its last leg in another process; never reaches subscribers.

    Data, so that it arrives after everything the pipeline sent before.

    Parameters:
        flush_id: The probe's ``flush_id``.
    """

    flush_id: int


class StandIn(asyncio.Event):
    """The event on a probe from another process.

    Args:
        on_set: Called when it is set for the first time.
    """

    def __init__(self, on_set: Callable[[], None]) -> None:
        super().__init__()
        self._on_set = on_set

    def set(self) -> None:
        """Set it, here and where the probe came from."""
        if not self.is_set():
            super().set()
            self._on_set()


class Flushes:
    """The probes that one bus has sent, and those it has taken in.

    Args:
        source: The name that reports are sent by.
        send: Sends a report, soon.
    """

    def __init__(self, source: str, send: Callable[[BusMessage], None]) -> None:
        self._source = source
        self._send = send
        self._events: WeakValueDictionary[int, asyncio.Event] = WeakValueDictionary()

    def outgoing(self, message: BusMessage) -> BusMessage:
        """What to send instead: of a probe, a copy without its event, which is remembered.

        It is remembered for as long as somebody awaits it.
        """
        probe = _probe_in(message)
        if probe is None or probe.event is None:
            return message
        self._events[probe.flush_id] = probe.event
        outgoing, bare = copy(message), copy(probe)
        bare.event = None
        outgoing.frame = bare  # type: ignore[attr-defined]
        return outgoing

    def incoming(self, message: BusMessage) -> bool:
        """Give a probe that comes in its event; True if the message was a report, done with."""
        if isinstance(message, FlushDoneMessage):
            event = self._events.get(message.flush_id)
            if event is not None:
                event.set()
            return True
        probe = _probe_in(message)
        if probe is not None:
            probe.event = self._events.get(probe.flush_id) or self._stand_in(probe)
        return False

    def _stand_in(self, probe: Any) -> StandIn:
        origin, flush_id = probe.origin, probe.flush_id
        report = FlushDoneMessage(source=self._source, target=origin, flush_id=flush_id)
        return StandIn(lambda: self._send(report))


def _probe_in(message: BusMessage) -> Any:
    """The probe that a message carries, or None."""
    if PROBE and isinstance(message, BusFrameMessage) and isinstance(message.frame, PROBE):
        return message.frame
    return None
