"""Values in payloads (S10, S12, S14, S16, S17, S34)."""

from __future__ import annotations

import collections
import datetime
import decimal
import enum
import math
import pathlib
import struct
import types
import uuid
import zoneinfo
from collections.abc import Callable
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pipecat.bus.messages import BusJobRequestMessage

from zmqbus.codec import MsgpackSerializer
from zmqbus.errors import CodecError

UTC = datetime.UTC
NEWYORK = zoneinfo.ZoneInfo("America/New_York")


class Colour(enum.Enum):
    """An enum of a user's program."""

    RED = "r"
    GREEN = (0, 255, 0)


class Level(enum.IntEnum):
    """Its members equal ints."""

    LOW = 1


class Mode(enum.StrEnum):
    """Its members equal strings."""

    FAST = "fast"


class Permission(enum.Flag):
    """Its members combine."""

    NONE = 0
    READ = 1
    WRITE = 2


class Kept(enum.IntFlag):
    """Keeps bits that have no name."""

    A = 1


class Outer:
    """Holds an enum."""

    class Inner(enum.Enum):
        """A nested enum."""

        X = 1


VALUES = [
    None,
    True,
    0,
    -1,
    2**63,
    2**64,
    -(2**63),
    -(2**63) - 1,
    10**400,
    1.5,
    math.inf,
    5e-324,
    "",
    "a\0b",
    "ü ✓ 日本",
    "a\ud800b",
    b"",
    b"\x00\xff",
    bytearray(b"\x01"),
    memoryview(b"\x01\x02"),
    [],
    [1, [2, (3,)]],
    (),
    (1, "a", (2,)),
    set(),
    {1, 2},
    frozenset({"a"}),
    collections.deque([1, (2,)], maxlen=5),
    collections.OrderedDict(b=1, a=(2,)),
    collections.defaultdict(list, a=[1]),
    collections.defaultdict(None, a=1),
    range(1, 2**70, 3),
    1 + 2j,
    decimal.Decimal("1.10"),
    uuid.UUID(int=5),
    datetime.date(2026, 1, 2),
    datetime.datetime(2026, 1, 2, 3, 4, 5, 678901),
    datetime.datetime(2026, 1, 2, tzinfo=UTC),
    datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone(datetime.timedelta(0), "Zero")),
    datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone(datetime.timedelta(hours=-3.5))),
    datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone(datetime.timedelta(hours=1), "CET")),
    datetime.datetime(2026, 11, 1, 1, 30, fold=1, tzinfo=NEWYORK),
    datetime.time(3, 4, 5, 6),
    datetime.time(3, tzinfo=UTC),
    datetime.time(3, tzinfo=NEWYORK),
    datetime.timedelta(days=-1, microseconds=1),
    pathlib.PurePosixPath("/a/b"),
    pathlib.PureWindowsPath("C:\\a"),
    pathlib.Path("/a/b"),
    {1: "a", "1": "b"},
    {None: 1},
    {True: 1},
    {1.5: 1},
    {b"k": 1},
    {(1, 2): "a"},
    {Colour.RED: 1, Mode.FAST: 2},
    {"a\ud800": {"b": 2**70}},
    {2**70: "\udfff"},
    {"__type__": "bytes", "__data__": "AAA="},
    {"__type__": "pipecat.frames.frames.TextFrame", "__data__": {"text": "x"}},
    Colour.RED,
    Colour.GREEN,
    Level.LOW,
    Mode.FAST,
    Permission.READ | Permission.WRITE,
    Permission.NONE,
    Outer.Inner.X,
    np.arange(6, dtype=np.int16).reshape(2, 3),
    np.arange(6, dtype=">f4").reshape(2, 3).T,
    np.zeros((0, 3)),
    np.array(7),
    np.float32(0.5),
    np.datetime64("2026-01-02"),
    np.str_("é"),
    np.str_(""),
    np.bytes_(b""),
    np.array(["", "a"]),
    np.zeros(2, "V0"),
]


def exactly(value: Any) -> Any:
    """`value` with the type at every level, and floats by their bits."""
    kind = type(value)
    if isinstance(value, dict):
        return kind, [(exactly(k), exactly(v)) for k, v in value.items()]
    if isinstance(value, (list, tuple, collections.deque)):
        return kind, [exactly(item) for item in value]
    if isinstance(value, float):
        return kind, struct.pack(">d", value)
    if isinstance(value, (np.ndarray, np.generic)):
        return kind, value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, (datetime.datetime, datetime.time)):
        return kind, value.replace(tzinfo=None), value.fold, str(value.tzinfo), value.utcoffset()
    return kind, value


@pytest.mark.parametrize("value", VALUES, ids=lambda v: f"{type(v).__name__}-{str(v)[:12]!a}")
def test_listed_value_comes_back_exact(value: Any, value_trip: Callable[[Any], Any]) -> None:
    """Every value type listed in the codec survives, type and all (S10, S12, S14, S17)."""
    assert exactly(value_trip(value)) == exactly(value)


def test_enum_member_comes_back_as_itself(value_trip: Callable[[Any], Any]) -> None:
    """An enum member is the same object afterwards, also the second time (S02)."""
    assert value_trip(Mode.FAST) is Mode.FAST
    assert value_trip([Mode.FAST, Mode.FAST])[1] is Mode.FAST


