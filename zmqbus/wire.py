"""Packet <-> bytes; PROTOCOL.md lists the layouts.

Two shapes. A `Batch`, the hot path, is fixed binary by `struct`. Everything else is one msgpack
array, positional, that only ever grows at its end: items this version does not know are skipped,
items an older peer does not know take their defaults.

Theory of operation of the decoder
----------------------------------
A msgpack decoder that builds whatever it is told to turns a megabyte of empty containers into
seventy. Here the schema leads: the reader asks for the next item by type, an array is opened only
where the schema has one and only as long as the schema allows, and no other container is ever
built. So memory and time are bounded by what a legitimate packet may hold: `CONTROL_BYTES` and
`MAX_ITEMS`. Whatever is wrong, and for any bytes whatsoever, the one exception is `WireError`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, fields
from operator import attrgetter
from struct import Struct, error, pack, unpack_from
from typing import Any, NoReturn

import msgpack

from zmqbus.errors import WireError
from zmqbus.packets import (
    ID_BYTES,
    MIN_VERSION,
    VERSION,
    Announce,
    Batch,
    Bye,
    ChannelId,
    Gone,
    Hello,
    Interest,
    Member,
    Members,
    Nack,
    NodeId,
    Packet,
    Plane,
    Refusal,
    Refuse,
    Status,
    StreamState,
    Welcome,
)

REASONS = ("magic", "version", "kind", "truncated", "trailing", "type", "range", "limit")
"""Every `WireError.reason` there is."""

CONTROL_BYTES = 2**20
"""The largest packet other than `Batch` and `Welcome`. 4,096 channels with usual names fit."""
MAX_ITEMS = 2**16
"""Most items of all arrays of one packet together: bounds the time and memory of decoding."""
MAX_NUMBER = 2**63 - 1
MAX_NAME_BYTES = 255
"""Of a channel, runner, subscriber, host or endpoint, as UTF-8."""
MAX_TEXT_BYTES = 1024
"""Of a reason in words, as UTF-8."""
MAX_ENDPOINTS = 16
MAX_INTERESTS = 4096
MAX_SUBSCRIBERS = 4096
MAX_MEMBERS = 1024
MAX_SNAPSHOTS = 1024
MAX_STATES = 2 * MAX_INTERESTS
MAX_BODIES = 2**14 - 1
"""Most messages of one batch: what its count field can say."""
MAX_EXCEPTIONS = 4096

#: Append-only: a tag never changes its meaning.
_KINDS: dict[int, type[Packet]] = {
    1: Hello,
    2: Announce,
    3: Welcome,
    4: Status,
    5: Batch,
    6: Nack,
    7: Gone,
    8: Members,
    9: Bye,
    10: Refuse,
}
_TAGS = {cls: tag for tag, cls in _KINDS.items()}
#: Said before a version is settled on, or because none can be: readable in every version (R3).
_TIMELESS = (_TAGS[Hello], _TAGS[Refuse])
#: As large as the messages they carry, so limited by the socket alone.
_BULKY = (_TAGS[Batch], _TAGS[Welcome])

_MAGIC = b"ZB"
_SYSTEM = Struct(">2sBB8s8s")
"""magic, version, kind, sender, addressee"""
_BROADCAST, _TARGETED = b"\x01", b"\x02"
_TO_ALL = Struct(">c8sB8s")
"""lead, channel, version, sender"""
_TO_ONE = Struct(">c8sB8s8s")
"""lead, reader, version, sender, channel"""
_BATCH = Struct(">HQQ")
"""shape (bit 0: plane, bit 1: has exceptions, rest: count of bodies), first, previous"""
_COUNT = Struct(">H")
_EXCEPTION = Struct(">8sQ")


# -- system plane


def encode_system(packet: Packet, sender: NodeId, addressee: NodeId) -> bytes:
    """One frame of the system plane."""
    tag = _TAGS[type(packet)]
    header = _SYSTEM.pack(_MAGIC, VERSION, tag, sender, addressee)
    if isinstance(packet, Batch):
        return b"".join((header, packet.channel, *_batch_parts(packet)))
    body: bytes = msgpack.packb(packet, default=_row, unicode_errors="surrogatepass")
    size = len(header) + len(body)
    assert tag in _BULKY or size <= CONTROL_BYTES, f"no peer takes a {packet!r:.40} of {size} bytes"
    return header + body


def decode_system(frame: bytes) -> tuple[NodeId, NodeId, Packet]:
    """Take a frame of the system plane apart: sender, addressee, packet.

    Raises:
        WireError: It is none, or none of this version. No other exception for any bytes.
    """
    if not frame.startswith(_MAGIC):
        raise WireError("magic", f"a frame starts with {frame[:4]!r}")
    if len(frame) < _SYSTEM.size:
        raise WireError("truncated", f"a header of {len(frame)} bytes")
    _, version, tag, sender, addressee = _SYSTEM.unpack_from(frame)
    if tag not in _TIMELESS:
        _check_version(version)
    if tag not in _KINDS:
        raise WireError("kind", f"no packet has the tag {tag}")
    return NodeId(sender), NodeId(addressee), _decode_body(frame, tag)


def _decode_body(frame: bytes, tag: int) -> Packet:
    start = _SYSTEM.size
    if tag == _TAGS[Batch]:
        if len(frame) < start + ID_BYTES:
            raise WireError("truncated", f"a batch of {len(frame)} bytes")
        start += ID_BYTES
        return _decode_batch(frame, start, ChannelId(frame[start - ID_BYTES : start]))
    if len(frame) > CONTROL_BYTES and tag not in _BULKY:
        raise WireError("limit", f"a {_KINDS[tag].__name__} of {len(frame):,} bytes")
    reader = _Reader(frame[start:])
    packet: Packet = _PACKETS[_KINDS[tag]](reader)
    reader.finish()
    return packet


def _check_version(version: int) -> None:
    if not MIN_VERSION <= version <= VERSION:
        raise WireError("version", f"{version}, not {MIN_VERSION} to {VERSION}")


# -- data plane


def broadcast_topic(channel: ChannelId) -> bytes:
    """What a SUB subscribes to for the broadcasts of a channel."""
    return _BROADCAST + channel


def reader_topic(node: NodeId) -> bytes:
    """What a SUB subscribes to for what is meant for its node alone."""
    return _TARGETED + node


def parse_reader_topic(topic: bytes) -> NodeId | None:
    """The node that a `reader_topic` names; None if the topic is another one."""
    if len(topic) == 1 + ID_BYTES and topic.startswith(_TARGETED):
        return NodeId(topic[1:])
    return None


def encode_data(batch: Batch, sender: NodeId, reader: NodeId | None) -> bytes:
    """One frame of the data plane, for one reader or for all (None)."""
    if reader is None:
        header = _TO_ALL.pack(_BROADCAST, batch.channel, VERSION, sender)
    else:
        header = _TO_ONE.pack(_TARGETED, reader, VERSION, sender, batch.channel)
    return b"".join((header, *_batch_parts(batch)))


def decode_data(frame: bytes) -> tuple[NodeId, NodeId | None, Batch]:
    """Take a frame of the data plane apart: sender, reader (None: all), batch.

    Raises:
        WireError: It is none, or none of this version. No other exception for any bytes.
    """
    try:
        if frame.startswith(_BROADCAST):
            _, channel, version, sender = _TO_ALL.unpack_from(frame)
            reader, start = None, _TO_ALL.size
        elif frame.startswith(_TARGETED):
            _, reader, version, sender, channel = _TO_ONE.unpack_from(frame)
            start = _TO_ONE.size
        else:
            raise WireError("magic", f"a frame starts with {frame[:4]!r}")
    except error:
        raise WireError("truncated", f"a header of {len(frame)} bytes") from None
    _check_version(version)
    return sender, reader, _decode_batch(frame, start, channel)


# -- batches


def _batch_parts(batch: Batch) -> tuple[bytes, ...]:
    """What follows the channel: the numbers, the exceptions, the lengths, the bodies."""
    bodies, exceptions = batch.bodies, batch.exceptions
    count = len(bodies)
    assert 0 < count <= MAX_BODIES, f"{count} messages in one batch"
    shape = count << 2 | batch.plane
    lengths = pack(f">{count}I", *map(len, bodies))
    if not exceptions:
        return _BATCH.pack(shape, batch.first, batch.previous), lengths, *bodies
    head = _BATCH.pack(shape | 2, batch.first, batch.previous), _COUNT.pack(len(exceptions))
    return *head, *(_EXCEPTION.pack(*e) for e in exceptions), lengths, *bodies


def _decode_batch(frame: bytes, at: int, channel: ChannelId) -> Batch:
    exceptions: tuple[tuple[NodeId, int], ...] = ()
    try:
        shape, first, previous = _BATCH.unpack_from(frame, at)
        at += _BATCH.size
        if shape & 2:
            exceptions, at = _decode_exceptions(frame, at, first)
        count = shape >> 2
        lengths = unpack_from(f">{count}I", frame, at)
    except error:
        raise WireError("truncated", f"a batch of {len(frame)} bytes") from None
    if not previous < first <= MAX_NUMBER - count or not count:
        raise WireError("range", f"{count} messages from {first} on, after {previous}")
    at += 4 * count
    bodies = []
    for length in lengths:
        bodies.append(frame[at : at + length])
        at += length
    if at != len(frame):
        reason = "truncated" if at > len(frame) else "trailing"
        raise WireError(reason, f"bodies up to {at}, and {len(frame)} bytes")
    return Batch(channel, _PLANES[shape & 1], first, previous, tuple(bodies), exceptions)


def _decode_exceptions(
    frame: bytes, at: int, first: int
) -> tuple[tuple[tuple[NodeId, int], ...], int]:
    (count,) = _COUNT.unpack_from(frame, at)
    if count > MAX_EXCEPTIONS:
        raise WireError("limit", f"{count} exceptions")
    at += _COUNT.size
    end = at + count * _EXCEPTION.size
    exceptions = tuple(_EXCEPTION.iter_unpack(frame[at:end]))
    if any(previous >= first for _, previous in exceptions):
        raise WireError("range", f"an exception that is not before {first}")
    return exceptions, end


_PLANES = (Plane.SYSTEM, Plane.DATA)


# -- msgpack arrays, read as the schema says


class _Reader:
    """Reads the items of one packet one by one; builds no container."""

    def __init__(self, body: bytes) -> None:
        self._items_left = MAX_ITEMS
        self._size_bytes = len(body)
        self._unpacker = msgpack.Unpacker(
            max_buffer_size=len(body),
            max_array_len=0,
            max_map_len=0,
            max_ext_len=0,
            unicode_errors="surrogatepass",
        )
        self._unpacker.feed(body)

    def value(self) -> Any:
        """The next item, which is no container unless an empty one."""
        return _guard(self._unpacker.unpack)

    def open_array(self) -> int:
        """Enter an array; returns its length. Its items come next."""
        length: int = _guard(self._unpacker.read_array_header)
        self._items_left -= length
        if self._items_left < 0:
            raise WireError("limit", f"more than {MAX_ITEMS:,} items")
        return length

    def skip(self) -> None:
        """Leave out the next item, whatever it is."""
        _guard(self._unpacker.skip)

    def finish(self) -> None:
        """Nothing may be left."""
        rest = self._size_bytes - self._unpacker.tell()
        if rest:
            raise WireError("trailing", f"{rest} bytes after the packet")


def _guard(step: Callable[[], Any]) -> Any:
    try:
        return step()
    except msgpack.OutOfData:
        raise WireError("truncated", "the packet ends in the middle of an item") from None
    except ValueError as e:
        raise WireError("type", f"no item that fits: {e or type(e).__name__}") from None


_Read = Callable[[_Reader], Any]


def _flag(reader: _Reader) -> bool:
    value = reader.value()
    if value is True or value is False:
        return bool(value)
    _wrong("a flag", value)


def _number(low: int, high: int) -> _Read:
    def read(reader: _Reader) -> int:
        value = reader.value()
        if type(value) is not int:
            _wrong("a number", value)
        if not low <= value <= high:
            raise WireError("range", f"{value} is not within {low} and {high}")
        return value

    return read


def _member(enum: type[Plane] | type[Refusal]) -> _Read:
    number = _number(min(enum), max(enum))
    return lambda reader: enum(number(reader))


def _text(limit_bytes: int) -> _Read:
    def read(reader: _Reader) -> str:
        value = reader.value()
        if type(value) is not str:
            _wrong("a text", value)
        if len(value.encode("utf-8", "surrogatepass")) > limit_bytes:
            raise WireError("limit", f"a text of more than {limit_bytes} bytes: {value[:20]!r}")
        return value

    return read


def _blob(reader: _Reader) -> bytes:
    value = reader.value()
    if type(value) is not bytes:
        _wrong("bytes", value)
    return value


def _id(reader: _Reader) -> bytes:
    value = _blob(reader)
    if len(value) != ID_BYTES:
        raise WireError("range", f"an id of {len(value)} bytes")
    return value


def _array(read_item: _Read, limit: int) -> _Read:
    def read(reader: _Reader) -> tuple[Any, ...]:
        length = reader.open_array()
        if length > limit:
            raise WireError("limit", f"{length:,} items, at most {limit:,} allowed")
        return tuple([read_item(reader) for _ in range(length)])

    return read


def _record(cls: type[Any], *reads: _Read) -> _Read:
    """An array that holds the fields of ``cls`` in order; a longer or shorter one as allowed."""
    required = sum(f.default is MISSING for f in fields(cls))
    assert len(reads) == len(fields(cls)), f"{cls.__name__} has another number of fields"

    def read(reader: _Reader) -> Any:
        length = reader.open_array()
        if length < required:
            raise WireError("truncated", f"a {cls.__name__} of {length} fields")
        values = [read_field(reader) for read_field in reads[:length]]
        for _ in range(length - len(reads)):
            reader.skip()
        return cls(*values)

    return read


def _wrong(wanted: str, value: object) -> NoReturn:
    raise WireError("type", f"not {wanted} but a {type(value).__name__}")


_count = _number(0, MAX_NUMBER)
_maybe = _number(-1, MAX_NUMBER)
_version = _number(0, 255)
_name = _text(MAX_NAME_BYTES)
_names = _array(_name, MAX_SUBSCRIBERS)
_endpoints = _array(_name, MAX_ENDPOINTS)
_plane = _member(Plane)
_interest = _record(Interest, _id, _name, _name, _count, _names, _flag)
_interests = _array(_interest, MAX_INTERESTS)
_members = _array(_record(Member, _id, _endpoints), MAX_MEMBERS)
_states = _array(_record(StreamState, _id, _plane, _maybe, _maybe), MAX_STATES)

_PACKETS: dict[type[Packet], _Read] = {
    Hello: _record(
        Hello,
        _version,
        _version,
        _count,
        _count,
        _name,
        _count,
        _endpoints,
        _endpoints,
        _interests,
        _count,
        _count,
    ),
    Announce: _record(Announce, _interests, _array(_id, MAX_INTERESTS)),
    Welcome: _record(Welcome, _id, _count, _count, _array(_blob, MAX_SNAPSHOTS)),
    Status: _record(Status, _count, _flag, _count, _count, _count, _states),
    Nack: _record(Nack, _id, _plane, _count, _count),
    Gone: _record(Gone, _id, _plane, _count, _count),
    Members: _record(Members, _members),
    Bye: _record(Bye, _text(MAX_TEXT_BYTES)),
    Refuse: _record(Refuse, _member(Refusal), _text(MAX_TEXT_BYTES), _id),
}
_ROWS = {
    cls: [attrgetter(f.name) for f in fields(cls)]
    for cls in (*_PACKETS, Interest, Member, StreamState)
}


def _row(record: Any) -> list[Any]:
    """The fields of a packet, or of a record in one, in order."""
    return [get(record) for get in _ROWS[type(record)]]
