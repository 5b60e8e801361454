"""What is sent."""

from __future__ import annotations

from collections.abc import Callable

from pipecat.bus import (
    BusFrameMessage,
    BusJobRequestMessage,
    BusMessage,
    BusWorkerRegistryMessage,
)
from pipecat.frames.frames import (
    Frame,
    InputAudioRawFrame,
    LLMContextFrame,
    OutputImageRawFrame,
    TextFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameDirection
from pipecat.registry.types import WorkerRegistryEntry

SOURCE, SINK = "bench-source", "bench-sink"
_PCM = bytes(range(256)) * 128
_TURNS = 20


def _framed(frame: Frame) -> BusFrameMessage:
    return BusFrameMessage(source=SOURCE, frame=frame, direction=FrameDirection.DOWNSTREAM)


def audio(size_bytes: int = 640) -> BusFrameMessage:
    """A frame of 16 kHz mono audio; 640 bytes are 20 ms."""
    audio = _PCM[:size_bytes]
    return _framed(InputAudioRawFrame(audio=audio, sample_rate=16000, num_channels=1))


def image() -> BusFrameMessage:
    """A raw image of 640 x 480."""
    return _framed(OutputImageRawFrame(image=bytes(640 * 480 * 3), size=(640, 480), format="RGB"))


def text() -> BusFrameMessage:
    """A frame with one token of text."""
    return _framed(TextFrame(text="hello "))


def job() -> BusJobRequestMessage:
    """A job request with a small payload."""
    return BusJobRequestMessage(
        source=SOURCE,
        target=SINK,
        job_id="j-1",
        job_name="weather",
        payload={"city": "Oslo", "days": 3},
    )


def registry() -> BusWorkerRegistryMessage:
    """What a runner with four workers says of them."""
    workers = [
        WorkerRegistryEntry(name=f"worker-{i}", active=True, started_at=1.7e9) for i in range(4)
    ]
    return BusWorkerRegistryMessage(source=SOURCE, runner="runner", workers=workers)


def context() -> BusFrameMessage:
    """An LLM context of twenty turns."""
    roles = ("user", "assistant")
    said = [{"role": roles[i % 2], "content": f"turn {i}: " + "word " * 12} for i in range(_TURNS)]
    return _framed(LLMContextFrame(context=LLMContext(messages=said)))  # type: ignore[arg-type]


MESSAGES: dict[str, Callable[[], BusMessage]] = {
    "audio 20 ms": audio,
    "audio 32 kB": lambda: audio(32_000),
    "image 640x480": image,
    "text": text,
    "job": job,
    "registry": registry,
    "LLM context": context,
}
