"""The closed table: every class that a message may hold (R27).

In it are, by themselves: subclasses of `BusMessage` and `Frame` and enums that this process has
imported; the dataclasses and pydantic models that the annotations of those lead to, and their
subclasses. Further: what the application registers. A name from the wire is only ever looked up
here; it never leads to an import, and an enum only ever gives one of its members.

A class is in the table only while its module holds it under its name: a redefined class replaces
the old one, a deleted one is gone, a local one needs registering.
"""

from __future__ import annotations

import dataclasses
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum, Flag
from typing import Any

from msgpack import ExtType
from pipecat.bus.messages import BusLocalMessage, BusMessage
from pipecat.frames.frames import Frame
from pipecat.processors.frame_processor import FrameDirection
from pydantic import BaseModel

from zmqbus.codec import hints, pipecat_types, values
from zmqbus.codec.classes import dataclass_plan, model_plan
from zmqbus.codec.coding import MEMBER_CODE, Encode, Encoding, Mark, UntravelableError
from zmqbus.errors import CodecError, ConfigError

# Short for what is on every message, and one name for what moved. Append-only.
_MODULES = {
    "pipecat.frames.frames": "1",
    "pipecat.bus.messages": "2",
    "pipecat.adapters.schemas.tools_schema": "3",
    "pipecat.adapters.llm.schemas.tools_schema": "3",
}
_ROOTS: tuple[type, ...] = (BusMessage, Frame, Enum)
_MAX_NAME_BYTES = 255  # of a class on the wire; a list of blobs is no reason to look for one
_MAX_STRANGERS = 1000  # unknown names remembered, so that a stream of them costs no search each


def wire_name(cls: type) -> str:
    """``module:qualname``, shortened where it is one of pipecat's busiest."""
    if cls is FrameDirection:
        return "0"
    return f"{_MODULES.get(cls.__module__, cls.__module__)}:{cls.__qualname__}"


class Table:
    """Types by class and by name on the wire, with the plan of each made when first needed."""

    def __init__(self) -> None:
        self.encoders: dict[type, Encode] = values.encoders()
        self.marks = values.marks()
        self.members: dict[bytes, Enum] = {}
        self._classes: dict[str, type] = {}
        self._registered: dict[str, type] = {}
        self._planned: dict[str, type] = {}
        self._strangers: set[str] = set()
        self._refused: weakref.WeakKeyDictionary[type, int] = weakref.WeakKeyDictionary()
        self._modules_seen = 0
        self._refresh()

    def register(self, cls: type, encode: Any = None, decode: Any = None) -> None:
        """Let a class in; see `MsgpackSerializer.register`."""
        if (encode is None) is not (decode is None):
            raise ConfigError("register", cls, "one direction is missing", "give both")
        if encode is not None:
            self._add(cls, *_custom_plan(cls, encode, decode))
        elif isinstance(cls, type) and _is_plannable(cls):
            self._registered[wire_name(cls)] = cls
        else:
            raise ConfigError(
                "register",
                cls,
                "it is no dataclass, enum or pydantic model",
                "give `encode=` and `decode=`",
            )
        self._forget(self._planned)
        self._strangers.clear()
        self._refused.clear()
        self._refresh()

    def encoder(self, kind: type) -> Encode:
        """How values of `kind` are encoded.

        Raises:
            UntravelableError: If `kind` is not in the table.
        """
        array = values.array_encoder(kind)
        if array is not None:
            self.encoders[kind] = array
            return array
        name = wire_name(kind)
        if self._classes.get(name) is not kind:
            self._refresh_for(kind)
        if kind not in self.encoders:
            if issubclass(kind, Mapping):
                self.encoders[kind] = self.encoders[dict]  # arrives as dict (S34)
                return self.encoders[kind]
            if self._classes.get(name) is not kind:
                raise UntravelableError(
                    f"a {kind.__module__}.{kind.__qualname__} does not travel: send plain values, "
                    f"or teach every serializer with register()"
                )
            self._plan(name, kind)
        return self.encoders[kind]

    def mark(self, name: bytes, learn: Callable[[], None]) -> Mark | None:
        """The mark of a name from the wire, or None if it names no class of the table."""
        cls = self._find(name.decode(), learn) if len(name) <= _MAX_NAME_BYTES else None
        if cls is not None and not issubclass(cls, Enum):
            learn()
            self._plan(wire_name(cls), cls)
        return self.marks.get(name)

    def member(self, name: bytes, learn: Callable[[], None]) -> Enum | None:
        """The enum member of a name from the wire, or None."""
        class_name, _, member_name = name.decode().rpartition(".")
        cls = self._find(class_name, learn)
        if cls is None or not issubclass(cls, Enum):
            return None
        member = _member(cls, member_name)
        if member is not None and not isinstance(member, Flag):
            self.members[name] = member  # flags combine: too many to keep
        return member

    def _find(self, name: str, learn: Callable[[], None]) -> type | None:
        cls = self._classes.get(name)
        modules = len(sys.modules)
        if cls is None and (modules != self._modules_seen or name not in self._strangers):
            if len(self._strangers) < _MAX_STRANGERS:
                learn()
                self._refresh()
                self._strangers.add(name)
            elif modules != self._modules_seen:
                learn()
                self._refresh()
            cls = self._classes.get(name)
        return cls

    def _refresh_for(self, kind: type) -> None:
        """Look again for a class that an object of this process has, once."""
        if self._refused.get(kind) != len(sys.modules):
            self._refresh()
            self._refused[kind] = len(sys.modules)

    def _refresh(self) -> None:
        """Look at what this process has imported and defined by now."""
        self._modules_seen = len(sys.modules)
        for special in pipecat_types.specials():
            self._add(*special)
        local = pipecat_types.process_local()
        found = {wire_name(c): c for root in _ROOTS for c in _living(root)}
        found |= self._registered
        pending = [*found.values(), *pipecat_types.EXTRA_TYPES]
        while pending:
            for cls in _led_to(pending.pop()):
                name = wire_name(cls)
                if found.get(name) is not cls and not issubclass(cls, local):
                    found[name] = cls
                    pending.append(cls)
        found |= {wire_name(c): c for c in pipecat_types.EXTRA_TYPES}
        self._classes = found
        self._forget_replaced()

    def _forget_replaced(self) -> None:
        planned = self._planned.items()
        replaced = [n for n, c in planned if self._classes.get(n) is not c]
        if replaced:
            self._forget(self._planned)  # all: plans remember each other's encoders
        for key, member in list(self.members.items()):
            if self._classes.get(wire_name(type(member))) is not type(member):
                del self.members[key]

    def _forget(self, names: Iterable[str]) -> None:
        for name in list(names):
            self.encoders.pop(self._planned.pop(name), None)
            self.marks.pop(name.encode(), None)

    def _plan(self, name: str, cls: type) -> None:
        self._planned[name] = cls
        if issubclass(cls, Enum):
            self.encoders[cls] = _enum_encoder(cls)
        elif issubclass(cls, BusLocalMessage):
            self._add(cls, _refuse_encoding, Mark(name, _refuse_building))
        elif issubclass(cls, BaseModel):
            self._add(cls, *model_plan(cls, name), name)
        else:
            prepare = pipecat_types.PREPARE.get(cls.__name__, {})
            self._add(cls, *dataclass_plan(cls, name, prepare), name)

    def _add(self, cls: type, encode: Encode, mark: Mark, name: str | None = None) -> None:
        self.encoders[cls] = encode
        self.marks[(name or mark.name).encode()] = mark


