"""What is sent about: values, messages and frames of many kinds, the same in every process."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

from pipecat.bus import BusMessage
from pipecat.bus.messages import (
    BusTTSSpeakMessage,
    BusWorkerErrorMessage,
    BusWorkerLocalErrorMessage,
)
from pipecat.bus.ui.messages import (
    BusUICommandMessage,
    BusUIEventMessage,
    BusUIJobCompletedMessage,
    BusUIJobGroupCompletedMessage,
    BusUIJobGroupStartedMessage,
    BusUIJobUpdateMessage,
)
from pipecat.frames.frames import (
    ErrorFrame,
    Frame,
    InputAudioRawFrame,
    LLMContextFrame,
    LLMMessagesAppendFrame,
    OutputAudioRawFrame,
    OutputImageRawFrame,
    TextFrame,
    TranscriptionFrame,
    TTSSpeakFrame,
    UserImageRawFrame,
    UserStartedSpeakingFrame,
)
from pipecat.pipeline.job_context import JobStatus
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.transcriptions.language import Language

# Values a payload may hold. Here both buses must agree: what goes in comes out, of the same type.
VALUES: dict[str, Any] = {
    "none": None,
    "nested nothing": {"none": None, "empty": {}, "list": [], "text": "", "zero": 0, "no": False},
    "tuple": {"size": (640, 480), "nested": [(1, ("a", b"b"))]},
    "bytes": {"audio": bytes(range(256)), "empty": b""},
    "numbers": {"big": 2**200, "least": -(2**63), "float": 0.1, "inf": float("inf"), "z": 1 + 2j},
    "time": {
        "naive": datetime(2026, 3, 1, 12, 30, 15, 123456),
        "aware": datetime(2026, 3, 1, 12, 30, tzinfo=timezone(timedelta(hours=5, minutes=30))),
        "utc": datetime(2026, 3, 1, tzinfo=UTC),
        "date": date(2026, 3, 1),
        "delta": timedelta(days=1, microseconds=7),
    },
    "others": {
        "money": Decimal("1.10"),
        "id": UUID(int=7),
        "set": {1, 2},
        "frozen": frozenset("a"),
    },
    "enums": {"status": JobStatus.FAILED, "language": Language.EN, "keys": {JobStatus.ERROR: 1}},
    "keys": {1: "int", "1": "text", None: "none", (1, 2): "tuple", b"b": "bytes", 2.5: "float"},
    "look-alikes": {"__type__": "bytes", "__data__": "AAA=", "__class__": "x", "": {"__dict__": 1}},
}

MESSAGES: dict[str, Callable[[str, str | None], BusMessage]] = {
    "ui event": lambda source, target: BusUIEventMessage(
        source=source, target=target, event_name="click", payload={"button": "book", "at": (3, 4)}
    ),
    "ui command": lambda source, target: BusUICommandMessage(
        source=source, target=target, command_name="toast", payload={"text": "héllo", "n": None}
    ),
    "ui group started": lambda source, target: BusUIJobGroupStartedMessage(
        source=source, target=target, job_id="g", workers=["a", "b"], label="Search", at=1
    ),
    "ui job update": lambda source, target: BusUIJobUpdateMessage(
        source=source, target=target, job_id="g", worker_name="a", data={"step": 1}, at=2
    ),
    "ui job completed": lambda source, target: BusUIJobCompletedMessage(
        source=source, target=target, job_id="g", worker_name="a", status="completed", response=[1]
    ),
    "ui group completed": lambda source, target: BusUIJobGroupCompletedMessage(
        source=source, target=target, job_id="g", at=3
    ),
    "speak": lambda source, target: BusTTSSpeakMessage(
        source=source, target=target, text="aloud", append_to_context=False
    ),
    "error": lambda source, target: BusWorkerErrorMessage(
        source=source, target=target, error="the model is gone"
    ),
    "local error": lambda source, target: BusWorkerLocalErrorMessage(
        source=source, target=target, error="a child is gone"
    ),
}


def _with_metadata(frame: Frame) -> Frame:
    frame.pts = 0
    frame.metadata = {"speaker": ("a", 1), "raw": b"\0"}
    return frame


def _context() -> LLMContext:
    # These two moved in 1.14.0, and the old place has warned since.
    try:
        schemas = importlib.import_module("pipecat.adapters.llm.schemas.tools_schema")
        functions = importlib.import_module("pipecat.adapters.llm.schemas.function_schema")
    except ModuleNotFoundError:
        schemas = importlib.import_module("pipecat.adapters.schemas.tools_schema")
        functions = importlib.import_module("pipecat.adapters.schemas.function_schema")
    weather = functions.FunctionSchema(
        name="weather",
        description="Tells the weather.",
        properties={"city": {"type": "string"}},
        required=["city"],
    )
    tools = schemas.ToolsSchema(
        standard_tools=[weather],
        custom_tools={schemas.AdapterType.GEMINI: [{"google_search": {}}]},
    )
    messages: list[Any] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "How are you?"}]},
    ]
    return LLMContext(messages=messages, tools=tools, tool_choice="auto")


FRAMES: dict[str, Callable[[], Frame]] = {
    "text": lambda: _with_metadata(TextFrame(text="héllo")),
    "transcription": lambda: TranscriptionFrame(
        text="hi", user_id="u", timestamp="t", language=Language.EN_GB
    ),
    "input audio": lambda: InputAudioRawFrame(
        audio=bytes(range(256)) * 2, sample_rate=16000, num_channels=1
    ),
    "output audio": lambda: _with_metadata(
        OutputAudioRawFrame(audio=b"\1\0" * 480, sample_rate=24000, num_channels=2)
    ),
    "output image": lambda: OutputImageRawFrame(image=b"\7" * 12, size=(2, 2), format="RGB"),
    "user image": lambda: UserImageRawFrame(
        image=b"\7" * 12, size=(2, 2), format="RGB", user_id="u", text="what is it?"
    ),
    "context": lambda: LLMContextFrame(context=_context()),
    "append": lambda: LLMMessagesAppendFrame(
        messages=[{"role": "user", "content": "now"}], run_llm=True
    ),
    "speak": lambda: TTSSpeakFrame(text="aloud", append_to_context=False),
    "error": lambda: ErrorFrame(error="broken", fatal=False),
    "started": lambda: UserStartedSpeakingFrame(),
}
