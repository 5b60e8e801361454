"""How one class travels: worked out once, then followed for every object of it.

An object is ``[mark, {field: value}]``. A field that is its default (the very object) is left out;
what is missing on arrival takes the receiver's default (R28), required fields are always there.
`__init__` and `__post_init__` are not run again (S22): the fields are the state.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pipecat.bus.messages import BusMessage
from pipecat.utils.utils import obj_count, obj_id
from pydantic import BaseModel

from zmqbus.codec import hints
from zmqbus.codec.coding import (
    Decoding,
    Encode,
    Encoding,
    Mark,
    UndeliverableError,
    Unknown,
    UntravelableError,
)
from zmqbus.codec.ids import ID_FIELDS
from zmqbus.codec.values import mark_bytes
from zmqbus.errors import CodecError

ABSENT: Any = dataclasses.MISSING
_EMPTY = (dict, list, set, tuple)

# Fields that pipecat renamed (1.13): either name is taken for the other.
_RENAMED = {"aggregated_by": "text_type", "text_type": "aggregated_by"}


class Field(NamedTuple):
    """One field of a class.

    Parameters:
        name: The field's name.
        default: The object that stands for "left out", or `ABSENT` where the field is required.
        exact: Scalar types that pass without a closer look.
        match: Whether a value fits the annotation.
        factory: What makes the value when the field is missing, where that is not `default`.
        wanted: The annotation in words.
        prepare: What to do to the value before it is encoded.
    """

    name: str
    default: Any
    exact: frozenset[type]
    match: hints.Match
    factory: Any  # one of `_EMPTY`, or called with the object
    wanted: str
    prepare: Encode | None = None


class Fields:
    """The fields of one class, in both directions."""

    def __init__(self, cls: type, fields: list[Field]) -> None:
        self.name = cls.__qualname__
        self._droppable = not issubclass(cls, BusMessage)
        self._fields = {f.name: f for f in fields}
        self._quick = [(f.name, f.default, f.exact) for f in fields]
        self._arriving = {f.name: (f.name, f.exact) for f in fields}
        for field in fields:
            other = _RENAMED.get(field.name)
            if other is not None:
                self._arriving.setdefault(other, self._arriving[field.name])
        self._constants = {f.name: f.default for f in fields if f.default is not ABSENT}
        self._factories = [(f.name, f.factory) for f in fields if f.factory is not None]
        self._required = [f.name for f in fields if f.default is ABSENT and f.factory is None]

    def encode(self, state: Mapping[str, Any], enc: Encoding) -> dict[str, Any]:
        """The fields that differ from their defaults, encoded."""
        out = {}
        for name, default, exact in self._quick:
            value = state.get(name, default)
            if value is default:
                if default is ABSENT:
                    raise UntravelableError(f"required field {name!r} is not set")
            elif type(value) in exact:
                out[name] = value
            else:
                self._encode_odd(self._fields[name], value, enc, out)
        return out

    def _encode_odd(self, field: Field, value: Any, enc: Encoding, out: dict[str, Any]) -> None:
        if not value and type(value) in _EMPTY and field.factory is type(value):
            return
        depth = enc.depth
        try:
            if field.prepare is not None:
                value = field.prepare(value, enc)
            self._check(field, value)
            out[field.name] = enc.value(value)
        except UntravelableError as error:
            error.steps.append(f".{field.name}")
            if field.default is not None or not self._droppable:
                raise
            enc.depth = depth
            text = f"left out, because {self.name}{error.path}: {error.reason}"
            enc.notices.warn(f"{self.name}.{field.name}", text)

    def _check(self, field: Field, value: Any) -> None:
        if field.match is not None and not field.match(value):
            raise UntravelableError(f"{field.wanted} wanted, got {type(value).__qualname__}")

    def decode(self, arrived: Any, obj: Any, decoding: Decoding) -> dict[str, Any]:
        """The whole state, from the fields that arrived and this process' defaults."""
        state = self._constants.copy()
        known = self._arriving
        for name, value in arrived.items():
            entry = known.get(name)
            if entry is None:
                continue
            name, exact = entry
            if type(value) in exact or self._arrived_odd(name, value, decoding):
                state[name] = value
        for name, factory in self._factories:
            if name not in state:
                state[name] = factory() if factory in _EMPTY else factory(obj)
        for name in self._required:
            if name not in state:
                raise UndeliverableError(f"{self.name}.{name}", "a required field is missing")
        return state

    def _arrived_odd(self, name: str, value: Any, decoding: Decoding) -> bool:
        field = self._fields[name]
        if type(value) is Unknown and field.default is None and self._droppable:
            decoding.loose -= 1
            decoding.unknown.remove(value.name)
            text = f"left out, because {value.name} is not known here"
            decoding.notices.warn(f"{self.name}.{name}", text)
            return False
        try:
            self._check(field, value)
        except UntravelableError as error:
            if decoding.unknown:
                raise UndeliverableError(
                    decoding.unknown[0], "this class is not known here"
                ) from None
            raise CodecError(f"{self.name}.{name}", error.reason) from None
        return True


