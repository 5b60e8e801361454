"""What the codec's tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from loguru import logger
from msgpack import packb
from pipecat.bus.messages import BusFrameMessage, BusJobRequestMessage
from pipecat.frames.frames import Frame
from pipecat.processors.frame_processor import FrameDirection

from zmqbus.codec import MsgpackSerializer

Wrap = Callable[[Frame], BusFrameMessage]
Trip = Callable[[Any], Any]


@pytest.fixture
def serializer() -> MsgpackSerializer:
    """A serializer that has seen nothing yet."""
    return MsgpackSerializer()


@pytest.fixture
def wrap() -> Wrap:
    """Puts a frame into a message."""
    return lambda frame: BusFrameMessage(
        source="voice", target="llm", frame=frame, direction=FrameDirection.UPSTREAM
    )


@pytest.fixture
def frame_trip(serializer: MsgpackSerializer, wrap: Wrap) -> Trip:
    """A frame, there and back."""

    def trip(frame: Frame) -> Any:
        back = serializer.deserialize(serializer.serialize(wrap(frame)))
        assert isinstance(back, BusFrameMessage)
        return back.frame

    return trip


@pytest.fixture
def value_trip(serializer: MsgpackSerializer) -> Trip:
    """A value in a job's payload, there and back."""

    def trip(value: Any) -> Any:
        message = BusJobRequestMessage(source="a", job_id="j", payload={"v": value, "tail": 1})
        back = serializer.deserialize(serializer.serialize(message))
        assert isinstance(back, BusJobRequestMessage)
        assert back.payload is not None
        assert back.payload["tail"] == 1
        return back.payload["v"]

    return trip


@pytest.fixture
def raw_job() -> Callable[[Any], bytes]:
    """The bytes of a job request whose payload is given as msgpack values."""

    def make(payload: Any) -> bytes:
        head = [b"2:BusJobRequestMessage", "0 1 2 7 ;", 1, "#1", "a", "j"]
        return bytes(packb([*head, payload]))

    return make


@pytest.fixture
def warnings_said() -> Iterator[list[str]]:
    """The warnings logged during the test."""
    said: list[str] = []
    sink = logger.add(lambda m: said.append(m.record["message"]), level="WARNING")
    yield said
    logger.remove(sink)
