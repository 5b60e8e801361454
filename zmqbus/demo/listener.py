"""The listener: hears what the bus brings, tells speech from silence, and says what it heard."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from pipecat.bus import BusJobRequestMessage
from pipecat.frames.frames import Frame, InputAudioRawFrame
from pipecat.pipeline.job_decorator import job
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from zmqbus.demo.recognizer import Recognizer, is_available
from zmqbus.demo.runners import LISTENER, make_bus, make_runner
from zmqbus.demo.speech import SpeechDetector
from zmqbus.demo.tally import Tally

# A microphone sends every 20 ms: after this long without a frame, the rest is lost.
STALL_SECS = 5.0

_PROGRESS_SECS = 0.1


class Ear(FrameProcessor):
    """Counts frames in as they arrive, and keeps their sound for whoever listens.

    It passes no sound on: what leaves a bridged pipeline goes back to the bus.
    """

    def __init__(self) -> None:
        super().__init__()
        self.tally = Tally()
        self.sound: asyncio.Queue[bytes] = asyncio.Queue()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Take in sound; let everything else through."""
        await super().process_frame(frame, direction)
        if not isinstance(frame, InputAudioRawFrame):
            await self.push_frame(frame, direction)
            return
        under_way_ns = time.time_ns() - frame.metadata["sent_ns"]
        self.tally.note(frame.metadata["number"], under_way_ns / 1e9)
        self.sound.put_nowait(frame.audio)


class Listener(PipelineWorker):
    """Answers the job `transcribe` with a stream: progress, speech, text; then the summary.

    The chunks of the stream are dicts with one of the keys `received`, `speaking` and `text`.
    """

    def __init__(self) -> None:
        self._ear = Ear()
        pipeline = Pipeline([self._ear])
        super().__init__(pipeline, name=LISTENER, bridged=(), idle_timeout_secs=None)

    @job(name="transcribe", sequential=True)  # type: ignore[untyped-decorator]
    async def transcribe(self, message: BusJobRequestMessage) -> None:
        """Listen to as many frames as the request announces."""
        assert message.payload is not None, "the request says how many frames will come"
        job_id = message.job_id
        recognizer = Recognizer() if is_available() else None
        if recognizer is None:
            await self.send_job_stream_start(job_id, {"recognizer": None})
            heard = await self._listen(job_id, message.payload["frames"], None)
        else:
            await recognizer.start()
            try:
                await self.send_job_stream_start(job_id, {"recognizer": "PocketSphinx"})
                reading = asyncio.create_task(self._read(job_id, recognizer))
                heard = await self._listen(job_id, message.payload["frames"], recognizer)
                await recognizer.finish()
                heard["text"] = await reading
            finally:
                await recognizer.stop()
        await self.send_job_stream_end(job_id, heard)

    async def _listen(
        self, job_id: str, frames_count: int, recognizer: Recognizer | None
    ) -> dict[str, Any]:
        """Hear all the frames, or give up on those that do not come."""
        loop = asyncio.get_running_loop()
        tally, sound, detector = self._ear.tally, self._ear.sound, SpeechDetector()
        began = reported = 0.0
        while tally.received < frames_count or not sound.empty():
            try:
                pcm = await asyncio.wait_for(sound.get(), STALL_SECS if began else None)
            except TimeoutError:
                break
            began = began or loop.time()
            changed = await detector.hear(pcm)
            if recognizer is not None:
                await recognizer.hear(pcm)
            if changed is not None:
                await self._tell_speech(job_id, changed, detector, recognizer)
            if loop.time() >= reported + _PROGRESS_SECS:
                reported = loop.time()
                await self._tell_progress(job_id, reported - began)
        await self._tell_progress(job_id, loop.time() - began)
        detector.finish()
        return self._summary(detector)

    async def _tell_speech(
        self,
        job_id: str,
        speaking: bool,
        detector: SpeechDetector,
        recognizer: Recognizer | None,
    ) -> None:
        """Report that speech began or ended; what was said until now is then one utterance."""
        chunk = {"speaking": speaking, "at_secs": round(detector.heard_secs, 2)}
        await self.send_job_stream_data(job_id, chunk)
        if recognizer is not None and not speaking:
            await recognizer.end_utterance()

    async def _tell_progress(self, job_id: str, since_secs: float) -> None:
        tally = self._ear.tally
        chunk = {
            "received": tally.received,
            "frames_per_sec": round(tally.received / max(since_secs, 0.001)),
            "latency_ms": tally.latency_ms(0.5),
        }
        await self.send_job_stream_data(job_id, chunk)

    async def _read(self, job_id: str, recognizer: Recognizer) -> str:
        """Pass the text on as it grows, and return the whole of it."""
        complete: list[str] = []
        async for utterance, is_complete in recognizer.texts():
            text = " ".join(filter(None, [*complete, utterance]))
            await self.send_job_stream_data(job_id, {"text": text})
            if is_complete and utterance:
                complete.append(utterance)
        return " ".join(complete)

    def _summary(self, detector: SpeechDetector) -> dict[str, Any]:
        tally = self._ear.tally
        return {
            "received": tally.received,
            "out_of_order": tally.out_of_order,
            "duplicates": tally.duplicates,
            "latency_p50_ms": tally.latency_ms(0.5),
            "latency_p99_ms": tally.latency_ms(0.99),
            "segments": [list(segment) for segment in detector.segments],
        }


async def run_listener(channel: str) -> None:
    """Be the listener until the session ends.

    Args:
        channel: The session's channel.
    """
    bus = make_bus(channel)
    await (await make_runner(Listener(), bus, handle_sigterm=True)).run()