def dataclass_plan(cls: type, wire_name: str, prepare: dict[str, Encode]) -> tuple[Encode, Mark]:
    """How a dataclass is encoded, and the mark that builds it."""
    fields = Fields(cls, _dataclass_fields(cls, prepare))
    names = [f.name for f in dataclasses.fields(cls)]
    plain = _has_plain_state(cls, names)
    id_names = tuple(n for c in cls.__mro__ for n in ID_FIELDS.get(c.__name__, ()) if n in names)
    mark = mark_bytes(wire_name)

    def encode(value: Any, enc: Encoding) -> list[Any]:
        state = value.__dict__ if plain else {n: getattr(value, n, ABSENT) for n in names}
        out = fields.encode(state, enc)
        if enc.ids is not None:
            for name in id_names:
                number = out.get(name)
                if number is not None:
                    out[name] = enc.id(number)
        return [mark, out]

    def build(items: list[Any], decoding: Decoding) -> Any:
        _, arrived = items
        value: Any = object.__new__(cls)
        state = fields.decode(arrived, value, decoding)
        for name in id_names:
            if arrived.get(name) is not None:
                state[name] = decoding.id(arrived[name])
        if plain:
            value.__dict__ = state
        else:
            for name in state:
                object.__setattr__(value, name, state[name])
        return value

    return encode, Mark(cls.__qualname__, build)


def _has_plain_state(cls: type, names: list[str]) -> bool:
    """Whether an instance's ``__dict__`` is all of its fields."""
    shadowed = any(hasattr(type(vars(c).get(n)), "__set__") for c in cls.__mro__ for n in names)
    return cls.__dictoffset__ != 0 and not shadowed


def _dataclass_fields(cls: type, prepare: dict[str, Encode]) -> list[Field]:
    resolved = hints.field_hints(cls)
    made = []
    for field in dataclasses.fields(cls):
        match = hints.matcher(resolved[field.name])
        default, factory = field.default, field.default_factory
        if factory is not ABSENT:
            make = factory if factory in _EMPTY else _ignoring_obj(typing.cast(Any, factory))
        else:
            make = None
        if not field.init and default is ABSENT and make is None:
            default, make = _initial(cls, field.name, resolved[field.name], match)
        exact = hints.scalars_in(match)
        made.append(
            Field(
                field.name,
                default,
                exact,
                match,
                make,
                str(field.type),
                prepare.get(field.name),
            )
        )
    return made


def _ignoring_obj(factory: Callable[[], Any]) -> Callable[[Any], Any]:
    return lambda obj: factory()


def _initial(cls: type, name: str, hint: Any, match: hints.Match) -> tuple[Any, Any]:
    """Default and factory of a field that `__post_init__` sets, for a peer that lacks it."""
    if name == "id":
        return ABSENT, lambda obj: obj_id()
    if name == "name":
        return ABSENT, lambda obj: f"{cls.__name__}#{obj_count(obj)}"
    if hints.admits_none(match):
        return None, None
    base = typing.get_origin(hint) or hint
    if base in _EMPTY:
        return ABSENT, base
    return (False, None) if base is bool else (ABSENT, None)


def model_plan(cls: type[BaseModel], wire_name: str) -> tuple[Encode, Mark]:
    """How a pydantic model is encoded, and the mark that builds it.

    The list goes on after the fields: the names that were given, extra fields, private ones.
    """
    fields = Fields(cls, _model_fields(cls))
    mark = mark_bytes(wire_name)

    def encode(value: Any, enc: Encoding) -> list[Any]:
        state = value.__getstate__()
        extra, private = state["__pydantic_extra__"], state["__pydantic_private__"]
        return [
            mark,
            fields.encode(state["__dict__"], enc),
            sorted(state["__pydantic_fields_set__"]),
            extra and enc.mapping(extra),
            private and enc.mapping(private),
        ]

    def build(items: list[Any], decoding: Decoding) -> Any:
        _, arrived, given, extra, private = items
        value = cls.__new__(cls)
        state = fields.decode(arrived, value, decoding)
        more = extra if cls.model_config.get("extra") == "allow" else None
        private_names = cls.__private_attributes__
        hidden = {n: a.get_default() for n, a in private_names.items()}
        hidden.update({n: v for n, v in (private or {}).items() if n in private_names})
        value.__setstate__(
            {
                "__dict__": state,
                "__pydantic_fields_set__": set(given) & {*state, *(more or ())},
                "__pydantic_extra__": _named(more or {})
                if more is not None or _extra(cls)
                else None,
                "__pydantic_private__": hidden if private_names else None,
            }
        )
        return value

    return encode, Mark(cls.__qualname__, build)


def _extra(cls: type[BaseModel]) -> bool:
    return cls.model_config.get("extra") == "allow"


def _named(extra: Any) -> dict[str, Any]:
    if not isinstance(extra, dict) or not all(isinstance(name, str) for name in extra):
        raise CodecError("", "extra fields of a model have names")
    return extra


def _model_fields(cls: type[BaseModel]) -> list[Field]:
    made = []
    for name, info in cls.model_fields.items():
        match = hints.matcher(info.annotation)
        default: Any = ABSENT
        make: Any = None
        if not info.is_required():
            if info.default_factory is None and type(info.default) in hints.SCALARS:
                default = info.default
            else:
                make = _model_default(info)
        wanted = str(info.annotation)
        made.append(Field(name, default, hints.scalars_in(match), match, make, wanted))
    return made


def _model_default(info: Any) -> Callable[[Any], Any]:
    return lambda obj: info.get_default(call_default_factory=True, validated_data={})
