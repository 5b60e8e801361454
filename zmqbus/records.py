"""Packets other than `Batch` <-> msgpack arrays (see `wire`, which puts the header before them).

A packet is one array of its fields in order, and arrays only ever grow at their end: items this
version does not know are skipped, fields an older peer does not send take their defaults.

Theory of operation
-------------------
A msgpack decoder that builds whatever it is told to turns a megabyte of empty containers into
seventy. Here the schema leads: the reader asks for the next item by type, an array is opened only
where the schema has one and is only as long as the schema allows, and no other container is ever
built. So time and memory are bounded by what a legitimate packet may hold, whatever the bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, fields
from operator import attrgetter
from typing import Any, NoReturn

import msgpack

from zmqbus.errors import WireError
from zmqbus.packets import (
    ID_BYTES,
    MAX_NAME_BYTES,
    Announce,
    Bye,
    Gone,
    Hello,
    Interest,
    Member,
    Members,
    Nack,
    Plane,
    Refusal,
    Refuse,
    Status,
    StreamState,
    Welcome,
)

Record = Hello | Announce | Welcome | Status | Nack | Gone | Members | Bye | Refuse

MAX_ITEMS = 2**16
"""Most items of all arrays of one packet together: bounds the time and memory of decoding."""
MAX_NUMBER = 2**63 - 1
MAX_TEXT_BYTES = 1024
"""Of a reason in words, as UTF-8."""
MAX_ENDPOINTS = 16
MAX_INTERESTS = 4096
MAX_SUBSCRIBERS = 4096
MAX_MEMBERS = 1024
MAX_SNAPSHOTS = 1024
MAX_STATES = 2 * MAX_INTERESTS


def encode_record(packet: Record) -> bytes:
    """A packet as one msgpack array. Limits are kept by whoever makes packets."""
    body: bytes = msgpack.packb(packet, default=_row, unicode_errors="surrogatepass")
    return body


def decode_record(cls: type[Record], body: bytes) -> Record:
    """The packet that is all of ``body``.

    Raises:
        WireError: It is none. No other exception for any bytes.
    """
    reader = _Reader(body)
    packet: Record = _PACKETS[cls](reader)
    reader.finish()
    return packet


# -- items


class _Reader:
    """Reads the items of one packet one by one; builds no container."""

    def __init__(self, body: bytes) -> None:
        self._items_left = MAX_ITEMS
        self._size_bytes = len(body)
        self._unpacker = msgpack.Unpacker(
            max_buffer_size=len(body) or 1,  # 0 stands for no limit, and a megabyte at once
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

_PACKETS: dict[type[Record], _Read] = {
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
    Welcome: _record(Welcome, _id, _count, _count, _array(_blob, MAX_SNAPSHOTS), _flag),
    Status: _record(Status, _count, _flag, _count, _count, _count, _states, _count, _count),
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
