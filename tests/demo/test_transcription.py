"""`Transcription`: one that goes on where another left off hears all that is left, and no more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from zmqbus.demo.ear import Ear
from zmqbus.demo.recognizer import Recognizer
from zmqbus.demo.recording import FRAME_BYTES, SPEECH_DIR, load_recording
from zmqbus.demo.transcription import Transcription

FRAMES = [
    pcm
    for name in ("austen-0920.wav", "austen-0870.wav")
    for pcm in load_recording(SPEECH_DIR / name).frames()
]


class Counter(Recognizer):
    """Understands of each utterance how long it is, in frames."""

    def __init__(self) -> None:
        super().__init__()
        self._heard_bytes = 0
        self._texts: asyncio.Queue[str | None] = asyncio.Queue()

    async def hear(self, pcm: bytes) -> None:
        """Count."""
        self._heard_bytes += len(pcm)

    async def end_utterance(self) -> None:
        """Understand."""
        self._texts.put_nowait(str(self._heard_bytes // FRAME_BYTES))
        self._heard_bytes = 0

    async def finish(self) -> None:
        """Nothing more comes."""
        await self.end_utterance()
        self._texts.put_nowait(None)

    async def texts(self) -> AsyncIterator[tuple[str, bool]]:
        """The length of each."""
        while (text := await self._texts.get()) is not None:
            yield text, True


async def transcribe(resume: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Transcribe both sentences from an ear that has heard them; also the places to resume from."""
    chunks: list[dict[str, Any]] = []

    async def tell(chunk: dict[str, Any]) -> None:
        chunks.append(chunk)

    ear = Ear()
    ear.listens = True
    for number, pcm in enumerate(FRAMES):
        ear.tally.note(number, 0.0)
        ear.keep(number, pcm)
    heard = await Transcription(ear, Counter(), resume, tell).run(len(FRAMES))
    return heard, [chunk["resume"] for chunk in chunks if "resume" in chunk]


async def test_resumed_anywhere_every_frame_is_heard_once() -> None:
    """The text before is kept, the utterances after it are as long as all that was left."""
    whole, resumes = await transcribe({"first": 0, "text": "", "segments": []})
    assert len(resumes) >= 3, "the recordings have pauses"

    for resume in resumes:
        heard, _ = await transcribe(resume)

        before, after = resume["text"].split(), heard["text"].split()
        assert after[: len(before)] == before
        assert sum(map(int, before)) == resume["first"]
        assert sum(map(int, after)) == sum(map(int, whole["text"].split())) == len(FRAMES)
        assert heard["segments"][: len(resume["segments"])] == resume["segments"]
        assert heard["received"] == whole["received"] == len(FRAMES)
