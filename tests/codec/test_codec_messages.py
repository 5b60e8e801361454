"""Frames and messages of pipecat (S01-S08, S19-S23, S31-S33)."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import sys
from collections.abc import Callable
from typing import Any

import pytest
from pipecat.audio.dtmf.types import KeypadEntry
from pipecat.bus import messages as bus_messages
from pipecat.bus.messages import (
    BusEndMessage,
    BusFrameMessage,
    BusJobResponseMessage,
    BusMessage,
    BusWorkerLocalErrorMessage,
    BusWorkerRegistryMessage,
)
from pipecat.frames import frames
from pipecat.metrics.metrics import LLMTokenUsage, LLMUsageMetricsData, TTFBMetricsData
from pipecat.pipeline.job_context import JobStatus
from pipecat.processors.aggregators.llm_context import NOT_GIVEN, LLMContext, LLMSpecificMessage
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.registry.types import WorkerRegistryEntry
from pipecat.services import settings
from pipecat.services.settings import LLMSettings, TTSSettings
from pipecat.transcriptions.language import Language
from pipecat.turns.user_turn_strategies import ExternalUserTurnStrategies

from zmqbus.codec import MsgpackSerializer
from zmqbus.codec.pipecat_types import FunctionSchema, ToolsSchema
from zmqbus.errors import CodecError

Trip = Callable[[Any], Any]
Wrap = Callable[[Any], BusFrameMessage]


def schema(**kwargs: Any) -> Any:
    """A tool."""
    properties = {"city": {"type": "string"}}
    return FunctionSchema(
        name="weather", description="d", properties=properties, required=["city"], **kwargs
    )


def concrete(base: type) -> list[Any]:
    """The bus messages that need nothing but strings."""
    return [
        cls
        for cls in list[Any](vars(bus_messages).values())
        if isinstance(cls, type)
        and issubclass(cls, base)
        and not issubclass(cls, bus_messages.BusLocalMessage)
        and all(
            f.type in ("str", "str | None") or f.default is not dataclasses.MISSING
            for f in vars(cls)["__dataclass_fields__"].values()
            if f.init
        )
    ]


@pytest.mark.parametrize("cls", concrete(BusMessage))
def test_bus_message_comes_back_equal(cls: Any, serializer: MsgpackSerializer) -> None:
    """Every bus message of pipecat keeps all its fields, id and name included."""
    required = [f.name for f in dataclasses.fields(cls) if f.init and f.type == "str"]
    message = cls(**dict.fromkeys(required, "x"))
    back = serializer.deserialize(serializer.serialize(message))
    assert type(back) is cls
    assert vars(back) == vars(message)


def test_registry_and_job_messages_keep_their_types(serializer: MsgpackSerializer) -> None:
    """Nested dataclasses and enums are what they were (S03)."""
    entries = [WorkerRegistryEntry(name="w", parent="p", active=True), WorkerRegistryEntry("v")]
    registry = BusWorkerRegistryMessage(source="r", runner="r", workers=entries)
    back: Any = serializer.deserialize(serializer.serialize(registry))
    assert back.workers == entries
    response = BusJobResponseMessage(source="w", job_id="j", status=JobStatus.FAILED)
    back = serializer.deserialize(serializer.serialize(response))
    assert back.status is JobStatus.FAILED


def test_audio_frame_comes_back_and_stays_small(
    serializer: MsgpackSerializer, wrap: Wrap, frame_trip: Trip
) -> None:
    """640 bytes of audio take at most 800, with counters of a day's work (S28)."""
    frame = frames.InputAudioRawFrame(b"\x01\x80" * 320, 16000, 1)
    back = frame_trip(frame)
    assert {n: getattr(back, n) for n in vars(frame)} == vars(frame)
    message = wrap(frame)
    message.id = frame.id = 2**31
    message.name, frame.name = "BusFrameMessage#1234567", "InputAudioRawFrame#1234567"
    assert len(serializer.serialize(message)) <= 800


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_other_buffers_of_audio_are_taken(kind: Any, frame_trip: Trip) -> None:
    """Transports hand out buffers; they arrive as what they were (S19)."""
    back = frame_trip(frames.InputAudioRawFrame(kind(b"\x01\x02"), 16000, 1))
    assert type(back.audio) is kind
    assert bytes(back.audio) == b"\x01\x02"


