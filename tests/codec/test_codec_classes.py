"""The closed table: who is in it, versions that differ, registering (R27, R28, S22-S26)."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pydantic
import pytest
from msgpack import ExtType, packb
from pipecat.bus.messages import BusDataMessage, BusFrameMessage, BusJobRequestMessage
from pipecat.frames.frames import DataFrame, TextFrame
from pipecat.processors.frame_processor import FrameDirection

from zmqbus.codec import MsgpackSerializer
from zmqbus.errors import CodecError, ConfigError

HERE = sys.modules[__name__]
Define = Callable[..., Any]


@dataclass
class Point:
    """A user's dataclass that annotations lead to."""

    x: int
    y: int | None = 5
    tags: tuple[str, ...] = ("a",)
    parts: list[int] = field(default_factory=list)


@dataclass
class Point3(Point):
    """A subclass of it."""

    z: float = 0.0


class Shape(pydantic.BaseModel):
    """A user's model that annotations lead to."""

    model_config = pydantic.ConfigDict(extra="allow")
    corners: list[Point] = []
    name: str | None = "default"
    when: datetime.datetime | None = None
    _cache: dict[str, int] = pydantic.PrivateAttr(default_factory=dict)


class Sealed(pydantic.BaseModel):
    """A model that takes no extra fields."""

    model_config = pydantic.ConfigDict(frozen=True)
    user_id: str = pydantic.Field(alias="userId")
    ids: frozenset[int] = frozenset()


@dataclass
class DrawMessage(BusDataMessage):
    """A user's own message, found without registering."""

    point: Point
    shape: Shape | Sealed | None = None
    where: Any = None


@dataclass
class NoteFrame(DataFrame):
    """A user's own frame."""

    note: str
    extra: Any = None
    later: NotImported | None = None  # type: ignore[name-defined]  # noqa: F821


@dataclass(frozen=True, slots=True)
class Frozen:
    """Needs registering."""

    a: int
    b: str = "b"


@dataclass
class Doubling:
    """Its `__post_init__` is not idempotent."""

    cents: int

    def __post_init__(self) -> None:
        self.cents *= 100

    def __call__(self) -> int:
        """A data class may be callable as well."""
        return self.cents


@dataclass
class Shaded:
    """A field that is behind a property."""

    a: int

    @property  # type: ignore[no-redef]
    def a(self) -> int:
        """The field."""
        return self._a

    @a.setter
    def a(self, value: int) -> None:
        self._a = value


@dataclass
class Node:
    """A list, linked."""

    next: Any = 0


class Opaque:
    """Travels by functions of its own."""

    def __init__(self, value: Any) -> None:
        self.value = value


def trip(serializer: MsgpackSerializer, message: Any) -> Any:
    """There and back."""
    return serializer.deserialize(serializer.serialize(message))


def job_trip(serializer: MsgpackSerializer, value: Any) -> Any:
    """A payload's value, there and back."""
    message = BusJobRequestMessage(source="a", job_id="j", payload={"v": value})
    return trip(serializer, message).payload["v"]


@pytest.mark.parametrize("point", [Point(1), Point(1, None), Point3(1, z=2, parts=[1])])
def test_users_message_and_what_it_names_need_no_registering(
    point: Point, serializer: MsgpackSerializer
) -> None:
    """Own messages are in the table, and what their annotations lead to, subclasses too (R27)."""
    back = trip(serializer, DrawMessage(source="a", point=point))
    assert type(back) is DrawMessage
    assert type(back.point) is type(point)
    assert back.point == point


def test_models_keep_extra_private_and_given_names(serializer: MsgpackSerializer) -> None:
    """A model comes back with everything that pydantic keeps of it."""
    shape = Shape(corners=[Point(1)], name=None, surprise=(1,))  # type: ignore[call-arg]
    shape._cache["k"] = 1
    back = trip(serializer, DrawMessage(source="a", point=Point(1), shape=shape)).shape
    assert back == shape
    assert back.model_fields_set == {"corners", "name", "surprise"}
    assert (back.surprise, back._cache) == ((1,), {"k": 1})
    assert list(vars(back)) == list(vars(shape))
    untouched = trip(serializer, DrawMessage(source="a", point=Point(1), shape=Shape())).shape
    assert untouched.model_fields_set == set()
    assert untouched.corners == []


def test_frozen_model_with_alias_comes_back(serializer: MsgpackSerializer) -> None:
    """Validators and aliases are not in the way."""
    sealed = Sealed(userId="u", ids=frozenset({1}))
    assert trip(serializer, DrawMessage(source="a", point=Point(1), shape=sealed)).shape == sealed