def _is_plannable(cls: type) -> bool:
    return dataclasses.is_dataclass(cls) or (
        issubclass(cls, (Enum, BaseModel)) and cls not in (Enum, BaseModel)
    )


def _living(root: type) -> Iterator[type]:
    """The subclasses of `root` that their modules hold, older ones first; `root` too."""
    pending: list[Any] = [root]
    seen: set[type] = {root}
    while pending:
        cls = pending.pop()
        if cls is not Enum and _is_held(cls) and _is_plannable(cls):
            yield cls
        fresh = [c for c in type.__subclasses__(cls) if c not in seen]
        seen.update(fresh)
        pending.extend(fresh)


def _is_held(cls: type) -> bool:
    scope: Any = sys.modules.get(cls.__module__)
    for part in cls.__qualname__.split("."):
        scope = None if scope is None else vars(scope).get(part)
        if not isinstance(scope, type):
            return False
    return scope is cls


def _led_to(cls: type) -> Iterator[type]:
    """Dataclasses, models and enums that the annotations of `cls` name, and their subclasses."""
    for named in hints.classes_named(cls):
        if _is_plannable(named):
            yield from (named,) if issubclass(named, Enum) else _living(named)
    if not issubclass(cls, Enum):
        yield from (c for c in _living(cls) if c is not cls)


def _enum_encoder(cls: type[Enum]) -> Encode:
    prefix = wire_name(cls)
    known: dict[str, ExtType] = {}

    def encode(value: Any, enc: Encoding) -> ExtType:
        name = value._name_ or ""
        ext = known.get(name)
        if ext is None:
            if _member(cls, name) is not value:
                raise UntravelableError(f"{value!r} is no combination of named members")
            ext = ExtType(MEMBER_CODE, f"{prefix}.{name}".encode())
            known[name] = ext
        return ext

    return encode


def _member(cls: type[Enum], name: str) -> Enum | None:
    """A member, or for flags the combination ``A|B`` ("" is none of them)."""
    if not issubclass(cls, Flag):
        return cls.__members__.get(name)
    combined = cls(0)
    for part in filter(None, {*name.split("|")}):  # each once, however often it is said
        single = cls.__members__.get(part)
        if single is None:
            return None
        combined |= single
    return combined


def _refuse_encoding(value: Any, enc: Encoding) -> Any:
    raise UntravelableError("a BusLocalMessage never leaves its process")


def _refuse_building(items: list[Any], decoding: Any) -> Any:
    raise CodecError(items[0].decode(), "a BusLocalMessage never comes from outside")


def _custom_plan(
    cls: type, encode: Callable[[Any], Any], decode: Callable[[Any], Any]
) -> tuple[Encode, Mark]:
    name = wire_name(cls)
    mark = values.mark_bytes(name)

    def build(items: list[Any], decoding: Any) -> Any:
        _, plain = items
        value = decode(plain)
        if type(value) is not cls:
            raise CodecError(name, f"its decode gave a {type(value).__qualname__}")
        return value

    return lambda value, enc: [mark, enc.value(encode(value))], Mark(name, build)