def test_image_size_stays_a_tuple(frame_trip: Trip) -> None:
    """Images keep their size, also inside a sprite (S01)."""
    image = frames.OutputImageRawFrame(image=b"123", size=(1, 1), format=None)
    back = frame_trip(frames.SpriteFrame(images=[image, image]))
    assert back.images == [image, image]
    assert type(back.images[0].size) is tuple


def test_frame_travels_in_all_shapes_its_fields_can_take(frame_trip: Trip) -> None:
    """Also in more of them than have a short cut, and each again when it is known."""
    choices = itertools.product(
        (None, 7), (None, 8), (None, "mic"), (None, "speaker"), ({}, {"n": 2})
    )
    shapes = list(choices)
    for pts, sibling, source, destination, metadata in shapes * 2:
        frame = frames.TextFrame(text="hi")
        frame.pts, frame.broadcast_sibling_id, frame.metadata = pts, sibling, metadata
        frame.transport_source, frame.transport_destination = source, destination
        assert dataclasses.asdict(frame_trip(frame)) == dataclasses.asdict(frame)


def test_enums_in_frames_stay_members(frame_trip: Trip) -> None:
    """DTMF buttons and languages are members, not strings (S02, S03)."""
    assert frame_trip(frames.InputDTMFFrame(button=KeypadEntry.POUND)).button is KeypadEntry.POUND
    frame = frames.TranscriptionFrame("hi", "u", "t", language=Language.DE_CH)
    assert frame_trip(frame).language is Language.DE_CH


def test_fields_outside_init_come_back_falsy_or_not(frame_trip: Trip) -> None:
    """What is set after construction travels; 0 and "" are not absent (S31)."""
    frame = frames.TextFrame("")
    frame.pts, frame.broadcast_sibling_id, frame.transport_source = 0, 7, ""
    frame.metadata = {"k": (1, None)}
    vars(frame)["skip_tts"] = False
    back = frame_trip(frame)
    assert {n: getattr(back, n) for n in vars(frame)} == vars(frame)


@pytest.mark.parametrize("name", ["TextFrame#7", "my frame", "#7", "\0x", "", "TextFrame##1"])
def test_any_name_comes_back(name: str, frame_trip: Trip) -> None:
    """Names are shortened on the wire only where that can be undone."""
    frame = frames.TextFrame("x")
    frame.name = name
    assert frame_trip(frame).name == name


def test_context_comes_back_whole(frame_trip: Trip) -> None:
    """Messages, tools and the tool choice of a context, bytes and all (S07)."""
    adapter = vars(sys.modules[ToolsSchema.__module__])["AdapterType"].GEMINI
    tools: Any = ToolsSchema([schema()], {adapter: [{"x": b"\0"}]})
    messages: list[Any] = [
        {"role": "user", "content": "hi", "__specific__": True},
        LLMSpecificMessage(llm="google", message={"sig": b"\xff"}),
    ]
    context = LLMContext(messages, tools, "auto")
    back: Any = frame_trip(frames.LLMContextFrame(context=context)).context
    assert LLMContext is type(back)
    assert (back.messages, back.tool_choice) == (messages, "auto")
    back_tools: Any = back.tools
    assert vars(back_tools.standard_tools[0]) == vars(schema())
    assert back_tools.custom_tools == tools.custom_tools


def test_empty_context_keeps_not_given(frame_trip: Trip) -> None:
    """Not given and None stay apart, as the very sentinel (S05)."""
    back = frame_trip(frames.LLMContextFrame(context=LLMContext([]))).context
    assert back.tools is NOT_GIVEN
    assert back.tool_choice is NOT_GIVEN
    assert frame_trip(frames.LLMSetToolsFrame(tools=NOT_GIVEN)).tools is NOT_GIVEN


