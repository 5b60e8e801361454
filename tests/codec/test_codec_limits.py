"""Sizes, depths and counts (R25, S28, S30, X11)."""

from __future__ import annotations

import random
from typing import Any

import pytest
from msgpack import packb
from pipecat.bus.messages import BusEndMessage, BusJobRequestMessage

from zmqbus.codec import MsgpackSerializer
from zmqbus.codec.scan import MAX_NESTING, measure
from zmqbus.errors import CodecError, MessageTooLargeError


def job(value: Any) -> BusJobRequestMessage:
    """A job request with `value` in its payload."""
    return BusJobRequestMessage(source="a", job_id="j", payload={"v": value})


def nested(levels: int, kind: type) -> Any:
    """1, inside of so many lists, dicts or tuples."""
    value: Any = 1
    for _ in range(levels):
        value = {"k": value} if kind is dict else kind([value])
    return value


@pytest.mark.parametrize("kind", [list, dict, tuple])
def test_hundred_levels_pass(kind: type, serializer: MsgpackSerializer) -> None:
    """A depth that programs use is no error."""
    message = job(nested(100, kind))
    assert serializer.deserialize(serializer.serialize(message)) == message


@pytest.mark.parametrize("kind", [list, dict, tuple])
def test_five_thousand_levels_are_refused(kind: type, serializer: MsgpackSerializer) -> None:
    """Too deep is a CodecError, never a RecursionError."""
    with pytest.raises(CodecError, match="nested more than"):
        serializer.serialize(job(nested(5000, kind)))


def test_cycle_is_refused_and_the_next_message_goes(serializer: MsgpackSerializer) -> None:
    """What contains itself is an error for that message only (S30)."""
    cycle: dict[str, Any] = {}
    cycle["d"] = cycle
    with pytest.raises(CodecError, match="contains itself"):
        serializer.serialize(job(cycle))
    assert serializer.serialize(job(1))


def test_ten_megabytes_pass(serializer: MsgpackSerializer) -> None:
    """10 MB of bytes and a big dict go through (S28)."""
    for value in (b"\xab" * 10_000_000, {f"k{i}": i for i in range(100_000)}):
        message = job(value)
        assert serializer.deserialize(serializer.serialize(message)) == message


def test_larger_message_is_refused_at_the_sender() -> None:
    """The error tells size and limit (R25)."""
    serializer = MsgpackSerializer(max_message_bytes=1000)
    with pytest.raises(MessageTooLargeError, match="limit is 1,000") as caught:
        serializer.serialize(job(bytes(1000)))
    assert caught.value.size_bytes > caught.value.limit_bytes == 1000
    assert serializer.serialize(job(bytes(500)))


def test_larger_bytes_are_refused_at_the_receiver(serializer: MsgpackSerializer) -> None:
    """A peer with another limit is told apart from noise."""
    data = serializer.serialize(job(bytes(1000)))
    with pytest.raises(CodecError, match="the limit is 1,000"):
        MsgpackSerializer(max_message_bytes=1000).deserialize(data)


def test_long_list_in_a_small_message_passes(serializer: MsgpackSerializer) -> None:
    """The quick limit on lists is no limit for honest ones."""
    message = job([0] * 10_000 + [(1,)])
    assert serializer.deserialize(serializer.serialize(message)) == message


def test_too_many_small_values_are_refused_on_both_sides(serializer: MsgpackSerializer) -> None:
    """Nothing is refused by the receiver that the sender let out (X11)."""
    with pytest.raises(CodecError, match="too many small values"):
        serializer.serialize(job([{}] * 1_000_000))


def test_what_does_not_fit_msgpack_is_refused(serializer: MsgpackSerializer) -> None:
    """Msgpack's own refusals become ours: 170 dataclasses deep is too deep for it."""
    deep = BusEndMessage(source="a")
    vars(deep)["reason"] = nested(3, list)
    with pytest.raises(CodecError, match=r"BusEndMessage\.reason"):
        serializer.serialize(deep)


def test_measure_agrees_with_msgpack() -> None:
    """The walk finds the end of whatever msgpack packs, and misses every cut."""
    rng = random.Random(5)
    values: list[Any] = [
        None, True, 1, -1, 200, 70_000, 2**33, -200, -70_000, -(2**33), 1.5, "", "x" * 40,
        "x" * 300, "x" * 70_000, b"", bytes(300), bytes(70_000), [], {}, list(range(20)),
        list(range(70_000)), {str(i): i for i in range(20)}, {str(i): i for i in range(70_000)},
    ]  # fmt: skip
    for _ in range(50):
        whole = rng.choices(values, k=rng.randint(1, 4))
        data = packb(whole)
        measure(data)
        with pytest.raises(CodecError, match="end early"):
            measure(data[: rng.randrange(len(data) - 1)])


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"\xc1", "0xC1"), (b"\xc0\xc0", "1 bytes follow"), (b"\xdd\xff\xff\xff\xff", "too many")],
)
def test_measure_names_what_is_wrong(data: bytes, reason: str) -> None:
    """Each kind of bad bytes has its reason (R26)."""
    with pytest.raises(CodecError, match=reason):
        measure(data)


@pytest.mark.parametrize("size", [1, 2, 4, 8, 16, 3, 300, 70_000])
def test_measure_knows_every_ext(size: int) -> None:
    """Ext values of all widths are stepped over."""
    from msgpack import ExtType

    measure(packb([ExtType(1, bytes(size)), 1]))


def test_measure_bounds_depth() -> None:
    """The walk refuses what msgpack would recurse into."""
    measure(b"\x91" * MAX_NESTING + b"\xc0")
    with pytest.raises(CodecError, match="levels deep"):
        measure(b"\x91" * (MAX_NESTING + 1) + b"\xc0")