def test_model_of_odd_names_travels(serializer: MsgpackSerializer) -> None:
    """A model made at run time may have names that are no identifiers."""
    odd: Any = pydantic.create_model("Odd", **{"class": (int, 1), "a_b": (str, ...)})  # type: ignore[call-overload]
    serializer.register(odd)
    value = odd(**{"class": 2, "a_b": "x"})
    assert job_trip(serializer, value) == value


def test_extra_of_a_model_without_extra_is_ignored(serializer: MsgpackSerializer) -> None:
    """A peer cannot add fields or private names that a model does not have (R27)."""
    name = f"{__name__}:Sealed".encode()
    model = [name, [None, "user_id", "u"], ["user_id", "x"], {"x": 1}, {"_y": 2}]
    point = [f"{__name__}:Point".encode(), "x", 1]
    head = [f"{__name__}:DrawMessage".encode(), "0 1 2 point shape", 1, "#1", "a"]
    back: Any = serializer.deserialize(packb([*head, point, model]))
    assert vars(back.shape) == {"user_id": "u", "ids": frozenset()}
    assert back.shape.model_fields_set == {"user_id"}
    assert back.point == Point(1)


def test_own_frame_with_unresolvable_annotation_travels(
    serializer: MsgpackSerializer, wrap: Any
) -> None:
    """An annotation that names what is not loaded admits anything."""
    frame = NoteFrame("hi")
    frame.later = {"k": 1}
    assert trip(serializer, wrap(frame)).frame.later == {"k": 1}


@pytest.mark.parametrize("value", [Frozen(1), Doubling(3), Shaded(4)])
def test_unregistered_dataclass_is_refused_with_the_way_out(
    value: Any, serializer: MsgpackSerializer
) -> None:
    """Nobody's annotation leads to it: the error names register() (S24)."""
    with pytest.raises(CodecError, match=r"payload\['v'\].*register\(\)"):
        job_trip(serializer, value)


@pytest.mark.parametrize("value", [Frozen(1), Doubling(3), Shaded(4), Frozen(1, "c")])
def test_registered_dataclass_comes_back_equal(value: Any) -> None:
    """Frozen, callable, slotted, with a property: the fields are the state (S22, S23)."""
    back = job_trip(MsgpackSerializer(register=[Frozen, Doubling, Shaded]), value)
    assert type(back) is type(value)
    assert back == value


def test_registering_after_a_refusal_helps(serializer: MsgpackSerializer) -> None:
    """A refusal is not remembered past `register()`."""
    with pytest.raises(CodecError):
        job_trip(serializer, Frozen(1))
    serializer.register(Frozen)
    assert job_trip(serializer, Frozen(1)) == Frozen(1)


def test_local_classes_travel_once_registered(serializer: MsgpackSerializer) -> None:
    """Classes inside a function have no name that a peer could look up (S24)."""

    class Local(enum.Enum):
        A = 1

    @dataclass
    class LocalMessage(BusDataMessage):
        n: int = 0

    with pytest.raises(CodecError, match="register"):
        job_trip(serializer, Local.A)
    with pytest.raises(CodecError, match="register"):
        serializer.serialize(LocalMessage(source="a"))
    serializer.register(Local)
    serializer.register(LocalMessage)
    assert job_trip(serializer, Local.A) is Local.A
    assert trip(serializer, LocalMessage(source="a", n=3)).n == 3


def test_own_functions_carry_any_type(serializer: MsgpackSerializer) -> None:
    """`encode` and `decode` teach what is neither dataclass nor model."""
    serializer.register(Opaque, encode=lambda o: o.value, decode=Opaque)
    assert job_trip(serializer, Opaque({"k": (1,)})).value == {"k": (1,)}


def test_own_decode_is_held_to_its_class(serializer: MsgpackSerializer) -> None:
    """What a user's decode raises or returns wrongly is a CodecError."""
    serializer.register(Opaque, encode=lambda o: o.value, decode=lambda value: value["k"])
    with pytest.raises(CodecError, match="its decode gave a int"):
        job_trip(serializer, Opaque({"k": 1}))
    with pytest.raises(CodecError, match="KeyError"):
        job_trip(serializer, Opaque({}))


@pytest.mark.parametrize(
    ("cls", "functions"),
    [(Opaque, {}), (enum.Enum, {}), (Opaque, {"encode": str}), (Opaque, {"decode": str}), (5, {})],
)
def test_registering_nonsense_is_refused(
    cls: Any, functions: Any, serializer: MsgpackSerializer
) -> None:
    """The error says what is missing."""
    with pytest.raises(ConfigError, match="register="):
        serializer.register(cls, **functions)