def test_not_a_number_stays_that(value_trip: Callable[[Any], Any]) -> None:
    """NaN and -0.0 keep their bits (S16)."""
    assert math.isnan(value_trip(math.nan))
    assert exactly(value_trip([-0.0])) == exactly([-0.0])


def test_mapping_proxy_comes_back_as_one(value_trip: Callable[[Any], Any]) -> None:
    """A read-only mapping stays one, with its items in order (S34)."""
    back = value_trip(types.MappingProxyType({"b": 1, "a": (2,)}))
    assert type(back) is types.MappingProxyType
    assert list(back.items()) == [("b", 1), ("a", (2,))]


def test_defaultdict_with_own_factory_arrives_as_dict(value_trip: Callable[[Any], Any]) -> None:
    """A factory of the user's does not travel; the items do (S34)."""
    assert exactly(value_trip(collections.defaultdict(lambda: 1, a=2))) == exactly({"a": 2})


def test_other_dict_subclass_arrives_as_dict(value_trip: Callable[[Any], Any]) -> None:
    """A dict subclass keeps items and order (S34)."""
    assert exactly(value_trip(collections.Counter("aab"))) == exactly({"a": 2, "b": 1})


def test_shared_object_arrives_twice(value_trip: Callable[[Any], Any]) -> None:
    """What is referred to twice arrives at both places."""
    shared = {"s": [1]}
    assert value_trip([shared, shared]) == [shared, shared]


class Sdk:
    """Neither dataclass nor model."""


class Word(str):
    """A string of its own kind."""


class Zone(datetime.tzinfo):
    """A time zone of the user's."""

    def utcoffset(self, when: datetime.datetime | None) -> datetime.timedelta:
        """None to speak of."""
        return datetime.timedelta(0)

    def dst(self, when: datetime.datetime | None) -> None:
        """Never."""

    def tzname(self, when: datetime.datetime | None) -> str:
        """What the user calls it."""
        return "here"


@pytest.mark.parametrize(
    "value",
    [
        Sdk(),
        ValueError("boom"),
        Sdk,
        exactly,
        (i for i in range(2)),
        Word("x"),
        msgpack.ExtType(2, b"0.UPSTREAM"),
        msgpack.Timestamp(1),
        datetime.datetime(2026, 1, 1, tzinfo=Zone()),
        np.array([object()]),
        np.zeros(2, dtype=[("a", "i4")]),
        Kept(5),
    ],
    ids=lambda v: type(v).__name__,
)
def test_unknown_value_is_refused_with_its_path(value: Any, serializer: MsgpackSerializer) -> None:
    """The sender learns where the value is, and the next message goes out (S17)."""
    message = BusJobRequestMessage(source="a", job_id="j", payload={"items": [1, {"when": value}]})
    with pytest.raises(CodecError, match="payload") as caught:
        serializer.serialize(message)
    assert caught.value.path == "BusJobRequestMessage.payload['items'][1]['when']"
    assert serializer.serialize(BusJobRequestMessage(source="a", job_id="j", payload={"a": 1}))


def test_refused_key_is_named(serializer: MsgpackSerializer) -> None:
    """A key that cannot travel is refused at the sender, not at the receiver (S12)."""
    message = BusJobRequestMessage(source="a", job_id="j", payload={1: {Sdk: 1}})
    with pytest.raises(CodecError, match=r"payload\[1\]\[<class '.*Sdk'>\]"):
        serializer.serialize(message)


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
    | st.text(alphabet=st.characters(categories=["Cs", "Ll"])) | st.decimals(allow_nan=False)
    | st.datetimes() | st.timedeltas() | st.sampled_from([*Colour, *Mode, *Level]),
    lambda inner: st.lists(inner) | st.tuples(inner, inner)
    | st.dictionaries(st.text() | st.integers() | st.tuples(st.integers()), inner),
    max_leaves=12,
)  # fmt: skip
SHARED = MsgpackSerializer()


@given(plain)
def test_any_nest_of_values_comes_back_exact(value: Any) -> None:
    """Whatever is built from listed types survives (S10)."""
    message = BusJobRequestMessage(source="a", job_id="j", payload={"v": value})
    back = SHARED.deserialize(SHARED.serialize(message))
    assert isinstance(back, BusJobRequestMessage)
    assert exactly(back.payload) == exactly({"v": value})


@pytest.mark.parametrize(
    "value",
    [
        [b"tuple", 1],
        [b"2:BusEndMessage", "2", "a"],
        [b"list"],
        [[b"list", b"list"], b"x"],
        (b"tuple", b"set"),
        [memoryview(b"dict"), 1],
        {"k": [b"1:TextFrame", "", 1]},
        [b"never heard of"],
        [b"\xff" * 1000, b""],
    ],
    ids=lambda v: type(v).__name__,
)
def test_list_that_begins_with_bytes_is_no_mark(value: Any, serializer: MsgpackSerializer) -> None:
    """A user's list stays a list, whatever names the bytes at its head spell (S10, X02)."""
    message = BusJobRequestMessage(source="a", job_id="j", payload={"v": value})
    back: Any = serializer.deserialize(serializer.serialize(message))
    assert back.payload == {"v": value}
    assert type(back.payload["v"]) is type(value)