def test_settings_delta_tells_none_from_not_given(frame_trip: Trip) -> None:
    """A delta changes what it names and nothing else."""
    delta = LLMSettings(temperature=None, max_tokens=10, extra={"k": 1})
    back = frame_trip(frames.LLMUpdateSettingsFrame(delta=delta)).delta
    assert vars(back) == vars(delta)
    assert back.top_p is vars(settings)["NOT_GIVEN"]
    voice = TTSSettings(voice="alice", language=Language.DE)
    assert frame_trip(frames.TTSUpdateSettingsFrame(delta=voice)).delta == voice


def test_openai_sentinel_keeps_its_identity(value_trip: Trip) -> None:
    """A provider's own sentinel is neither pipecat's nor None."""
    openai = pytest.importorskip("openai")
    assert value_trip(openai.NOT_GIVEN) is openai.NOT_GIVEN


def test_tools_as_list_keep_schemas_and_functions(
    frame_trip: Trip, warnings_said: list[str]
) -> None:
    """A direct function travels as its schema, with one warning (S06)."""

    async def forecast(params: Any, city: str) -> None:
        """Say the weather."""

    back = frame_trip(frames.LLMSetToolsFrame(tools=[schema(), forecast])).tools
    assert [tool.name for tool in back] == ["weather", "forecast"]
    assert type(back[1]) is FunctionSchema
    assert len(warnings_said) == 1
    assert "LLMSetToolsFrame.tools" in warnings_said[0]


def test_tool_schema_object_travels_in_set_tools(frame_trip: Trip) -> None:
    """The other form of tools is kept as it is."""
    back = frame_trip(frames.LLMSetToolsFrame(tools=ToolsSchema([schema()])))
    assert back.tools.standard_tools[0].name == "weather"


def test_handler_of_a_schema_stays_behind(frame_trip: Trip, warnings_said: list[str]) -> None:
    """The schema travels without its handler, and somebody is told (S08)."""

    async def handler(params: Any) -> None:
        """Never called."""

    try:
        tool = schema(handler=handler)
    except TypeError:
        pytest.skip("this pipecat has no handlers in schemas")
    tools = ToolsSchema([tool])
    back = frame_trip(frames.LLMContextFrame(context=LLMContext([], tools)))
    assert back.context.tools.standard_tools[0].handler is None
    assert any("FunctionSchema.handler" in said for said in warnings_said)


def test_metrics_keep_classes_and_none(frame_trip: Trip) -> None:
    """Pydantic models come back as their subclasses, given names and all."""
    usage = LLMTokenUsage(prompt_tokens=7, completion_tokens=3, total_tokens=10)
    data = [
        TTFBMetricsData(processor="p", value=0.5, model=None),
        LLMUsageMetricsData(processor="p", value=usage),
    ]
    back = frame_trip(frames.MetricsFrame(data=list(data))).data
    assert back == data
    assert [type(d) for d in back] == [type(d) for d in data]
    assert back[0].model_fields_set == data[0].model_fields_set


@pytest.mark.parametrize("interrupting", [True, False])
def test_external_turn_strategies_are_rebuilt(interrupting: bool, frame_trip: Trip) -> None:
    """The one kind of turn strategies that is all settings arrives working."""
    strategies = ExternalUserTurnStrategies()
    if hasattr(strategies, "enable_interruptions"):
        strategies = ExternalUserTurnStrategies(enable_interruptions=interrupting)
    frame = frames.STTMetadataFrame(service_name="s", ttfs_p99_latency=1.0)
    if not hasattr(frame, "user_turn_strategies"):
        pytest.skip("this pipecat has no strategies in frames")
    vars(frame)["user_turn_strategies"] = strategies
    back = frame_trip(frame).user_turn_strategies
    assert type(back) is ExternalUserTurnStrategies
    assert getattr(back, "enable_interruptions", interrupting) is interrupting
    assert back.start is not None


def test_local_field_is_left_out_and_said_twice_at_most(
    serializer: MsgpackSerializer, wrap: Wrap, warnings_said: list[str]
) -> None:
    """A callback stays behind; a hundred frames log two lines at most (S08, S33)."""

    async def done() -> None:
        """Never called."""

    for _ in range(100):
        frame = frames.UserImageRequestFrame(user_id="u", result_callback=done)
        back: Any = serializer.deserialize(serializer.serialize(wrap(frame)))
        assert back.frame.result_callback is None
        assert back.frame.user_id == "u"
    assert len(warnings_said) == 2
    assert "UserImageRequestFrame.result_callback" in warnings_said[0]
    assert serializer.dropped == {"UserImageRequestFrame.result_callback": 100}