def test_deep_chain_of_objects_is_refused(serializer: MsgpackSerializer) -> None:
    """Objects nest as deep as lists may, and no deeper."""
    serializer.register(Node)
    node = Node()
    for _ in range(90):
        node = Node(node)
    assert job_trip(serializer, node) == node
    for _ in range(5000):
        node = Node(node)
    with pytest.raises(CodecError, match=r"nested|recursion"):
        job_trip(serializer, node)


@pytest.fixture
def define(monkeypatch: pytest.MonkeyPatch) -> Define:
    """Defines a dataclass in this module, for the time of a test."""

    def make(name: str, base: type, **fields: Any) -> Any:
        spec = [(n, *(v if isinstance(v, tuple) else (v,))) for n, v in fields.items()]
        cls: Any = dataclasses.make_dataclass(name, spec, bases=(base,), kw_only=True)
        cls.__module__ = __name__
        monkeypatch.setattr(HERE, name, cls, raising=False)
        return cls

    return make


@pytest.mark.parametrize("base", [BusDataMessage, DataFrame])
def test_two_versions_of_a_class_understand_each_other(
    base: type, define: Define, wrap: Any, warnings_said: list[str]
) -> None:
    """New defaulted fields take their default, unknown ones are ignored (R28, S26)."""
    old = define("Skewed", base, a=int, gone=int)
    source = {"source": "s"} if base is BusDataMessage else {}
    one = old(a=1, gone=2, **source)
    data = MsgpackSerializer().serialize(one if source else wrap(one))
    new = define(
        "Skewed", base, a=int, b=(int, field(default=7)), c=(list, field(default_factory=list))
    )
    back: Any = MsgpackSerializer().deserialize(data)
    back = back if source else back.frame
    assert type(back) is new
    assert (back.a, back.b, back.c, hasattr(back, "gone")) == (1, 7, [], False)
    assert warnings_said == []


@pytest.mark.parametrize("base", [BusDataMessage, DataFrame])
def test_missing_required_field_drops_the_message(
    base: type, define: Define, wrap: Any, warnings_said: list[str]
) -> None:
    """One warning names class and field; nothing hollow is delivered (S26)."""
    source = {"source": "s"} if base is BusDataMessage else {}
    one = define("Skewed2", base, a=int)(a=1, **source)
    data = MsgpackSerializer().serialize(one if source else wrap(one))
    define("Skewed2", base, a=int, b=int)
    assert MsgpackSerializer().deserialize(data) is None
    assert len(warnings_said) == 1
    assert "Skewed2.b" in warnings_said[0]


def test_unknown_class_is_one_warning(
    define: Define, monkeypatch: pytest.MonkeyPatch, warnings_said: list[str], wrap: Any
) -> None:
    """A class that is gone is not found, however often it arrives (R28)."""
    kept = define("Vanishing", DataFrame, a=int)
    data = MsgpackSerializer().serialize(wrap(kept(a=1)))
    monkeypatch.delattr(HERE, "Vanishing")
    serializer = MsgpackSerializer()
    for _ in range(10):
        assert serializer.deserialize(data) is None
    assert len(warnings_said) == 2
    assert "Vanishing" in warnings_said[0]
    assert serializer.dropped == {f"{__name__}:Vanishing": 10}


def test_redefined_class_replaces_the_old_one(define: Define) -> None:
    """As in a notebook: the serializer builds the class that is there now."""
    serializer = MsgpackSerializer()
    old = define("Again", BusDataMessage, a=int)
    assert type(trip(serializer, old(source="s", a=1))) is old
    new = define("Again", BusDataMessage, a=int, b=(int, field(default=2)))
    assert trip(serializer, new(source="s", a=1)).b == 2
    with pytest.raises(CodecError, match="register"):
        serializer.serialize(old(source="s", a=1))


