"""Messages that say where they stand in their sender's ledger."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from chaos.ledger import Lane
from pipecat.bus import BusMessage, BusSystemMessage
from pipecat.bus.messages import BusDataMessage, BusFrameMessage
from pipecat.frames.frames import OutputAudioRawFrame
from pipecat.processors.frame_processor import FrameDirection

_STAMP = struct.Struct("<BBBxII")
AUDIO_BYTES = 640
"""20 ms at 16 kHz."""


@dataclass(frozen=True)
class Stamp:
    """Which message of which incarnation this is; see `chaos.ledger.Record`."""

    actor: int
    life: int
    lane: Lane
    number: int
    after: int


@dataclass(kw_only=True)
class StampedMessage(BusDataMessage):
    """A data message with nothing but a stamp."""

    stamp: bytes


@dataclass(kw_only=True)
class StampedUrgentMessage(BusSystemMessage):
    """A system message with nothing but a stamp."""

    stamp: bytes


def stamped(stamp: Stamp, source: str, target: str | None) -> BusMessage:
    """The message that carries a stamp, of the class that goes with its lane."""
    raw = _STAMP.pack(stamp.actor, stamp.life, stamp.lane, stamp.number, stamp.after)
    if stamp.lane is Lane.AUDIO:
        audio = raw.ljust(AUDIO_BYTES, b"\0")
        frame = OutputAudioRawFrame(audio=audio, sample_rate=16_000, num_channels=1)
        return BusFrameMessage(
            source=source, target=target, frame=frame, direction=FrameDirection.DOWNSTREAM
        )
    if stamp.lane.plane == 0:
        return StampedUrgentMessage(source=source, target=target, stamp=raw)
    return StampedMessage(source=source, target=target, stamp=raw)


def stamp_of(message: BusMessage) -> Stamp | None:
    """The stamp of a message, or None if it has none."""
    if isinstance(message, StampedMessage | StampedUrgentMessage):
        raw = message.stamp
    elif isinstance(message, BusFrameMessage) and isinstance(message.frame, OutputAudioRawFrame):
        raw = message.frame.audio[: _STAMP.size]
    else:
        return None
    actor, life, lane, number, after = _STAMP.unpack(raw)
    return Stamp(actor, life, Lane(lane), number, after)