def test_raw_result_of_an_sdk_does_not_cost_the_transcript(
    frame_trip: Trip, warnings_said: list[str]
) -> None:
    """An unknown object in an optional field is left out, however deep it is (S20)."""
    frame = frames.TranscriptionFrame("hi", "u", "t", result={"raw": [object()]})
    back = frame_trip(frame)
    assert (back.text, back.result) == ("hi", None)
    assert "TranscriptionFrame.result['raw'][0]" in warnings_said[0]


def test_exception_and_processor_of_an_error_stay_behind(frame_trip: Trip) -> None:
    """The text of an error travels, its objects do not."""
    frame = frames.ErrorFrame(error="429", exception=ValueError("x"), processor=FrameProcessor())
    back = frame_trip(frame)
    assert (back.error, back.exception, back.processor) == ("429", None, None)


def test_required_local_field_is_refused(serializer: MsgpackSerializer, wrap: Wrap) -> None:
    """A frame that means nothing without its processor is an error at the sender."""
    frame = frames.FrameProcessorPauseFrame(processor=FrameProcessor())
    with pytest.raises(CodecError, match=r"BusFrameMessage\.frame\.processor"):
        serializer.serialize(wrap(frame))


def test_local_value_in_metadata_is_refused(serializer: MsgpackSerializer, wrap: Wrap) -> None:
    """Metadata is the user's: nothing in it is dropped."""
    frame = frames.TextFrame("x")
    frame.metadata["e"] = asyncio.Event()
    with pytest.raises(CodecError, match=r"frame\.metadata\['e'\]"):
        serializer.serialize(wrap(frame))


def test_wrong_type_is_refused_at_the_sender(serializer: MsgpackSerializer, wrap: Wrap) -> None:
    """What the receiver would refuse does not leave (X13)."""
    frame = frames.TextFrame("x")
    vars(frame)["text"] = 5
    with pytest.raises(CodecError, match=r"frame\.text: str wanted, got int"):
        serializer.serialize(wrap(frame))


def test_unset_required_field_is_refused(serializer: MsgpackSerializer) -> None:
    """An object that was never finished does not leave."""
    message = BusEndMessage(source="a")
    del message.source
    with pytest.raises(CodecError, match=r"BusEndMessage\.source"):
        serializer.serialize(message)


def test_local_message_never_leaves(serializer: MsgpackSerializer) -> None:
    """A BusLocalMessage is refused (R27)."""
    with pytest.raises(CodecError, match="never leaves its process"):
        serializer.serialize(BusWorkerLocalErrorMessage(source="a", error="e"))


@pytest.mark.parametrize("thing", [None, "text", frames.EndFrame()])
def test_only_a_message_is_encoded(thing: Any, serializer: MsgpackSerializer) -> None:
    """A frame by itself, or anything else, is refused."""
    with pytest.raises(CodecError, match="only a BusMessage"):
        serializer.serialize(thing)


def test_decoding_takes_a_memoryview(serializer: MsgpackSerializer) -> None:
    """Sockets hand out views."""
    message = BusEndMessage(source="a", reason="bye")
    assert serializer.deserialize(memoryview(serializer.serialize(message))) == message


def test_flush_probe_keeps_its_id(frame_trip: Trip) -> None:
    """Default factories are not run for what arrived."""
    probe = getattr(frames, "PipelineFlushFrame", None)
    if probe is None:
        pytest.skip("this pipecat has no flush probe")
    frame = probe()
    assert frame_trip(frame).flush_id == frame.flush_id


def test_path_leads_into_a_context(serializer: MsgpackSerializer, wrap: Wrap) -> None:
    """The error names the part of the context that cannot travel."""
    context = LLMContext([{"role": "user", "content": object()}])  # type: ignore[list-item]
    with pytest.raises(CodecError) as caught:
        serializer.serialize(wrap(frames.LLMContextFrame(context=context)))
    assert caught.value.path == "BusFrameMessage.frame.context.messages[0]['content']"
