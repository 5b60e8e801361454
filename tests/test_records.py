"""Packets as msgpack arrays: what comes back, what is refused, and what refusing costs."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import msgpack
import pytest
from hypothesis import given
from support.random_packets import records

from zmqbus.errors import WireError
from zmqbus.packets import (
    Announce,
    Bye,
    ChannelId,
    Gone,
    Hello,
    Interest,
    Member,
    Members,
    Nack,
    NodeId,
    Plane,
    Refusal,
    Refuse,
    Status,
    StreamState,
    Welcome,
)
from zmqbus.records import MAX_ITEMS, Record, decode_record, encode_record

NODE = NodeId(b"node-one")
CHANNEL = ChannelId(b"channel1")
INTEREST = Interest(CHANNEL, "acme", "desk", 1, ("llm",), True)
HELLO = Hello(1, 1, 2, 3, "host", 4, ("tcp://a:1",), ("tcp://a:2",), (INTEREST,), 5, 6)
STATE = StreamState(CHANNEL, Plane.DATA, 1, 2)


def refusal(cls: type[Record], body: bytes) -> str:
    """The reason why ``body`` is refused."""
    with pytest.raises(WireError) as caught:
        decode_record(cls, body)
    return caught.value.reason


def items(packet: Record) -> list[Any]:
    """The fields of a packet as msgpack knows them."""
    array: list[Any] = msgpack.unpackb(encode_record(packet), unicode_errors="surrogatepass")
    return array


def with_field(packet: Record, index: int, value: object) -> bytes:
    """The packet with another value in one field."""
    array = items(packet)
    array[index] = value
    return packed(array)


def packed(value: object) -> bytes:
    """A value in msgpack."""
    body: bytes = msgpack.packb(value)
    return body


# -- round trips and versions


@given(records)
def test_any_packet_comes_back_equal_and_of_the_same_types(packet: Record) -> None:
    """Every packet survives the trip; `repr` tells enums, bools and tuples from look-alikes."""
    back = decode_record(type(packet), encode_record(packet))
    assert back == packet
    assert repr(back) == repr(packet)


@given(records)
def test_items_a_newer_peer_appends_are_left_out(packet: Record) -> None:
    """A longer array is the same packet, whatever the extra items are."""
    array = [*items(packet), {"a": [1, {}]}, [[[]]], None, 1.5]
    body = msgpack.packb(array, unicode_errors="surrogatepass")
    assert decode_record(type(packet), body) == packet


def test_items_a_newer_peer_appends_to_inner_records_are_left_out() -> None:
    """An interest, member or state may grow too."""
    array = items(HELLO)
    array[8] = [[*array[8][0], {"new": 1}], array[8][0]]
    assert decode_record(Hello, packed(array)) == replace(HELLO, interests=(INTEREST, INTEREST))
    status = [3, True, 0, 0, 0, [[CHANNEL, 1, 1, 2, "new"]]]
    assert decode_record(Status, packed(status)) == Status(3, True, states=(STATE,))


@pytest.mark.parametrize(
    ("cls", "array", "packet"),
    [
        (Hello, items(HELLO)[:8], replace(HELLO, interests=(), known=0, met=0)),
        (Hello, items(HELLO)[:10], replace(HELLO, met=0)),
        (Announce, [], Announce()),
        (Welcome, [CHANNEL, 1, 2], Welcome(CHANNEL, 1, 2)),
        (Status, [1, False], Status(1, False)),
        (Status, [1, False, 0, 0, 0, [[CHANNEL, 1]]], None),
        (Bye, [], Bye()),
        (Refuse, [1, "why"], Refuse(Refusal.VERSION, "why")),
    ],
)
def test_fields_an_older_peer_does_not_send_take_their_defaults(
    cls: type[Record], array: list[Any], packet: Record | None
) -> None:
    """A shorter array is accepted down to the fields without a default, inner ones too."""
    packet = packet or Status(1, False, states=(StreamState(CHANNEL, Plane.DATA),))
    assert decode_record(cls, packed(array)) == packet


@pytest.mark.parametrize(
    ("cls", "array"),
    [
        (Hello, items(HELLO)[:7]),
        (Welcome, [CHANNEL, 1]),
        (Status, [1]),
        (Nack, [CHANNEL, 1, 1]),
        (Gone, []),
        (Members, []),
        (Members, [[[NODE]]]),
        (Refuse, [1]),
    ],
)
def test_array_without_a_needed_field_is_truncated(cls: type[Record], array: list[Any]) -> None:
    """A field without a default cannot be missing."""
    assert refusal(cls, packed(array)) == "truncated"


# -- what is refused


@pytest.mark.parametrize("cut", range(len(encode_record(HELLO))))
def test_packet_cut_anywhere_is_truncated(cut: int) -> None:
    """No beginning of a packet is taken for a packet."""
    assert refusal(Hello, encode_record(HELLO)[:cut]) == "truncated"


def test_bytes_after_the_packet_are_refused() -> None:
    """A packet is all of its frame, so nothing can hide behind it."""
    assert refusal(Bye, encode_record(Bye()) + b"\xc0") == "trailing"


@pytest.mark.parametrize(
    ("packet", "index", "wrong"),
    [
        (HELLO, 0, "1"),
        (HELLO, 0, True),
        (HELLO, 0, 1.0),
        (HELLO, 0, None),
        (HELLO, 0, []),
        (HELLO, 0, {}),
        (HELLO, 0, [1]),
        (HELLO, 0, {1: 1}),
        (HELLO, 0, msgpack.ExtType(1, b"")),
        (HELLO, 0, msgpack.ExtType(1, b"x")),
        (HELLO, 0, msgpack.Timestamp(1)),
        (HELLO, 4, b"host"),
        (HELLO, 4, 1),
        (HELLO, 6, "tcp://a:1"),
        (HELLO, 6, {}),
        (HELLO, 6, None),
        (HELLO, 6, [b"tcp://a:1"]),
        (HELLO, 8, [1]),
        (Welcome(CHANNEL, 1, 2), 3, ["text"]),
        (Status(1, True), 1, 1),
        (Status(1, True), 1, None),
        (Nack(CHANNEL, Plane.DATA, 1, 2), 0, "channel1"),
    ],
)
def test_item_of_another_type_is_refused(packet: Record, index: int, wrong: object) -> None:
    """Nothing is converted: not a bool for a number, not bytes for a text."""
    assert refusal(type(packet), with_field(packet, index, wrong)) == "type"


@pytest.mark.parametrize("body", [b"\xc0", b"\x01", b"\x80", b"\xc1", b"\xa3abc"])
def test_body_that_is_no_array_is_refused(body: bytes) -> None:
    """A packet is an array, and 0xc1 is nothing at all."""
    assert refusal(Bye, body) == "type"


def test_text_that_is_no_utf8_is_refused() -> None:
    """Bytes that are no text never become a name."""
    assert refusal(Bye, b"\x91\xa2\xff\xff") == "type"


@pytest.mark.parametrize(
    ("packet", "index", "wrong"),
    [
        (HELLO, 0, -1),
        (HELLO, 1, 256),
        (HELLO, 2, -1),
        (HELLO, 2, 2**63),
        (HELLO, 3, 2**64 - 1),
        (HELLO, 9, -(2**63)),
        (Welcome(CHANNEL, 1, 2), 1, -1),
        (Status(1, True, states=(STATE,)), 5, [[CHANNEL, 1, -2, 0]]),
        (Status(1, True, states=(STATE,)), 5, [[CHANNEL, 1, 0, 2**63]]),
        (Nack(CHANNEL, Plane.DATA, 1, 2), 1, 2),
        (Nack(CHANNEL, Plane.DATA, 1, 2), 1, -1),
        (Nack(CHANNEL, Plane.DATA, 1, 2), 0, b"1234567"),
        (Nack(CHANNEL, Plane.DATA, 1, 2), 0, b"123456789"),
        (Announce(), 1, [b""]),
        (Refuse(Refusal.FULL, ""), 0, 0),
        (Refuse(Refusal.FULL, ""), 0, max(Refusal) + 1),
    ],
)
def test_value_out_of_range_is_refused(packet: Record, index: int, wrong: object) -> None:
    """Numbers have 63 bits or are -1 where that means none, ids 8 bytes, enums their members."""
    assert refusal(type(packet), with_field(packet, index, wrong)) == "range"


@pytest.mark.parametrize("name", ["x" * 255, "é" * 127, "\udcff" * 85, "𝄞" * 63])
def test_longest_name_passes_and_one_more_byte_is_refused(name: str) -> None:
    """The limit of a name is 255 bytes of UTF-8, not characters (R25)."""
    hello = replace(HELLO, host=name + "." * (255 - len(name.encode("utf-8", "surrogatepass"))))
    assert decode_record(Hello, encode_record(hello)) == hello
    assert refusal(Hello, encode_record(replace(hello, host=hello.host + "."))) == "limit"


_LONG = "x" * 256


@pytest.mark.parametrize(
    "packet",
    [
        replace(HELLO, endpoints=(_LONG,)),
        replace(HELLO, data_endpoints=(_LONG,)),
        replace(HELLO, interests=(replace(INTEREST, name=_LONG),)),
        replace(HELLO, interests=(replace(INTEREST, runner=_LONG),)),
        replace(HELLO, interests=(replace(INTEREST, subscribers=(_LONG,)),)),
        replace(HELLO, endpoints=("e",) * 17),
        replace(HELLO, data_endpoints=("e",) * 17),
        replace(HELLO, interests=(replace(INTEREST, subscribers=("s",) * 4097),)),
        Announce((replace(INTEREST, subscribers=()),) * 4097),
        Announce(closed=(CHANNEL,) * 4097),
        Welcome(CHANNEL, 1, 2, (b"",) * 1025),
        Status(1, True, states=(STATE,) * 8193),
        Members((Member(NODE, ()),) * 1025),
        Members((Member(NODE, ("e",) * 17),)),
        Members((Member(NODE, (_LONG,)),)),
        Bye("x" * 1025),
        Refuse(Refusal.FULL, "x" * 1025),
    ],
    ids=lambda packet: type(packet).__name__,
)
def test_one_too_many_is_refused(packet: Record) -> None:
    """Every text and every list has a limit (R25)."""
    assert refusal(type(packet), encode_record(packet)) == "limit"


@pytest.mark.parametrize(
    "packet",
    [
        replace(HELLO, endpoints=("e" * 255,) * 16, data_endpoints=("e" * 255,) * 16),
        replace(HELLO, interests=(replace(INTEREST, subscribers=("s",) * 4096),)),
        Announce((replace(INTEREST, subscribers=("a", "b", "c", "d")),) * 4096),
        Announce(closed=(CHANNEL,) * 4096),
        Welcome(CHANNEL, 1, 2, (b"",) * 1024),
        Status(1, True, states=(STATE,) * 8192),
        Members((Member(NODE, ("e",) * 16),) * 1024),
        Bye("x" * 1024),
    ],
    ids=lambda packet: type(packet).__name__,
)
def test_as_many_as_allowed_pass(packet: Record) -> None:
    """Every limit can be reached."""
    assert decode_record(type(packet), encode_record(packet)) == packet


def test_too_many_items_in_lists_of_allowed_length_are_refused() -> None:
    """Lists within lists are limited together, or 4,096 times 4,096 names would be allowed."""
    interests = (replace(INTEREST, subscribers=("s",) * 4096),) * (MAX_ITEMS // 4096)
    assert refusal(Announce, encode_record(Announce(interests))) == "limit"


# -- what refusing costs


@contextmanager
def at_most_bytes(limit_bytes: int) -> Iterator[None]:
    """Fails if the block allocates more than that at any one time."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] <= limit_bytes
    finally:
        tracemalloc.stop()


