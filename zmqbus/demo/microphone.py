"""The microphone: streams a recording into the bus, 20 ms at a time."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from pipecat.bus import BusBridgeProcessor, BusJobRequestMessage
from pipecat.frames.frames import Frame, InputAudioRawFrame
from pipecat.pipeline.job_decorator import job
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.frame_processor import FrameDirection

from zmqbus.bus import ZmqBus
from zmqbus.demo.recording import FRAME_SECS, SAMPLE_RATE, Recording, load_recording
from zmqbus.demo.runners import MICROPHONE, make_bus, make_runner

# How far `--fast` may run ahead of the bus: enough to keep it busy, too little to fill memory.
_AHEAD_FRAMES = 64


class CountingBridge(BusBridgeProcessor):
    """A bridge that stamps each frame as it leaves, and knows how many have left.

    `room` holds one permit for every frame that may still be put before the bridge.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.sent = 0
        self.room = asyncio.Semaphore(_AHEAD_FRAMES)

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Send a frame to the bus, with the time it left."""
        if not isinstance(frame, InputAudioRawFrame):
            await super().process_frame(frame, direction)
            return
        frame.metadata["sent_ns"] = time.time_ns()
        try:
            await super().process_frame(frame, direction)
            self.sent += 1
        finally:
            self.room.release()

    async def drained(self) -> None:
        """Wait until every frame put before the bridge has left."""
        for _ in range(_AHEAD_FRAMES):
            await self.room.acquire()


class Microphone(PipelineWorker):
    """Plays its recording once, when the job `play` asks for it and those who listen can hear it.

    Args:
        recording: What to play.
        fast: As fast as the bus takes it, instead of in real time.
        bus: The bus that the pipeline is bridged to.
    """

    def __init__(self, recording: Recording, fast: bool, bus: ZmqBus) -> None:
        self._mesh_bus = bus
        self._recording = recording
        self._fast = fast
        self._bridge = CountingBridge(bus=bus, worker_name=MICROPHONE)
        super().__init__(Pipeline([self._bridge]), name=MICROPHONE, idle_timeout_secs=None)

    @job(name="play")  # type: ignore[untyped-decorator]
    async def play(self, message: BusJobRequestMessage) -> None:
        """Play, and answer how many frames were sent."""
        assert message.payload is not None, "the request says who listens"
        for listener in message.payload["listeners"]:  # the desk knows them; we may not yet
            await self._mesh_bus.wait_for_worker(listener)
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number, pcm in enumerate(self._recording.frames()):
            if not self._fast:  # by the schedule, not by the last frame: no drift
                await asyncio.sleep(began + number * FRAME_SECS - loop.time())
            await self._bridge.room.acquire()
            frame = InputAudioRawFrame(audio=pcm, sample_rate=SAMPLE_RATE, num_channels=1)
            frame.metadata["number"] = number
            await self.queue_frame(frame)
        await self._bridge.drained()
        await self.send_job_response(message.job_id, {"sent": self._bridge.sent})


async def run_microphone(channel: str, wav: Path, fast: bool) -> None:
    """Be the microphone until the session ends.

    Args:
        channel: The session's channel.
        wav: The recording.
        fast: As fast as the bus takes it.
    """
    bus = make_bus(channel)
    worker = Microphone(load_recording(wav), fast, bus)
    await (await make_runner(worker, bus, handle_sigterm=True)).run()
