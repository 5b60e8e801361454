"""Plans for dataclasses and pydantic models: where their fields, defaults and state come from."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

from pipecat.bus.messages import BusMessage
from pipecat.frames.frames import Frame
from pipecat.utils.utils import obj_count, obj_id
from pydantic import BaseModel

from zmqbus.codec import hints
from zmqbus.codec.coding import Decoding, Encode, Encoding, Mark
from zmqbus.codec.ids import ID_FIELDS
from zmqbus.codec.pipecat_types import SENTINELS
from zmqbus.codec.plan import ABSENT, EMPTY, Field, Fields
from zmqbus.codec.values import mark_bytes
from zmqbus.errors import CodecError

_MISSING = dataclasses.MISSING


def dataclass_plan(cls: type, wire_name: str, prepare: dict[str, Encode]) -> tuple[Encode, Mark]:
    """How a dataclass is encoded, and the mark that builds it."""
    names = [f.name for f in dataclasses.fields(cls)]
    ids = tuple(n for c in cls.__mro__ for n in ID_FIELDS.get(c.__name__, ()) if n in names)
    fields = Fields(
        cls,
        mark_bytes(wire_name),
        _dataclass_fields(cls, prepare),
        ids,
        droppable=not issubclass(cls, BusMessage),
        named=issubclass(cls, (BusMessage, Frame)),
        finish=None if _has_plain_state(cls, names) else _set_each,
    )
    return fields.encode, Mark(cls.__qualname__, fields.build)


def _set_each(obj: Any, state: dict[str, Any]) -> None:
    """Give a frozen or slotted object its fields."""
    for name in state:
        object.__setattr__(obj, name, state[name])


def _has_plain_state(cls: type, names: list[str]) -> bool:
    """Whether to set an attribute of an instance does that and nothing else."""
    shadowed = any(hasattr(type(vars(c).get(n)), "__set__") for c in cls.__mro__ for n in names)
    setter: object = cls.__setattr__
    return cls.__dictoffset__ != 0 and setter is object.__setattr__ and not shadowed


def _dataclass_fields(cls: type, prepare: dict[str, Encode]) -> list[Field]:
    resolved = hints.field_hints(cls)
    made = []
    for field in dataclasses.fields(cls):
        hint = resolved[field.name]
        match = hints.matcher(hint)
        default, factory = _defaults(cls, field, hint, match)
        made.append(
            Field(
                field.name,
                default,
                match,
                str(field.type),
                factory,
                prepare.get(field.name),
                hints.looks_inside(hint) or field.name in prepare,
            )
        )
    return made


def _defaults(
    cls: type, field: dataclasses.Field[Any], hint: Any, match: hints.Match
) -> tuple[Any, Any]:
    """The default and the factory, also of what `__post_init__` sets, for a peer that lacks it."""
    if field.default_factory is not _MISSING:
        factory: Any = field.default_factory
        if "NotGiven" in str(field.type) and type(factory()) in SENTINELS:
            return factory(), None
        return ABSENT, factory if factory in EMPTY else lambda obj: factory()
    if field.default is not _MISSING:
        return field.default, None
    if field.init:
        return ABSENT, None
    if field.name == "id":
        return ABSENT, lambda obj: obj_id()
    if field.name == "name":
        return ABSENT, lambda obj: f"{cls.__name__}#{obj_count(obj)}"
    if match is None or match(None):
        return None, None
    base = typing.get_origin(hint) or hint
    if base in EMPTY:
        return ABSENT, base
    return (False, None) if base is bool else (ABSENT, None)


def _set_state(obj: Any, state: dict[str, Any]) -> None:
    """Give a model its fields past its own ``__setattr__``."""
    object.__setattr__(obj, "__dict__", state)


def model_plan(cls: type[BaseModel], wire_name: str) -> tuple[Encode, Mark]:
    """How a pydantic model is encoded, and the mark that builds it.

    ``[mark, [nil, names, value, ...], given, extra, private]``: the names that were given, the
    extra fields and the private ones. Validators are not run again.
    """
    fields = Fields(cls, None, _model_fields(cls), finish=_set_state)
    mark = mark_bytes(wire_name)
    private_names = cls.__private_attributes__
    takes_extra = cls.model_config.get("extra") == "allow"

    def encode(value: Any, enc: Encoding) -> list[Any]:
        state = value.__getstate__()
        extra, private = state["__pydantic_extra__"], state["__pydantic_private__"]
        return [
            mark,
            fields.encode(value, enc),
            sorted(state["__pydantic_fields_set__"]),
            enc.mapping(extra or {}),
            enc.mapping(private or {}),
        ]

    def build(items: list[Any], decoding: Decoding) -> Any:
        _, arrived, given, extra, private = items
        if not isinstance(extra, dict) or not isinstance(private, dict):
            raise CodecError(wire_name, "extra and private fields of a model are maps")
        if not isinstance(arrived, list):
            raise CodecError(wire_name, "the fields of a model are a list")
        value = fields.build(arrived, decoding)
        state = value.__dict__
        hidden = {n: a.get_default() for n, a in private_names.items()}
        hidden |= {n: v for n, v in private.items() if n in private_names}
        value.__setstate__(
            {
                "__dict__": state,
                "__pydantic_fields_set__": {*given} & {*state, *(extra if takes_extra else ())},
                "__pydantic_extra__": extra if takes_extra else None,
                "__pydantic_private__": hidden if private_names else None,
            }
        )
        return value

    return encode, Mark(cls.__qualname__, build)


def _model_fields(cls: type[BaseModel]) -> list[Field]:
    made = []
    for name, info in cls.model_fields.items():
        default, factory = _model_defaults(info)
        match, inside = hints.matcher(info.annotation), hints.looks_inside(info.annotation)
        made.append(Field(name, default, match, str(info.annotation), factory, None, inside))
    return made


def _model_defaults(info: Any) -> tuple[Any, Any]:
    if info.is_required():
        return ABSENT, None
    if info.default_factory is None and type(info.default) in hints.SCALARS:
        return info.default, None
    return ABSENT, lambda obj: info.get_default(call_default_factory=True, validated_data={})
