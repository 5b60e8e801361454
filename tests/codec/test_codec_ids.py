"""Ids over a mesh (ARCHITECTURE point 8, P09)."""

from __future__ import annotations

from typing import Any

import pytest
from msgpack import ExtType, packb
from pipecat.bus.messages import BusFrameMessage, BusJobRequestMessage
from pipecat.frames import frames
from pipecat.processors.frame_processor import FrameDirection

from zmqbus.codec import IdSpace, MsgpackSerializer
from zmqbus.codec.ids import LOCAL_IDS, NODE_BYTES
from zmqbus.errors import CodecError

A, B, C = (bytes([n]) * NODE_BYTES for n in (1, 2, 3))


class Process:
    """One node of a mesh: its space and its serializer."""

    def __init__(self, node: bytes) -> None:
        self.node = node
        self.ids = IdSpace(node)
        self.serializer = MsgpackSerializer()

    def send(self, message: Any, to: Process) -> Any:
        """The message as the other process sees it."""
        return to.serializer.decode(self.serializer.encode(message, self.ids), to.ids, self.node)


def text_message(frame_id: int, sibling: int | None = None) -> BusFrameMessage:
    """A frame message with given ids."""
    frame = frames.TextFrame("x")
    frame.id, frame.broadcast_sibling_id = frame_id, sibling
    message = BusFrameMessage(source="s", frame=frame, direction=FrameDirection.UPSTREAM)
    if hasattr(message, "id"):  # pipecat 1.3.0 gives its messages none
        message.id = frame_id + 1
    return message


def own_id(message: Any) -> int:
    """The id of a message, or of its frame where messages have none."""
    return int(getattr(message, "id", message.frame.id + 1))


def test_foreign_ids_meet_no_local_one() -> None:
    """Ids of two processes never collide, equal ones stay equal (P09)."""
    a, b, c = Process(A), Process(B), Process(C)
    from_a, from_b = a.send(text_message(5, sibling=5), c), b.send(text_message(5), c)
    assert from_a.frame.id == from_a.frame.broadcast_sibling_id
    assert len({5, from_a.frame.id, from_b.frame.id, own_id(from_a), own_id(from_b)}) == 5
    assert min(from_a.frame.id, from_b.frame.id, own_id(from_a)) >= LOCAL_IDS
    assert a.send(text_message(5), c).frame.id == from_a.frame.id
    assert from_b.frame.broadcast_sibling_id is None


def test_id_that_comes_home_is_the_original() -> None:
    """Over two hops and back, as the very object would have it."""
    a, b, c = Process(A), Process(B), Process(C)
    at_b = a.send(text_message(5), b)
    at_c = b.send(at_b, c)
    assert at_c.frame.id == a.send(text_message(5), c).frame.id
    home = c.send(at_c, a)
    assert (home.frame.id, own_id(home)) == (5, 6)


def test_other_id_fields_are_mapped() -> None:
    """A segment's id is that of the frame it names; a nested frame's ids are mapped too."""
    a, b = Process(A), Process(B)
    if "segment_id" not in frames.TTSTextFrame.__dataclass_fields__:
        pytest.skip("this pipecat has no segments")
    frame: Any = frames.TTSTextFrame("x", text_type="word", segment_id=5)
    message = BusFrameMessage(source="s", frame=frame, direction=FrameDirection.UPSTREAM)
    assert a.send(message, b).frame.segment_id == a.send(text_message(5), b).frame.id
    image = frames.OutputImageRawFrame(b"1", (1, 1), None)
    image.id = 5
    message.frame = frames.SpriteFrame(images=[image])
    assert a.send(message, b).frame.images[0].id == a.send(text_message(5), b).frame.id


def test_payload_numbers_are_left_alone() -> None:
    """Only id fields are ids."""
    a, b = Process(A), Process(B)
    message = BusJobRequestMessage(source="s", job_id="j", payload={"id": 5, "segment_id": 2**50})
    assert a.send(message, b).payload == message.payload


def test_without_a_space_ids_stay(serializer: MsgpackSerializer) -> None:
    """Stand-alone, as in RedisBus, ids are those that were sent."""
    back: Any = serializer.deserialize(serializer.serialize(text_message(2**50)))
    assert (back.frame.id, own_id(back)) == (2**50, 2**50 + 1)


def test_id_of_nobody_is_refused() -> None:
    """An id this space never gave out does not leave."""
    with pytest.raises(CodecError, match=r"BusFrameMessage.*no id that"):
        Process(A).send(text_message(7 << 40), Process(B))


@pytest.mark.parametrize("number", [-1, LOCAL_IDS, 2**63])
def test_impossible_plain_id_is_refused(number: int) -> None:
    """A plain id is the sender's own, and so below 2**40."""
    data = MsgpackSerializer().serialize(text_message(number))
    with pytest.raises(CodecError, match="no id of one process"):
        MsgpackSerializer().decode(data, IdSpace(A), B)


@pytest.mark.parametrize("foreign", [b"", bytes(12), bytes(14)])
def test_misshapen_foreign_id_is_refused(foreign: bytes) -> None:
    """A foreign id has exactly its bytes."""
    head = [b"2:BusEndMessage", "0 1 2", ExtType(3, foreign), "#1", "a"]
    with pytest.raises(CodecError, match="13 bytes"):
        MsgpackSerializer().decode(packb(head), IdSpace(A), B)


def test_foreign_id_outside_an_id_field_is_refused() -> None:
    """In a payload a foreign id means nothing."""
    head = [b"2:BusJobRequestMessage", "0 1 2 7 ;", 1, "#1", "a", "j"]
    with pytest.raises(CodecError, match="means nothing"):
        MsgpackSerializer().decode(packb([*head, {"v": ExtType(3, bytes(13))}]), IdSpace(A), B)


def test_foreign_id_without_a_space_is_refused() -> None:
    """Stand-alone, nobody knows other nodes."""
    head = [b"2:BusEndMessage", "0 1 2", ExtType(3, bytes(13)), "#1", "a"]
    with pytest.raises(CodecError, match="without an id space"):
        MsgpackSerializer().deserialize(packb(head))


def test_space_tells_origins_apart_and_recycles_the_oldest() -> None:
    """The table of origins is bounded: the oldest tag serves the newcomer."""
    ids = IdSpace(A, max_origins=2)
    of_b, of_c = ids.local(B, 5), ids.local(C, 5)
    assert [ids.origin(of_b), ids.origin(of_c), ids.origin(5)] == [(B, 5), (C, 5), (A, 5)]
    assert ids.local(A, 5) == 5
    fourth = bytes([4]) * NODE_BYTES
    assert ids.local(fourth, 5) == of_b
    assert ids.origin(of_b) == (fourth, 5)
    assert ids.local(B, 5) == of_c
    assert repr(ids) == f"<IdSpace {A.hex()[:8]} [2 origins]>"


def test_space_refuses_what_is_no_id() -> None:
    """Node ids have one length, ids one range."""
    with pytest.raises(ValueError, match="node id"):
        IdSpace(b"short")
    ids = IdSpace(A)
    for origin, number in ((b"short", 1), (B, -1), (B, LOCAL_IDS)):
        with pytest.raises(CodecError):
            ids.local(origin, number)
    with pytest.raises(CodecError):
        ids.origin(5 << 40)
