"""Frames of both planes: layouts, limits, and bytes from anybody."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.protocol import VECTORS, Vector
from support.random_packets import batches, nodes, packets

from zmqbus.errors import WireError
from zmqbus.packets import (
    NOBODY,
    Announce,
    Batch,
    Bye,
    ChannelId,
    Hello,
    Interest,
    NodeId,
    Packet,
    Plane,
    Refusal,
    Refuse,
    Welcome,
)
from zmqbus.wire import (
    CONTROL_BYTES,
    MAX_BODIES,
    MAX_EXCEPTIONS,
    REASONS,
    broadcast_topic,
    decode_data,
    decode_system,
    encode_data,
    encode_system,
    parse_reader_topic,
    reader_topic,
)

ME = NodeId(b"node-one")
YOU = NodeId(b"node-two")
CHANNEL = ChannelId(b"channel1")
BATCH = Batch(CHANNEL, Plane.DATA, 7, 6, (b"seven", b"eight"))
EXCEPTED = Batch(CHANNEL, Plane.DATA, 7, 3, (b"seven",), ((YOU, 6, 0), (ME, 5, 9)), 8)
HELLO = Hello(1, 1, 2, 3, "host", 4, ("tcp://a:1",), ("tcp://a:2",))

Decode = Callable[[bytes], object]
"""`decode_system` or `decode_data`."""


def refusal(decode: Decode, frame: bytes) -> str:
    """The reason why ``frame`` is refused."""
    with pytest.raises(WireError) as caught:
        decode(frame)
    assert caught.value.reason in REASONS
    return caught.value.reason


# -- round trips


@given(packets, nodes, nodes)
def test_any_packet_comes_back_from_the_system_plane(
    packet: Packet, sender: NodeId, addressee: NodeId
) -> None:
    """A packet arrives equal, and with whom it is from and for (R5a)."""
    assert decode_system(encode_system(packet, sender, addressee)) == (sender, addressee, packet)


@given(batches(), nodes, st.none() | nodes)
def test_any_batch_comes_back_from_the_data_plane(
    batch: Batch, sender: NodeId, reader: NodeId | None
) -> None:
    """A batch arrives equal, for one reader or for all (R12)."""
    assert decode_data(encode_data(batch, sender, reader)) == (sender, reader, batch)


@given(batches(), nodes)
def test_frame_starts_with_what_its_readers_subscribe_to(batch: Batch, reader: NodeId) -> None:
    """PUB matches prefixes, so the topic is the beginning of the frame."""
    assert encode_data(batch, ME, None).startswith(broadcast_topic(batch.channel))
    assert encode_data(batch, ME, reader).startswith(reader_topic(reader))


@given(nodes)
def test_reader_topic_names_its_node(node: NodeId) -> None:
    """An XPUB sees in a subscription whose it is (R4)."""
    assert parse_reader_topic(reader_topic(node)) == node


@pytest.mark.parametrize(
    "topic",
    [b"", b"\x02", reader_topic(ME) + b"x", reader_topic(ME)[:-1], broadcast_topic(CHANNEL)],
)
def test_other_topic_names_nobody(topic: bytes) -> None:
    """Strangers may subscribe to anything."""
    assert parse_reader_topic(topic) is None


def test_one_broadcast_message_costs_forty_eight_bytes() -> None:
    """20 ms of audio costs little more than its 640 bytes."""
    batch = Batch(CHANNEL, Plane.DATA, 2**62, 2**62 - 1, (bytes(640),))
    assert len(encode_data(batch, ME, None)) == 640 + 48


def test_largest_batch_passes() -> None:
    """All three counts and the largest number can be reached."""
    first = 2**63 - 1 - MAX_BODIES
    exceptions = ((YOU, first - 1, 2**63 - 1),) * MAX_EXCEPTIONS
    batch = Batch(CHANNEL, Plane.SYSTEM, first, 0, (b"x",) * MAX_BODIES, exceptions)
    assert decode_data(encode_data(batch, ME, None)) == (ME, None, batch)
    assert decode_system(encode_system(batch, ME, YOU)) == (ME, YOU, batch)


# -- vectors


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
def test_vector_of_the_protocol_is_what_is_sent_and_understood(vector: Vector) -> None:
    """PROTOCOL.md and the code say the same, bit for bit."""
    if vector.plane is Plane.SYSTEM:
        assert encode_system(vector.packet, vector.sender, vector.addressee) == vector.frame
        assert decode_system(vector.frame) == (vector.sender, vector.addressee, vector.packet)
    else:
        assert isinstance(vector.packet, Batch)
        reader = None if vector.addressee == NOBODY else vector.addressee
        assert encode_data(vector.packet, vector.sender, reader) == vector.frame
        assert decode_data(vector.frame) == (vector.sender, reader, vector.packet)


# -- versions


@pytest.mark.parametrize("packet", [HELLO, Refuse(Refusal.VERSION, "too old")])
@pytest.mark.parametrize("version", [0, 2, 255])
def test_hello_and_refuse_are_read_whatever_their_version(packet: Packet, version: int) -> None:
    """Two nodes without a common version can still say so in words (R3)."""
    frame = bytearray(encode_system(packet, ME, YOU))
    frame[2] = version
    assert decode_system(bytes(frame)) == (ME, YOU, packet)


@pytest.mark.parametrize("packet", [BATCH, Bye(), Announce()])
@pytest.mark.parametrize("version", [0, 2, 255])
def test_other_packet_of_an_unknown_version_is_refused(packet: Packet, version: int) -> None:
    """What a version means is settled by the hello, so nothing else is guessed at."""
    frame = bytearray(encode_system(packet, ME, YOU))
    frame[2] = version
    assert refusal(decode_system, bytes(frame)) == "version"


@pytest.mark.parametrize("reader", [None, YOU])
def test_data_of_an_unknown_version_is_refused(reader: NodeId | None) -> None:
    """The data plane has no packet that every version reads."""
    frame = bytearray(encode_data(BATCH, ME, reader))
    frame[9] = 2
    assert refusal(decode_data, bytes(frame)) == "version"


@pytest.mark.parametrize("tag", [0, 11, 255])
def test_packet_of_an_unknown_kind_is_refused(tag: int) -> None:
    """A kind that a newer peer invented is counted, not guessed at."""
    frame = bytearray(encode_system(Bye(), ME, YOU))
    frame[3] = tag
    assert refusal(decode_system, bytes(frame)) == "kind"


# -- what is no frame


@pytest.mark.parametrize("frame", [b"", b"Z", b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 40, b"ZA" * 20])
@pytest.mark.parametrize("decode", [decode_system, decode_data])
def test_bytes_of_another_protocol_are_refused(decode: Decode, frame: bytes) -> None:
    """An HTTP client on a port is told apart at the first bytes (R26)."""
    assert refusal(decode, frame) == "magic"


def test_topics_and_magic_tell_the_planes_apart() -> None:
    """A frame that went to the wrong socket is no frame there."""
    assert refusal(decode_system, encode_data(BATCH, ME, None)) == "magic"
    assert refusal(decode_data, encode_system(BATCH, ME, YOU)) == "magic"


@pytest.mark.parametrize(
    ("decode", "frame", "start"),
    [
        (decode_system, encode_system(BATCH, ME, YOU), 2),
        (decode_system, encode_system(EXCEPTED, ME, YOU), 2),
        (decode_system, encode_system(HELLO, ME, YOU), 2),
        (decode_data, encode_data(BATCH, ME, None), 1),
        (decode_data, encode_data(EXCEPTED, ME, None), 1),
        (decode_data, encode_data(BATCH, ME, YOU), 1),
    ],
)
def test_frame_cut_anywhere_is_truncated(decode: Decode, frame: bytes, start: int) -> None:
    """Every length is checked before it is believed."""
    reasons = {refusal(decode, frame[:cut]) for cut in range(start, len(frame))}
    assert reasons == {"truncated"}


@pytest.mark.parametrize(
    ("decode", "frame"),
    [
        (decode_system, encode_system(BATCH, ME, YOU)),
        (decode_system, encode_system(HELLO, ME, YOU)),
        (decode_data, encode_data(BATCH, ME, None)),
        (decode_data, encode_data(EXCEPTED, ME, YOU)),
    ],
)
def test_frame_with_more_behind_it_is_refused(decode: Decode, frame: bytes) -> None:
    """A frame is one packet, and all of it."""
    assert refusal(decode, frame + b"x") == "trailing"


def _batch_frame(
    shape: int, first: int, previous: int, rest: bytes = b"", *, after: int = 0
) -> bytes:
    header = encode_data(BATCH, ME, None)[: 9 + 1 + 8]
    return header + struct.pack(">HQQQ", shape, first, previous, after) + rest


ONE_BODY = struct.pack(">I", 1) + b"x"


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (_batch_frame(1 << 2, 0, 0, ONE_BODY), "range"),
        (_batch_frame(1 << 2, 5, 5, ONE_BODY), "range"),
        (_batch_frame(1 << 2, 5, 2**64 - 1, ONE_BODY), "range"),
        (_batch_frame(1 << 2, 2**63 - 1, 5, ONE_BODY), "range"),
        (_batch_frame(1 << 2, 2**64 - 1, 5, ONE_BODY), "range"),
        (_batch_frame(0, 5, 4), "range"),
        (_batch_frame(1 << 2, 5, 4, ONE_BODY, after=2**63), "range"),
        (_batch_frame(1 << 2 | 2, 5, 4, b"\0\1node-two" + struct.pack(">QQ", 5, 0)), "range"),
        (_batch_frame(1 << 2 | 2, 5, 4, b"\0\1node-two" + struct.pack(">QQ", 4, 2**63)), "range"),
        (_batch_frame(1 << 2 | 2, 5, 4, struct.pack(">H", MAX_EXCEPTIONS + 1)), "limit"),
        (_batch_frame(1 << 2, 5, 4, b"\xff\xff\xff\xff"), "truncated"),
        (_batch_frame(MAX_BODIES << 2, 5, 4, b"\xff\xff\xff\xff" * MAX_BODIES), "truncated"),
    ],
)
def test_batch_with_impossible_numbers_is_refused(frame: bytes, reason: str) -> None:
    """Messages are numbered from 1 up within 63 bits, and come after what precedes them."""
    assert refusal(decode_data, frame) == reason


def test_control_packet_over_its_limit_is_refused_on_both_sides() -> None:
    """Only what carries messages may be as large as messages (R25, X11)."""
    interest = Interest(CHANNEL, "n" * 255, "r" * 255, 1)
    packet = Announce((interest,) * 2048)
    with pytest.raises(WireError, match="limit: a Announce of .* bytes"):
        encode_system(packet, ME, YOU)
    header = encode_system(Announce(), ME, YOU)[:20]
    assert refusal(decode_system, header + bytes(CONTROL_BYTES)) == "limit"


def test_welcome_may_be_as_large_as_its_snapshots() -> None:
    """A registry message is a message (R7)."""
    welcome = Welcome(CHANNEL, 1, 2, (bytes(2 * CONTROL_BYTES),))
    assert decode_system(encode_system(welcome, ME, YOU)) == (ME, YOU, welcome)


@pytest.mark.parametrize("count", [0, MAX_BODIES + 1])
def test_batch_of_no_or_too_many_messages_is_not_encoded(count: int) -> None:
    """Whoever makes batches keeps to what the count field can say."""
    with pytest.raises(AssertionError, match=f"{count} messages"):
        encode_data(Batch(CHANNEL, Plane.DATA, 1, 0, (b"",) * count), ME, None)


# -- any bytes


@st.composite
def _mutants(draw: st.DrawFn, frames: st.SearchStrategy[bytes]) -> bytes:
    """A valid frame with bytes replaced, inserted and cut out."""
    frame = bytearray(draw(frames))
    for _ in range(draw(st.integers(1, 4))):
        at, width = draw(st.integers(0, len(frame))), draw(st.integers(0, 8))
        frame[at : at + width] = draw(st.binary(max_size=8))
    return bytes(frame)


_system_frames = st.builds(encode_system, packets, nodes, nodes)
_data_frames = st.builds(encode_data, batches(), nodes, st.none() | nodes)
_with_header = st.builds(
    lambda tag, body: b"ZB\x01" + bytes((tag,)) + bytes(16) + body,
    st.integers(0, 11),
    st.binary(max_size=200),
)


def check_words(error: WireError) -> None:
    """A `WireError` has a label for a counter and a sentence for a log."""
    assert error.reason in REASONS
    assert str(error) == f"{error.reason}: {error.detail}."
    assert len(str(error)) < 200


@given(st.binary(max_size=200) | _with_header | _mutants(_system_frames))
@example(b"ZB\x01\x09" + bytes(16) + b"\x91\xc1")
def test_any_bytes_are_a_packet_or_a_wire_error(frame: bytes) -> None:
    """Nothing that comes in on the system plane raises into the loop (R26)."""
    try:
        sender, addressee, packet = decode_system(frame)
    except WireError as error:
        check_words(error)
    else:
        again = decode_system(encode_system(packet, sender, addressee))
        assert again == (sender, addressee, packet)


@given(st.binary(max_size=200) | _mutants(_data_frames))
def test_any_bytes_are_a_batch_or_a_wire_error(frame: bytes) -> None:
    """Nothing that comes in on the data plane raises into the loop (R26)."""
    try:
        sender, reader, batch = decode_data(frame)
    except WireError as error:
        check_words(error)
    else:
        assert decode_data(encode_data(batch, sender, reader)) == (sender, reader, batch)
