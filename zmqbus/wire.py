"""Packet <-> bytes: headers, batches and their limits; PROTOCOL.md lists the layouts.

A `Batch`, the hot path, is fixed binary by `struct`, the same on both planes after its header. All
other packets are msgpack arrays (`records`). Whatever is wrong with a frame, and for any bytes
whatsoever, the one exception is `WireError`.
"""

from __future__ import annotations

from struct import Struct, error, pack, unpack_from

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
    Members,
    Nack,
    NodeId,
    Packet,
    Plane,
    Refuse,
    Status,
    Welcome,
)
from zmqbus.records import MAX_NUMBER, decode_record, encode_record

REASONS = ("magic", "version", "kind", "truncated", "trailing", "type", "range", "limit")
"""Every `WireError.reason` there is."""

CONTROL_BYTES = 2**20
"""The largest packet other than `Batch` and `Welcome`. 4,096 channels with usual names fit."""
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
_BULKY = (Batch, Welcome)

_MAGIC = b"ZB"
_SYSTEM = Struct(">2sBB8s8s")
"""magic, version, kind, sender, addressee"""
_BROADCAST, _TARGETED = b"\x01", b"\x02"
_TO_ALL = Struct(">c8sB8s")
"""lead, channel, version, sender"""
_TO_ONE = Struct(">c8sB8s8s")
"""lead, reader, version, sender, channel"""
_BATCH = Struct(">HQQQ")
"""shape (bit 0: plane, bit 1: has exceptions, rest: count of bodies), first, previous, after"""
_COUNT = Struct(">H")
_EXCEPTION = Struct(">8sQQ")


# -- system plane


def encode_system(packet: Packet, sender: NodeId, addressee: NodeId) -> bytes:
    """One frame of the system plane.

    Raises:
        WireError: It is larger than any peer would take.
    """
    tag = _TAGS[type(packet)]
    header = _SYSTEM.pack(_MAGIC, VERSION, tag, sender, addressee)
    if isinstance(packet, Batch):
        return b"".join((header, packet.channel, *_batch_parts(packet)))
    frame = header + encode_record(packet)
    if len(frame) > CONTROL_BYTES and not isinstance(packet, _BULKY):
        raise WireError("limit", f"a {type(packet).__name__} of {len(frame):,} bytes")
    return frame


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
    packet = _decode_packet(frame, _KINDS[tag])
    return NodeId(sender), NodeId(addressee), packet


def _decode_packet(frame: bytes, cls: type[Packet]) -> Packet:
    start = _SYSTEM.size
    if issubclass(cls, Batch):
        if len(frame) < start + ID_BYTES:
            raise WireError("truncated", f"a batch of {len(frame)} bytes")
        start += ID_BYTES
        return _decode_batch(frame, start, ChannelId(frame[start - ID_BYTES : start]))
    if len(frame) > CONTROL_BYTES and cls not in _BULKY:
        raise WireError("limit", f"a {cls.__name__} of {len(frame):,} bytes")
    return decode_record(cls, frame[start:])


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
    shape = count << 2 | bool(exceptions) << 1 | batch.plane
    head = _BATCH.pack(shape, batch.first, batch.previous, batch.after)
    lengths = pack(f">{count}I", *map(len, bodies))
    if not exceptions:
        return head, lengths, *bodies
    listed = (_EXCEPTION.pack(*e) for e in exceptions)
    return head, _COUNT.pack(len(exceptions)), *listed, lengths, *bodies


def _decode_batch(frame: bytes, at: int, channel: ChannelId) -> Batch:
    exceptions: tuple[tuple[NodeId, int, int], ...] = ()
    try:
        shape, first, previous, after = _BATCH.unpack_from(frame, at)
        at += _BATCH.size
        if shape & 2:
            exceptions, at = _decode_exceptions(frame, at, first)
        count = shape >> 2
        lengths = unpack_from(f">{count}I", frame, at)
    except error:
        raise WireError("truncated", f"a batch of {len(frame)} bytes") from None
    if not previous < first <= MAX_NUMBER - count or after > MAX_NUMBER or not count:
        raise WireError("range", f"{count} messages from {first} on, after {previous} and {after}")
    at += 4 * count
    bodies = []
    for length in lengths:
        bodies.append(frame[at : at + length])
        at += length
    if at != len(frame):
        reason = "truncated" if at > len(frame) else "trailing"
        raise WireError(reason, f"bodies up to {at}, and {len(frame)} bytes")
    return Batch(channel, _PLANES[shape & 1], first, previous, tuple(bodies), exceptions, after)


def _decode_exceptions(
    frame: bytes, at: int, first: int
) -> tuple[tuple[tuple[NodeId, int, int], ...], int]:
    (count,) = _COUNT.unpack_from(frame, at)
    if count > MAX_EXCEPTIONS:
        raise WireError("limit", f"{count} exceptions")
    at += _COUNT.size
    end = at + count * _EXCEPTION.size
    exceptions = tuple(_EXCEPTION.iter_unpack(frame[at:end]))
    if any(previous >= first or after > MAX_NUMBER for _, previous, after in exceptions):
        raise WireError("range", f"an exception that is not before {first}")
    return exceptions, end


_PLANES = (Plane.SYSTEM, Plane.DATA)