_SIZE = 10_000_000
_BIG = b"\xdd" + _SIZE.to_bytes(4, "big")


@pytest.mark.parametrize(
    ("cls", "body", "reason"),
    [
        (Bye, b"", "truncated"),
        (Bye, _BIG + b"\x80" * _SIZE, "limit"),
        (Bye, b"\x91" + _BIG + b"\x80" * _SIZE, "type"),
        (Bye, b"\x91\xdf" + (_SIZE // 2).to_bytes(4, "big") + b"\x80" * _SIZE, "type"),
        (Bye, b"\x91" * _SIZE, "type"),
        (Bye, b"\x81" * _SIZE, "type"),
        (Announce, b"\x91" + _BIG + b"\x90" * _SIZE, "limit"),
        (Announce, b"\x93\x90\x90" + b"\x91" * _SIZE, "type"),
        (Welcome, b"\x94\xc4\x08channel1\x01\x01" + _BIG + b"\xc4\x00" * (_SIZE // 2), "limit"),
        (Bye, b"\xdd\xff\xff\xff\xff", "limit"),
        (Bye, b"\x91\xdb\xff\xff\xff\xff", "truncated"),
        (Bye, b"\x91\xc6\xff\xff\xff\xff", "truncated"),
        (Bye, b"\x91\xdd\xff\xff\xff\xff", "type"),
        (Bye, b"\x91\xdf\xff\xff\xff\xff", "type"),
        (Bye, b"\x91\xc9\xff\xff\xff\xff\x01", "type"),
    ],
)
def test_bomb_is_refused_before_it_is_built(cls: type[Record], body: bytes, reason: str) -> None:
    """Small containers by the million and lengths by the gigabyte cost no memory (X11)."""
    with at_most_bytes(4 * len(body) + 2**20):
        assert refusal(cls, body) == reason


def test_bomb_where_a_newer_peer_may_add_items_is_not_built() -> None:
    """What is left out is skipped without being made."""
    body = b"\x92\xa3why" + _BIG + b"\x80" * _SIZE
    with at_most_bytes(4 * len(body) + 2**20):
        assert decode_record(Bye, body) == Bye("why")


def test_the_costliest_packet_allowed_takes_few_megabytes() -> None:
    """The item limit is what bounds a packet of nothing but distinct short names."""
    names = tuple(f"{i:x}" for i in range(4000))
    packet = Announce((replace(INTEREST, subscribers=names),) * 16)
    body = encode_record(packet)
    with at_most_bytes(8 * 2**20):
        assert decode_record(Announce, body) == packet
