"""Bytes of peers to messages, and what is dropped on the way."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pipecat.bus import BusFrameMessage, BusMessage, BusWorkerRegistryMessage
from pipecat.bus.serializers.base import MessageSerializer
from pipecat.bus.serializers.json import JSONMessageSerializer
from pipecat.frames.frames import TextFrame
from pipecat.processors.frame_processor import FrameDirection
from pipecat.registry.types import WorkerRegistryEntry
from support.buses import data, warnings_logged

from zmqbus import MeshConfig, MsgpackSerializer
from zmqbus.core.channel import Channel, Membership
from zmqbus.errors import CodecError, MessageTooLargeError
from zmqbus.packets import Interest, NodeId, channel_id
from zmqbus.reception import Reception, Translator

A, B, C = NodeId(b"a" * 8), NodeId(b"b" * 8), NodeId(b"c" * 8)
CHANNEL = channel_id("acme")
LIMIT_BYTES = 4096


class Fickle(MessageSerializer):
    """A codec that gives what it was told to give."""

    def __init__(self, result: object) -> None:
        self.result = result

    def serialize(self, message: BusMessage) -> bytes:
        """Fail."""
        raise RuntimeError("no way")

    def deserialize(self, data: bytes) -> Any:
        """Give the result."""
        return self.result


def serializers() -> list[MessageSerializer]:
    """Ours, and one that is not."""
    return [MsgpackSerializer(), JSONMessageSerializer()]


def translators(serializer: MessageSerializer) -> list[Translator]:
    """Those of three nodes."""
    return [Translator(serializer, node, LIMIT_BYTES) for node in (A, B, C)]


def framed(text: str = "hello") -> BusFrameMessage:
    """A message with a frame that names its sibling."""
    frame = TextFrame(text=text)
    frame.broadcast_sibling_id = frame.id + 1
    return BusFrameMessage(source="a", frame=frame, direction=FrameDirection.DOWNSTREAM)


def ids(message: BusMessage | None) -> tuple[int | None, int, int | None]:
    """All ids at the surface of a message with a frame; in older pipecats it has none itself."""
    assert isinstance(message, BusFrameMessage)
    own = getattr(message, "id", None)
    return own, message.frame.id, message.frame.broadcast_sibling_id


@pytest.mark.parametrize("serializer", serializers(), ids=lambda s: type(s).__name__)
def test_ids_are_mapped_by_origin_whatever_the_codec(serializer: MessageSerializer) -> None:
    """Different stays different, equal equal over any way, and home is home again (P09)."""
    a, b, c = translators(serializer)
    message = framed()
    body = a.encode(message)
    at_b, at_c = b.decode(body, A), c.decode(body, A)
    assert at_b is not None
    assert not {i for i in ids(at_b) if i is not None} & set(ids(message))
    assert ids(c.decode(b.encode(at_b), B)) == ids(at_c)
    assert ids(a.decode(b.encode(at_b), B)) == ids(message)
    assert ids(b.decode(body, A)) == ids(at_b)


@pytest.mark.parametrize("serializer", serializers(), ids=lambda s: type(s).__name__)
def test_frame_without_a_sibling_gets_none(serializer: MessageSerializer) -> None:
    """An id that is not there is not invented."""
    a, b, _ = translators(serializer)
    message = framed()
    message.frame.broadcast_sibling_id = None
    assert ids(b.decode(a.encode(message), A))[2] is None


@pytest.mark.parametrize("serializer", serializers(), ids=lambda s: type(s).__name__)
def test_message_over_the_limit_is_refused_with_its_size(serializer: MessageSerializer) -> None:
    """The limit holds for every codec (R25)."""
    translator = Translator(serializer, A, LIMIT_BYTES)
    with pytest.raises(MessageTooLargeError) as caught:
        translator.encode(data("x" * LIMIT_BYTES))
    assert caught.value.size_bytes > caught.value.limit_bytes == LIMIT_BYTES


@pytest.mark.parametrize("serializer", serializers(), ids=lambda s: type(s).__name__)
def test_message_that_cannot_travel_is_a_codec_error(serializer: MessageSerializer) -> None:
    """Also where the codec raises something else: whoever sends needs to know one error only."""
    message = framed()
    message.frame.id = "no number"  # type: ignore[assignment]
    with pytest.raises(CodecError, match="BusFrameMessage"):
        Translator(serializer, A, LIMIT_BYTES).encode(message)
    with pytest.raises(CodecError, match="Fickle cannot encode it \\(no way\\)"):
        Translator(Fickle(None), A, LIMIT_BYTES).encode(data(1))


# -- what peers send


@pytest.fixture
def channel() -> Channel:
    """A channel where this node, A, hosts "a" and "ra", B hosts "b" and "rb", and C nothing."""
    channel = Channel(A, Interest(CHANNEL, "acme", "ra", 1, ("a", "ra")), MeshConfig())
    for node, runner, names in ((B, "rb", ("b", "rb")), (C, "rc", ())):
        interest = Interest(CHANNEL, "acme", runner, 2, names)
        channel.members[node] = Membership(interest, present=True, admitted=True)
        for outlet in channel.outlets:
            outlet.add_reader(node)
        channel.reroute(node)
    return channel


def reception(serializer: MessageSerializer | None = None) -> Reception:
    """That of node A."""
    return Reception(Translator(serializer or MsgpackSerializer(), A, LIMIT_BYTES), "bus")


def registry(runner: str, source: str = "x", worker: Any = "w") -> BusWorkerRegistryMessage:
    """A registry message."""
    entry = WorkerRegistryEntry(name=worker)
    return BusWorkerRegistryMessage(source=source, runner=runner, workers=[entry])


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (data(1, source="b"), None),
        (data(1, source="nobody's"), None),
        (data(1, source="a"), "foreign_source"),
        (registry("rb", "rb"), None),
        (registry("unknown"), None),
        (registry("ra"), "foreign_registry"),
        (registry("rc"), "foreign_registry"),
        (registry("rc", source="a"), "foreign_source"),
    ],
)
def test_peer_speaks_for_itself_alone(
    channel: Channel, message: BusMessage, reason: str | None
) -> None:
    """What belongs to another live runner, or to this one, is dropped and counted (R31a)."""
    taken = reception()
    body = taken._translator.encode(message)
    with warnings_logged() as warnings:
        results = [taken.take(channel, body, B) for _ in range(3)]
    assert taken.dropped == ({reason: 3} if reason else {})
    assert [r is None for r in results] == [reason is not None] * 3
    assert taken.received_msgs == (0 if reason else 3)
    assert taken.received_bytes == taken.received_msgs * len(body)
    assert len(warnings) == (1 if reason else 0)
    if reason:
        assert "bus: dropped a message of rb: " in warnings[0]


def test_source_of_one_peer_is_not_believed_of_another(channel: Channel) -> None:
    """C may not speak as a subscriber of B."""
    taken = reception()
    assert taken.take(channel, taken._translator.encode(data(1, source="b")), C) is None
    assert taken.dropped == {"foreign_source": 1}


@pytest.mark.parametrize("body", [b"", b"\xff", b"\x00", b"\x02short", b"\xc1" * 100, bytes(50)])
@pytest.mark.parametrize("serializer", serializers(), ids=lambda s: type(s).__name__)
def test_bytes_that_are_no_message_are_counted_and_logged_once(
    channel: Channel, serializer: MessageSerializer, body: bytes
) -> None:
    """Whatever the codec makes of it, nothing is raised into the loop (R26, P16)."""
    taken = reception(serializer)
    with warnings_logged() as warnings:
        for _ in range(3):
            assert taken.take(channel, body, B) is None
    assert taken.dropped == {"undecodable": 3}
    assert len(warnings) == 1


def test_unknown_class_is_counted_apart(channel: Channel) -> None:
    """A peer with a newer pipecat is no attacker (R28)."""
    taken = reception()
    body = taken._translator.encode(data(1)).replace(b"BusTTSSpeakMessage", b"BusTTSShoutMessage")
    assert b"Shout" in body
    assert taken.take(channel, body, B) is None
    assert taken.dropped == {"unknown_class": 1}
    foreign = reception(Fickle(None))
    assert foreign.take(channel, b"\x00x", B) is None
    assert foreign.dropped == {"unknown_class": 1}


@pytest.mark.parametrize(
    "result",
    [
        "text",
        data(1, source=["a"]),  # type: ignore[arg-type]
        data(1, target=7),  # type: ignore[arg-type]
        registry(["rb"]),  # type: ignore[arg-type]
        registry("rb", worker=["w"]),
        BusWorkerRegistryMessage(source="b", runner="rb", workers=None),  # type: ignore[arg-type]
        BusWorkerRegistryMessage(source="b", runner="rb", workers=[1]),  # type: ignore[list-item]
    ],
)
def test_codec_without_types_cannot_smuggle_wrong_ones_in(channel: Channel, result: object) -> None:
    """What routing and the registry rely on is checked for codecs that do not."""
    taken = reception(Fickle(result))
    assert taken.take(channel, b"\x00x", B) is None
    assert taken.dropped == {"undecodable": 1}


def test_more_ids_than_places_are_no_message(channel: Channel) -> None:
    """The count before a foreign codec's bytes has to be that of the message's own ids."""
    a, b, _ = translators(JSONMessageSerializer())
    body = a.encode(framed())
    count, bytes_before = body[0], 1 + 16 * body[0]
    assert json.loads(body[bytes_before:])
    with pytest.raises(ValueError, match="zip"):
        b.decode(bytes((count + 1,)) + bytes(16) + body[1:], A)
