"""The ear of a listener: where the sound that the bus brings is counted and kept."""

from __future__ import annotations

import asyncio
import time

from pipecat.frames.frames import Frame, InputAudioRawFrame
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from zmqbus.demo.recording import FRAME_SECS
from zmqbus.demo.tally import Tally

# What a standby keeps, 1.9 MB. A sentence that is longer, without any pause, cannot be taken over
# whole, and its beginning is counted as lost; more would only cost memory.
KEPT_SECS = 60

_KEPT_FRAMES = round(KEPT_SECS / FRAME_SECS)


class Ear(FrameProcessor):
    """Counts frames in as they arrive, and keeps their sound for whoever listens.

    `sound` is the buffer that lets a standby take over without losing a word. Audio is broadcast,
    so the ear of a standby hears what the listener hears. Until it `listens` it keeps the newest
    `KEPT_SECS` and forgets what is older; from then on it keeps everything that is not taken yet,
    which a recording bounds. A listener that takes over begins where the last complete sentence of
    its predecessor ended, and hears what it has here faster than it was spoken.

    It passes no sound on: what leaves a bridged pipeline goes back to the bus.
    """

    def __init__(self) -> None:
        super().__init__()
        self.tally = Tally()
        self.sound: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue()
        self.listens = False
        self._forgotten = 0

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Take in sound; let everything else through."""
        await super().process_frame(frame, direction)
        if not isinstance(frame, InputAudioRawFrame):
            await self.push_frame(frame, direction)
            return
        number = frame.metadata["number"]
        under_way_ns = time.time_ns() - frame.metadata["sent_ns"]
        self.tally.note(number, under_way_ns / 1e9)
        self.keep(number, frame.audio)

    def keep(self, number: int, pcm: bytes) -> None:
        """Keep the sound of one frame."""
        if not self.listens and self.sound.qsize() == _KEPT_FRAMES:
            self._forgotten = self.sound.get_nowait()[0] + 1
        self.sound.put_nowait((number, pcm))

    def missing(self, first: int) -> int:
        """How many frames from ``first`` on were heard and are forgotten."""
        return max(0, self._forgotten - first)
