"""One transcription: sound in; progress, speech and text out."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from zmqbus.demo.ear import Ear
from zmqbus.demo.recognizer import Recognizer
from zmqbus.demo.recording import FRAME_BYTES
from zmqbus.demo.speech import SpeechDetector

# A microphone sends every 20 ms: after this long without a frame, the rest is lost.
STALL_SECS = 5.0

_PROGRESS_SECS = 0.1


class Transcription:
    """Hears a recording to its end, from its start or from where another left off.

    The sound of a sentence is the same either way. The recognizer adapts to the voice, though: one
    that did not hear the sentences before may write other words than the one that did.

    Args:
        ear: Where the sound is.
        recognizer: Who writes the text, started; None for speech detection only.
        resume: Where to begin: the `first` frame, the complete `text` before it and its `segments`.
        tell: Sends a chunk: a dict with one of the keys `received`, `speaking` and `text`; a
            complete text comes with the `resume` of whoever should have to go on from there.
    """

    def __init__(
        self,
        ear: Ear,
        recognizer: Recognizer | None,
        resume: dict[str, Any],
        tell: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        self._ear = ear
        self._recognizer = recognizer
        self._tell = tell
        self._first: int = resume["first"]
        self._heard_before = ear.tally.received
        self._complete: list[str] = list(filter(None, [resume["text"]]))
        self._detector = SpeechDetector(self._first * FRAME_BYTES, resume["segments"])
        self._ends: deque[dict[str, Any]] = deque()  # of utterances whose text is not complete

    async def run(self, frames_count: int) -> dict[str, Any]:
        """Hear so many frames, or give up on those that do not come; returns what was heard."""
        if self._recognizer is None:
            await self._listen(frames_count)
            return self._summary()
        reading = asyncio.create_task(self._read(self._recognizer))
        await self._listen(frames_count)
        self._note_end()
        await self._recognizer.finish()
        await reading
        return {**self._summary(), "text": " ".join(self._complete)}

    async def _listen(self, frames_count: int) -> None:
        loop = asyncio.get_running_loop()
        tally, sound = self._ear.tally, self._ear.sound
        began = reported = 0.0
        while tally.received < frames_count or not sound.empty():
            try:
                number, pcm = await asyncio.wait_for(sound.get(), STALL_SECS if began else None)
            except TimeoutError:
                break
            began = began or loop.time()
            if number >= self._first:
                await self._hear(pcm)
            if loop.time() >= reported + _PROGRESS_SECS:
                reported = loop.time()
                await self._tell_progress(reported - began)
        await self._tell_progress(loop.time() - began)
        self._detector.finish()

    async def _hear(self, pcm: bytes) -> None:
        """Take sound in; what was said until speech ends is one utterance."""
        speaking = await self._detector.hear(pcm)
        if self._recognizer is not None:
            await self._recognizer.hear(pcm)
        if speaking is None:
            return
        await self._tell({"speaking": speaking, "at_secs": round(self._detector.heard_secs, 2)})
        if self._recognizer is not None and not speaking:
            self._note_end()
            await self._recognizer.end_utterance()

    def _note_end(self) -> None:
        first, segments = self._detector.heard_bytes // FRAME_BYTES, self._detector.segments
        self._ends.append({"first": first, "segments": [list(segment) for segment in segments]})

    async def _tell_progress(self, since_secs: float) -> None:
        tally = self._ear.tally
        heard = tally.received - self._heard_before
        chunk = {
            "received": tally.received,
            "frames_per_sec": round(heard / max(since_secs, 0.001)),
            "latency_ms": tally.latency_ms(0.5),
        }
        await self._tell(chunk)

    async def _read(self, recognizer: Recognizer) -> None:
        """Pass the text on as it grows."""
        async for utterance, is_complete in recognizer.texts():
            text = " ".join(filter(None, [*self._complete, utterance]))
            if not is_complete:
                await self._tell({"text": text})
                continue
            self._complete = list(filter(None, [text]))
            await self._tell({"text": text, "resume": {"text": text, **self._ends.popleft()}})

    def _summary(self) -> dict[str, Any]:
        tally = self._ear.tally
        return {
            "received": tally.received - self._ear.missing(self._first),
            "out_of_order": tally.out_of_order,
            "duplicates": tally.duplicates,
            "latency_p50_ms": tally.latency_ms(0.5),
            "latency_p99_ms": tally.latency_ms(0.99),
            "segments": [list(segment) for segment in self._detector.segments],
        }