def test_redefined_enum_replaces_the_old_one(
    serializer: MsgpackSerializer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its members are those of the class that is there now."""
    made = []
    for _ in range(2):
        Switch = enum.Enum("Switch", ["ON"], module=__name__)  # noqa: N806
        monkeypatch.setattr(HERE, "Switch", Switch, raising=False)
        assert job_trip(serializer, Switch.ON) is Switch.ON
        made.append(Switch)
    assert job_trip(serializer, made[1].ON) is not made[0].ON


def test_class_imported_later_is_found(
    serializer: MsgpackSerializer, define: Define, wrap: Any
) -> None:
    """The table looks again when a name is new."""
    define("Before", DataFrame, a=int)
    late = define("Late", DataFrame, a=int)
    data = MsgpackSerializer().serialize(wrap(late(a=1)))
    assert type(serializer.deserialize(data).frame) is late  # type: ignore[union-attr]


def test_unknown_object_in_an_optional_field_costs_only_the_field(
    serializer: MsgpackSerializer, warnings_said: list[str]
) -> None:
    """An end must arrive, though its reason is of a class nobody here knows."""
    for unknown in (ExtType(2, b"far:Reason.HANGUP"), [b"far:Reason", ""]):
        frame = [b"1:EndFrame", "0 1 reason", 1, "#1", unknown]
        head = [b"2:BusFrameMessage", "0 1 2 5 4", 1, "#1", "a"]
        back: Any = serializer.deserialize(packb([*head, ExtType(2, b"0.UPSTREAM"), frame]))
        assert back.frame.reason is None
        assert back.direction is FrameDirection.UPSTREAM
    assert "EndFrame.reason" in warnings_said[0]


@pytest.mark.parametrize(
    "payload",
    [
        {"v": [b"far:Thing", ""]},
        [b"dict", 1, [b"far:Thing", ""]],
        [b"far:Thing", ""],
        {"v": ExtType(2, b"0.SIDEWAYS")},
        {"v": ExtType(2, f"{__name__}:Point.x".encode())},
        {"v": ExtType(2, f"{__name__}:Rights.R|X".encode())},
        {"v": [b"0", "UPSTREAM"]},
    ],
)
def test_unknown_object_in_a_payload_drops_the_message(
    payload: Any, serializer: MsgpackSerializer, raw_job: Any, warnings_said: list[str]
) -> None:
    """A payload with a hole in it is not delivered."""
    assert serializer.deserialize(raw_job(payload)) is None
    assert len(warnings_said) == 1


class Rights(enum.Flag):
    """A flag to look for."""

    R = 1


def test_peer_without_ids_gets_some(serializer: MsgpackSerializer) -> None:
    """Older pipecat has no id and name in its messages: they are made here (S26)."""
    back: Any = serializer.deserialize(packb([b"2:BusEndMessage", "2", "a"]))
    assert back.source == "a"
    if "id" in back.__dataclass_fields__:
        assert isinstance(back.id, int)
        assert back.name.startswith("BusEndMessage#")


def test_renamed_field_is_understood(serializer: MsgpackSerializer) -> None:
    """1.13 renamed `aggregated_by`: either name is taken for the other (S26)."""
    for name in ("aggregated_by", "text_type"):
        frame = [b"1:TTSTextFrame", f"0 1 ) {name}", 1, "#1", "x", "word"]
        head = [b"2:BusFrameMessage", "0 1 2 5 4", 1, "#1", "a"]
        back: Any = serializer.deserialize(packb([*head, ExtType(2, b"0.UPSTREAM"), frame]))
        mine = "text_type" if "text_type" in back.frame.__dataclass_fields__ else "aggregated_by"
        assert getattr(back.frame, mine) == "word"


def test_fields_that_post_init_sets_have_a_value_without_a_peers(
    serializer: MsgpackSerializer, define: Define
) -> None:
    """A field without default that the peer lacks is empty, False or None."""
    init_false = {
        "flag": (bool, field(init=False)),
        "notes": (dict[str, int], field(init=False)),
        "maybe": (int | None, field(init=False)),
    }
    cls = define("Later", BusDataMessage, **init_false)
    name = f"{__name__}:Later".encode()
    back: Any = serializer.deserialize(packb([name, "0 1 2", 1, "#1", "a"]))
    assert type(back) is cls
    assert (back.flag, back.notes, back.maybe) == (False, {}, None)


def test_what_the_process_never_sees_as_numpy_is_dropped(
    serializer: MsgpackSerializer, raw_job: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An array is not a reason to import numpy (R27)."""
    monkeypatch.delitem(sys.modules, "numpy")
    value = [b"ndarray", "<f4", [1], bytes(4)]
    assert serializer.deserialize(raw_job({"v": value})) is None
    assert "numpy" not in sys.modules
    assert serializer.dropped == {"numpy": 1}


def test_other_frames_are_untouched_by_a_drop(serializer: MsgpackSerializer, wrap: Any) -> None:
    """After a dropped message the next one is whole."""
    assert serializer.deserialize(packb([b"far:Thing", ""])) is None
    back = trip(serializer, wrap(TextFrame("x")))
    assert isinstance(back, BusFrameMessage)
    assert isinstance(back.frame, TextFrame)
