"""Bytes that peers say are messages: whole ones, with and without ids, and values in a payload."""

from __future__ import annotations

from typing import NamedTuple

from msgpack import packb
from pipecat.bus.messages import BusMessage

from fuzz.target import Target
from zmqbus.codec import IdSpace, MsgpackSerializer
from zmqbus.codec.coding import MAX_DEPTH
from zmqbus.errors import CodecError

_SERIALIZER = MsgpackSerializer()
_NODE, _SENDER = b"the-node", b"a-sender"
_MOST_BYTES = 4096
_TABLE = _SERIALIZER._table
_WORDS: tuple[bytes, ...] = tuple(
    packb(name) for name in (*_TABLE.marks, *(name.encode() for name in _TABLE._classes))
)
#: A job request up to its payload, the value that follows.
_JOB: bytes = packb([b"2:BusJobRequestMessage", "0 1 2 7 ;", 1, "#1", "a", "j", None])[:-1]


class Decoded(NamedTuple):
    """A message, and the space that its ids are of."""

    message: BusMessage | None
    ids: IdSpace | None


def _alone(data: bytes) -> Decoded:
    return Decoded(_SERIALIZER.decode(data), None)


def _value(data: bytes) -> Decoded:
    return Decoded(_SERIALIZER.decode(_JOB + data), None)


def _from_peer(data: bytes) -> Decoded:
    ids = IdSpace(_NODE)
    return Decoded(_SERIALIZER.decode(data, ids, _SENDER), ids)


def _check(decoded: Decoded) -> None:
    """What is made of it travels on, and arrives the same; unless it is deeper than is sent."""
    message, ids = decoded
    if message is None:
        return
    try:
        data = _SERIALIZER.encode(message, ids)
    except CodecError as error:
        if not error.reason.startswith(f"nested more than {MAX_DEPTH} levels"):
            raise
        return
    again = _SERIALIZER.decode(data, ids, _NODE)
    assert type(again) is type(message)
    twice = _SERIALIZER.encode(again, ids)
    # A set may come back in another order, and NaN is never equal to itself.
    assert sorted(twice) == sorted(data), f"{data.hex()} became {twice.hex()}"


TARGETS = {
    "codec": Target(_alone, (CodecError,), _check, _MOST_BYTES, _WORDS),
    "codec-values": Target(_value, (CodecError,), _check, _MOST_BYTES, _WORDS),
    "codec-ids": Target(_from_peer, (CodecError,), _check, _MOST_BYTES, _WORDS),
}
