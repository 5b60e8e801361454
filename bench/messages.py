"""What is sent."""

from __future__ import annotations

from collections.abc import Callable

from pipecat.bus import BusFrameMessage, BusJobRequestMessage, BusMessage
from pipecat.frames.frames import InputAudioRawFrame, TextFrame
from pipecat.processors.frame_processor import FrameDirection

SOURCE, SINK = "bench-source", "bench-sink"
_PCM = bytes(range(256)) * 128


def audio(size_bytes: int = 640) -> BusFrameMessage:
    """A frame of 16 kHz mono audio; 640 bytes are 20 ms."""
    frame = InputAudioRawFrame(audio=_PCM[:size_bytes], sample_rate=16000, num_channels=1)
    return BusFrameMessage(source=SOURCE, frame=frame, direction=FrameDirection.DOWNSTREAM)


def text() -> BusMessage:
    """A frame with one token of text."""
    frame = TextFrame(text="hello ")
    return BusFrameMessage(source=SOURCE, frame=frame, direction=FrameDirection.DOWNSTREAM)


def job() -> BusMessage:
    """A job request with a small payload."""
    return BusJobRequestMessage(
        source=SOURCE,
        target=SINK,
        job_id="j-1",
        job_name="weather",
        payload={"city": "Oslo", "days": 3},
    )


MESSAGES: dict[str, Callable[[], BusMessage]] = {
    "audio 20 ms": audio,
    "audio 32 kB": lambda: audio(32_000),
    "text": text,
    "job": job,
}
