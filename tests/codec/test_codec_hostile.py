"""Bytes that no honest peer sends (R26, R27, X01-X03, X11, X13)."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from dataclasses import make_dataclass
from enum import Flag
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgpack import ExtType, packb
from pipecat.bus.messages import (
    BusFrameMessage,
    BusJobRequestMessage,
    BusMessage,
    BusWorkerLocalErrorMessage,
)
from pipecat.frames.frames import TextFrame, TranscriptionFrame
from pipecat.processors.frame_processor import FrameDirection

from zmqbus.codec import IdSpace, MsgpackSerializer, scan
from zmqbus.codec.pipecat_types import FunctionSchema, ToolsSchema
from zmqbus.errors import CodecError

Raw = Callable[[Any], bytes]

SHARED = MsgpackSerializer()
GOOD = SHARED.serialize(
    BusFrameMessage(
        source="a",
        frame=TranscriptionFrame("hi", "u", "t", result={"n": [1, (2,), 2**70]}),
        direction=FrameDirection.UPSTREAM,
    )
)


def mark(name: str) -> bytes:
    """The first item of an object's or value's list."""
    return name.encode()


def outcome(data: bytes, **context: Any) -> BusMessage | None:
    """What decoding gives; anything but a message, None or CodecError fails the test."""
    try:
        back = SHARED.decode(data, **context)
    except CodecError:
        return None
    assert back is None or isinstance(back, BusMessage)
    return back


@given(st.binary(max_size=300))
def test_random_bytes_are_an_error_or_nothing(data: bytes) -> None:
    """Noise never raises anything but CodecError, and imports nothing."""
    before = set(sys.modules)
    outcome(data)
    assert set(sys.modules) == before


@given(st.data())
def test_damaged_message_is_sound_or_refused(data: st.DataObject) -> None:
    """Whatever bytes of a good message change, what comes out is a sound message (X13)."""
    damaged = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    back = outcome(bytes(damaged))
    if back is not None:
        assert isinstance(back.source, str)
        assert not isinstance(back, BusFrameMessage) or hasattr(back.frame, "id")


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.text(max_size=5)
    | st.binary(max_size=9)
    | st.sampled_from([
        mark(n) for n in (*(k.decode() for k in SHARED._table.marks), "2:BusEndMessage",
        "1:TextFrame", "no:Such", "pipecat.metrics.metrics:TTFBMetricsData")
    ])
    | st.sampled_from([ExtType(2, b"0.UPSTREAM"), ExtType(2, b"x"), ExtType(3, bytes(13))]),
    lambda inner: st.lists(inner, max_size=5)
    | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=20,
)  # fmt: skip


@given(anything)
def test_any_nest_of_marks_is_an_error_or_nothing(value: Any) -> None:
    """Marks, members and ids in every place, with every kind of argument."""
    try:
        data = packb(value)
    except (ValueError, OverflowError):
        return
    head = [mark("2:BusJobRequestMessage"), "0 1 2 7 ;", 1, "#1", "a", "j", {"v": value}]
    outcome(data)
    outcome(packb(head))
    outcome(packb(head), ids=IdSpace(bytes(8)), sender=bytes(range(8)))


def test_name_on_the_wire_imports_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raw_job: Raw
) -> None:
    """A module that is there for the taking is not imported (X01)."""
    flag = tmp_path / "ran"
    (tmp_path / "zz_trap.py").write_text(f"open({str(flag)!r}, 'w')\nclass Trap: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    for name in ("zz_trap:Trap", "this:s", "os:system", "builtins:open", "zmqbus:ZmqBus", "", ":"):
        assert outcome(raw_job({"v": [mark(name), "", 1]})) is None
        assert outcome(raw_job({"v": ExtType(2, f"{name}.x".encode())})) is None
    assert set(sys.modules) == before
    assert not flag.exists()


@pytest.mark.parametrize("form", ["bare", "as a value", "in a mark"])
def test_pickle_runs_nothing(form: str, tmp_path: Path, raw_job: Raw) -> None:
    """It is bytes like others (X03). Those here would make a file, as whoever loads them sees."""
    flag = tmp_path / "ran"
    pickle = f"cos\nmkdir\n(V{flag}\ntR.".encode()
    given = {
        "bare": pickle,
        "as a value": raw_job({"v": pickle}),
        "in a mark": raw_job({"v": ExtType(2, pickle)}),
    }
    message = outcome(given[form])
    assert (message is not None) == (form == "as a value")
    assert not flag.exists()


@pytest.mark.parametrize("root", [None, 7, "x", [], {}, [mark("tuple"), 1]])
def test_root_that_is_no_message_is_refused(root: Any, serializer: MsgpackSerializer) -> None:
    """Only a BusMessage comes out (X13)."""
    with pytest.raises(CodecError, match="a BusMessage wanted"):
        serializer.deserialize(packb(root))


def test_frame_as_root_is_refused(serializer: MsgpackSerializer) -> None:
    """A frame by itself is no message (X13)."""
    with pytest.raises(CodecError, match="got TextFrame"):
        serializer.deserialize(packb([mark("1:TextFrame"), "0 1 )", 1, "#1", "x"]))


def test_local_message_from_outside_is_refused(serializer: MsgpackSerializer) -> None:
    """A BusLocalMessage never comes from a peer (R27)."""
    data = packb([mark("2:BusWorkerLocalErrorMessage"), "0 1 2 error", 1, "#1", "a", "e"])
    assert BusWorkerLocalErrorMessage.__name__ in str(data)
    with pytest.raises(CodecError, match="never comes from outside"):
        serializer.deserialize(data)


@pytest.mark.parametrize(
    ("names", "values"),
    [
        ("0 1 2 7", [1, "#1", 5, "j"]),
        ("0 1 2 7", [1, "#1", None, "j"]),
        ("0 1 2 7 ;", [1, "#1", "a", "j", "payload"]),
        ("0 1 2 7", [1, "#1", "a"]),
        ("0 1 2 7 3", [1, "#1", "a", "j"]),
        (["0", "1"], [1, "#1"]),
        (7, [1]),
        (b"0 1 2 7", [1, "#1", "a", "j"]),
        ("x " * 300 + "0 1 2 7", [1] * 304),
    ],
)
def test_wrong_fields_are_refused(names: Any, values: Any, serializer: MsgpackSerializer) -> None:
    """Basic types are those of the annotations, and every field has its value (X13)."""
    with pytest.raises(CodecError):
        serializer.deserialize(packb([mark("2:BusJobRequestMessage"), names, *values]))


@pytest.mark.parametrize("values", [["x", "#1", "t"], [1, 7, "t"], [1, "#1", None]])
def test_wrong_fields_of_a_frame_are_refused(values: Any, serializer: MsgpackSerializer) -> None:
    """The same holds inside of a message (X13)."""
    frame = [mark("1:TextFrame"), "0 1 )", *values]
    head = [mark("2:BusFrameMessage"), "0 1 2 5 4", 1, "#1", "a", ExtType(2, b"0.UPSTREAM")]
    with pytest.raises(CodecError, match="TextFrame"):
        serializer.deserialize(packb([*head, frame]))


def test_wrong_elements_of_a_list_are_refused(serializer: MsgpackSerializer) -> None:
    """Where code reads attributes of elements, they are of the annotated class (X13)."""
    data = packb(
        [mark("2:BusWorkerRegistryMessage"), "0 1 2 runner workers", 1, "#", "a", "r", [5]]
    )
    with pytest.raises(CodecError, match="workers: list"):
        serializer.deserialize(data)


def test_name_that_is_no_field_is_not_set(serializer: MsgpackSerializer) -> None:
    """No attribute comes from the wire but fields (X13)."""
    names = "0 1 2 7 __dict__ __class__ hijacked"
    data = packb([mark("2:BusJobRequestMessage"), names, 1, "#1", "a", "j", {"x": 1}, 2, 3])
    back = serializer.deserialize(data)
    assert type(back) is BusJobRequestMessage
    assert not hasattr(back, "hijacked")
    assert back.job_id == "j"


@pytest.mark.parametrize(
    "value",
    [
        ExtType(9, b""),
        ExtType(3, bytes(13)),
        [mark("bytearray"), "text"],
        [mark("bytearray")],
        [mark("UUID"), b"short"],
        [mark("dict"), 1],
        [mark("dict"), [], 1],
        [mark("set"), []],
        [mark("defaultdict"), "eval"],
        [mark("datetime"), "2026-01-01", 0, [10**12, 0, None]],
        [mark("datetime"), "yesterday", 0, None],
        [mark("ndarray"), "O", [1], bytes(8)],
        [mark("ndarray"), "<f4", [3], bytes(8)],
        [mark("ndarray"), "<f4", [1], bytes(8)],
        [mark("ndarray"), "f4, i4", [1], bytes(8)],
        [mark("ndarray"), 7, [1], bytes(8)],
        [mark("ndarray"), "<f4", [2**40], b""],
        [mark("LLMContext"), {}, None, None],
        [mark("LLMContext"), [], 5, None],
        [mark("ToolsSchema"), [5], None],
        [mark("ToolsSchema"), [], [5]],
        [mark("FunctionSchema"), 5, "d", {}, []],
        [mark("pipecat.metrics.metrics:TTFBMetricsData"), 5, [], {}, {}],
        [
            mark("pipecat.metrics.metrics:TTFBMetricsData"),
            [None, "processor value", 5, 1.0],
            [],
            {},
            {},
        ],
        [
            mark("pipecat.metrics.metrics:TTFBMetricsData"),
            [None, "processor value", "p", 1.0],
            [],
            5,
            {},
        ],
    ],
    ids=lambda v: f"{packb(v)[:24]!r}",
)
def test_misused_mark_is_refused(value: Any, serializer: MsgpackSerializer, raw_job: Raw) -> None:
    """A mark, ext code or value type with the wrong contents is an error (R26)."""
    with pytest.raises(CodecError):
        serializer.deserialize(raw_job({"v": value}))


def test_tool_schema_parts_are_what_they_say(raw_job: Raw) -> None:
    """The tests above refuse only what is wrong: the right shapes pass."""
    function = [mark("FunctionSchema"), "f", "d", {}, []]
    back: Any = outcome(raw_job({"v": [mark("ToolsSchema"), [function], None]}))
    assert type(back.payload["v"]) is ToolsSchema
    assert type(back.payload["v"].standard_tools[0]) is FunctionSchema


def bombs() -> dict[str, bytes]:
    """Small bytes that claim or hold much more than they are."""
    ten = 10_000_000
    return {
        "empty maps": b"\xdd" + ten.to_bytes(4, "big") + b"\x80" * ten,
        "nested empty maps": b"\xdc\x03\xe8" + (b"\xdc\x27\x10" + b"\x80" * 10_000) * 1_000,
        "small ints": b"\xdd" + ten.to_bytes(4, "big") + b"\x00" * ten,
        "4G list": b"\xdd\xff\xff\xff\xff",
        "4G map": b"\xdf\xff\xff\xff\xff",
        "4G bytes": b"\xc6\xff\xff\xff\xff",
        "4G ext": b"\xc9\xff\xff\xff\xff\x01",
        "deep": b"\x91" * 100_000 + b"\xc0",
        "deep and wide": b"\xdc\xff\xff" * 900 + b"\xc0" * 60_000,
        "large and deep": b"\xdc\xff\xff" * 600 + b"\xc0" * 90_000,
        "never used": b"\xc1" + bytes(70_000),
        "trailing": b"\xc0" + bytes(10_000_000),
        "cut off": b"\xc6\x00\x02\x00\x00" + bytes(70_000),
    }


@pytest.mark.parametrize("name", bombs())
def test_bomb_is_refused_at_once_in_little_memory(name: str) -> None:
    """Bytes are refused before what they claim is allocated (X11)."""
    data = bombs()[name]
    tracemalloc.start()
    try:
        with pytest.raises(CodecError):
            SHARED.deserialize(data)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 4 * len(data) + 40_000_000


@pytest.mark.parametrize("count", [120, 2000])
def test_keys_with_one_hash_are_refused(count: int, raw_job: Raw) -> None:
    """Thousands of colliding keys, or many times a hundred, would take minutes to put in (X11)."""
    keys = [n * (2**61 - 1) for n in range(1, 5)] * count
    colliding = [item for n in range(count) for item in ([mark("int"), _int_bytes(n)], 0)]
    with pytest.raises(CodecError, match="16 keys"):
        SHARED.deserialize(raw_job({"v": [mark("dict"), *colliding]}))
    with pytest.raises(CodecError, match="16 keys"):
        SHARED.deserialize(raw_job({"v": [mark("set"), *keys]}))


def _int_bytes(n: int) -> bytes:
    return (n * (2**61 - 1)).to_bytes(16, "big", signed=True)


def test_honest_large_key_sets_pass(serializer: MsgpackSerializer) -> None:
    """The guard against colliding keys does not meet honest ones."""
    payload = {"d": {n: n for n in range(5000)}, "s": set(range(-2500, 2500))}
    message = BusJobRequestMessage(source="a", job_id="j", payload=payload)
    assert serializer.deserialize(serializer.serialize(message)) == message


@pytest.mark.parametrize(
    "bomb",
    [
        b"\xdc\x10\x00" * 511,
        b"\xdc\x00\x80" * 505 + b"\xc1",
        packb([mark("ndarray"), "i1," * 200_000, [1], b"x"]),
        packb([mark("ndarray"), "<f4", [2, 2], 2**28]),
        packb([mark("npscalar"), "|u1", [], 2**28]),
    ],
    ids=[
        "nested claims",
        "claims that pass",
        "fields of numpy",
        "length of an array",
        "a scalar's",
    ],
)
def test_little_memory_is_spent_on_what_is_refused(bomb: bytes) -> None:
    """What is claimed, or would be thrown away, is not made: 4 times the input and 1 MB (X11)."""
    tracemalloc.start()
    try:
        with pytest.raises(CodecError):
            SHARED.deserialize(bomb)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 4 * len(bomb) + 2**20


@pytest.mark.parametrize("name", sorted([*SHARED._table.marks, b"1:EndFrame"]))
def test_what_takes_much_more_than_its_list_is_refused_by_the_thousand(
    name: bytes, raw_job: Raw, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list of 9 bytes can stand for a deque of 760, or for a frame (X11)."""
    monkeypatch.setattr(scan, "SLACK_BYTES", scan.SLACK_BYTES // 64)
    monkeypatch.setattr(scan, "UNSCANNED_BYTES", 0)
    serializer = MsgpackSerializer()
    for arguments in ([], [None], [""], [b""]):
        many = raw_job({"v": [[name, *arguments]] * (20_000 // (3 + len(name)))})
        tracemalloc.start()
        with suppress(CodecError):
            serializer.deserialize(many)
        peak_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak_bytes < 4 * len(many) + scan.SLACK_BYTES


@pytest.mark.parametrize(
    "made_up",
    [
        lambda n: [mark(f"made:Up{n}")],
        lambda n: ExtType(2, b"made:Up%d.ONE" % n),
        lambda n: [mark("1:EndFrame"), f"0 1 field{n}", 1, "#1", 2],
    ],
    ids=["classes", "members", "sets of fields"],
)
def test_very_many_new_names_in_one_message_are_refused(
    made_up: Callable[[int], Any], serializer: MsgpackSerializer, raw_job: Raw
) -> None:
    """Each is looked for or planned once, for milliseconds: not by the thousand at a time (R26)."""
    with pytest.raises(CodecError, match="more than 64 names"):
        serializer.deserialize(raw_job({"v": [made_up(n) for n in range(65)]}))
    serializer.deserialize(raw_job({"v": [made_up(n) for n in range(65)]}))  # they are known now


def test_flag_is_combined_of_each_member_once(serializer: MsgpackSerializer, raw_job: Raw) -> None:
    """A name that says the same member a million times costs no more than one that says it once."""
    combined: list[int] = []

    class Colour(Flag):
        RED = 1
        BLUE = 2

        def __or__(self, other: Colour) -> Colour:
            combined.append(1)
            return Colour(self.value | other.value)

    serializer.register(Colour)
    name = f"{__name__}:{Colour.__qualname__}.{'RED|' * 1000}BLUE"
    back: Any = serializer.deserialize(raw_job({"v": ExtType(2, name.encode())}))
    assert back.payload["v"] == Colour(3)
    assert len(combined) == 2


def test_decoding_is_as_quick_after_many_unknown_names(serializer: MsgpackSerializer) -> None:
    """Names that peers make up cost bounded memory (R26)."""
    for n in range(1500):
        assert serializer.deserialize(packb([mark(f"made:Up{n}"), ""])) is None
    assert len(serializer._table._strangers) <= 1000
    assert len(serializer.dropped) <= 1001
    assert serializer.dropped["others"] == 500


def test_new_module_is_looked_at_though_many_names_were_unknown(
    serializer: MsgpackSerializer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full memory of unknown names does not hide what is imported later."""
    for n in range(1100):
        assert serializer.deserialize(packb([mark(f"made:Up{n}"), ""])) is None
    late = ModuleType("zz_late")
    late.Hello = make_dataclass(  # type: ignore[attr-defined]
        "Hello",
        [],
        bases=(BusJobRequestMessage,),
        kw_only=True,
        namespace={"__module__": "zz_late"},
    )
    monkeypatch.setitem(sys.modules, "zz_late", late)
    back = serializer.deserialize(packb([mark("zz_late:Hello"), "0 1 2 7", 1, "#1", "a", "j"]))
    assert type(back).__name__ == "Hello"


def test_ever_new_shapes_still_decode(serializer: MsgpackSerializer) -> None:
    """Peers that invent field names without end get no faster path, and no memory (R26)."""
    for n in range(300):
        data = packb([mark("2:BusEndMessage"), f"0 1 2 field{n}", 1, "#1", "a", n])
        assert serializer.deserialize(data) is not None


def test_sound_message_still_arrives_after_all_that(serializer: MsgpackSerializer) -> None:
    """Nothing of a refused message is left behind."""
    for data in (b"", b"\xc1", packb([mark("tuple"), mark("set")])):
        with pytest.raises(CodecError):
            serializer.deserialize(data)
    back: Any = SHARED.deserialize(GOOD)
    assert back.frame.result == {"n": [1, (2,), 2**70]}
    assert isinstance(back.frame, TranscriptionFrame)
    assert not isinstance(back.frame, TextFrame) or back.frame.text == "hi"
