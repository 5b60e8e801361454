"""Annotations as sets of types: what a field may hold, and which classes it leads to.

pipecat's annotations are strings, and some name what is imported for type checkers only. A name
that its module lacks is looked up among the loaded modules of the same package; where it is not
found, the annotation admits anything. Nothing is imported.
"""

from __future__ import annotations

import builtins
import collections.abc
import dataclasses
import sys
import types
import typing
import weakref
from collections.abc import Callable, Iterator
from typing import Any

# None: anything goes.
Match = Callable[[Any], bool] | None

SCALARS = frozenset({type(None), bool, int, float, str, bytes})
_BUFFERS = (bytes, bytearray, memoryview)
_ROWS = (list, tuple)

# What an annotation admits beyond its own type, because senders in the field do so.
_WIDER: dict[Any, tuple[type, ...]] = {
    float: (float, int),
    bytes: _BUFFERS,
    list: _ROWS,
    tuple: _ROWS,
    collections.abc.Sequence: _ROWS,
    dict: (collections.abc.Mapping,),
}


class UNRESOLVED:  # noqa: N801  # a constant that has to be a class to be found in a type
    """Stands for an annotation that names what is not loaded (yet); admits anything."""


class _Scope(dict[str, Any]):
    """Names as a module's annotations mean them."""

    def __init__(self, module: str) -> None:
        super().__init__()
        self._module = module

    def __missing__(self, name: str) -> Any:
        for scope in (vars(sys.modules[self._module]), vars(builtins)):
            if name in scope:
                return scope[name]
        return _elsewhere(name, self._module.partition(".")[0])


def _elsewhere(name: str, package: str) -> Any:
    for module in list(sys.modules.values()):
        if getattr(module, "__name__", "").partition(".")[0] == package:
            found = vars(module).get(name)
            if isinstance(found, type):
                return found
    raise KeyError(name)


def resolve(annotation: Any, module: str) -> Any:
    """The type that `annotation` means in `module`; `UNRESOLVED` if that cannot be told."""
    holder = types.SimpleNamespace(__annotations__={"it": annotation})
    try:
        return typing.get_type_hints(holder, {}, _Scope(module), include_extras=True)["it"]
    except Exception:  # an annotation of somebody else's may fail in any way
        return UNRESOLVED


def field_hints(cls: type) -> dict[str, Any]:
    """The resolved annotation of every field of a dataclass."""
    hints = {}
    for field in dataclasses.fields(cls):
        owner = next(c for c in cls.__mro__ if field.name in vars(c).get("__annotations__", {}))
        hints[field.name] = resolve(field.type, owner.__module__)
    return hints


def classes_in(hint: Any) -> Iterator[type]:
    """Every class that an annotation names, at any depth."""
    if isinstance(hint, typing.TypeVar):
        hint = hint.__bound__
    if isinstance(hint, type) and not isinstance(hint, types.GenericAlias):
        yield hint
    for part in typing.get_args(hint):
        yield from classes_in(part)


def looks_inside(hint: Any) -> bool:
    """Whether `matcher` looks at elements, not only at the type of a value."""
    base, args = typing.get_origin(hint), typing.get_args(hint)
    is_row = _WIDER.get(base) is _ROWS and len(args) == 1 and _has_fields(args[0])
    return is_row or any(map(looks_inside, args))


def matcher(hint: Any) -> Match:
    """A test whether a value fits an annotation.

    Of lists, the elements are looked at where they are objects: code reads their attributes. Of
    others not, because senders in the field put more into a list than it says.
    """
    if hint is None:
        hint = types.NoneType
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return matcher(args[0])
    if origin in (typing.Union, types.UnionType):
        return _any_of([matcher(a) for a in args])
    if origin is typing.Literal:
        return _instance(tuple({type(a) for a in args}))
    base = origin or hint
    if base in _WIDER:
        return _row_of(args) if _WIDER[base] is _ROWS and args else _instance(_WIDER[base])
    if base is UNRESOLVED:
        return None
    if isinstance(base, type) and base.__module__ not in ("typing", "collections.abc"):
        return None if getattr(base, "_is_protocol", False) else _instance((base,))
    return _instance((base,)) if base is collections.abc.Mapping else None


def _has_fields(hint: Any) -> bool:
    return isinstance(hint, type) and (
        dataclasses.is_dataclass(hint) or hasattr(hint, "model_fields")
    )


def _instance(kinds: tuple[type, ...]) -> Match:
    return lambda value: isinstance(value, kinds)


def _any_of(matches: list[Match]) -> Match:
    known = [m for m in matches if m is not None]
    if len(known) < len(matches):
        return None
    return lambda value: any(m(value) for m in known)


def _row_of(args: tuple[Any, ...]) -> Match:
    first, *others = args
    element = matcher(first) if _has_fields(first) else None
    if element is None or others:
        return _instance(_ROWS)
    return lambda row: isinstance(row, _ROWS) and all(map(element, row))


_named: weakref.WeakKeyDictionary[type, tuple[type, ...]] = weakref.WeakKeyDictionary()


def classes_named(cls: type) -> tuple[type, ...]:
    """Every class that the annotations of a dataclass or model lead to.

    Remembered, once every name in them could be resolved.
    """
    found = _named.get(cls)
    if found is None:
        if dataclasses.is_dataclass(cls):
            resolved = list(field_hints(cls).values())
        else:
            resolved = [f.annotation for f in getattr(cls, "model_fields", {}).values()]
        found = tuple({c: None for hint in resolved for c in classes_in(hint)})
        if UNRESOLVED not in found:
            _named[cls] = found
    return found
