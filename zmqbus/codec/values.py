"""The value types that travel beside msgpack's own, each as a list ``[mark, ...]``.

An entry is a name on the wire (append-only), the type, and both directions. Enum members and
classes are in `table` and `plan`. Dict subclasses other than those listed, and any registered
`Mapping`, arrive as dict (S34).
"""

from __future__ import annotations

import collections
import collections.abc
import datetime
import decimal
import pathlib
import sys
import types
import uuid
import zoneinfo
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from msgpack import ExtType

from zmqbus.codec.coding import LIST, Decoding, Encode, Encoding, Mark, UntravelableError
from zmqbus.errors import CodecError

_FLOOD_ITEMS = 100  # fewer colliding keys than this cost some ten microseconds
_DTYPE_CHARS = 64  # numpy reads "i1,i1,…" field by field
_SAME_HASH = 16  # honest keys share a hash in pairs (-1 and -2, 1 and 1.0)
_FACTORIES: dict[str, type] = {t.__name__: t for t in (list, dict, set, int, float, str, tuple)}


def mark_bytes(name: str) -> bytes:
    """The wire form of a mark."""
    return name.encode()


def checked_keys(keys: list[Any]) -> list[Any]:
    """Keys or set members, unless they were chosen to make hashing quadratic (X11)."""
    if len(keys) > _FLOOD_ITEMS:
        hashes = collections.Counter(sorted(map(hash, keys))[_SAME_HASH - 1 :: _SAME_HASH])
        if hashes and hashes.most_common(1)[0][1] > 1:
            raise CodecError("", "more than 16 keys with one hash")
    return keys


def _pairs(flat: list[Any]) -> dict[Any, Any]:
    if len(flat) % 2:
        raise CodecError("", "a key without a value")
    return dict(zip(checked_keys(flat[::2]), flat[1::2], strict=True))


def _build_defaultdict(items: list[Any]) -> dict[Any, Any]:
    factory = None if items[1] is None else _FACTORIES[items[1]]
    return collections.defaultdict(factory, _pairs(items[2:]))


def _encode_defaultdict(value: Any, enc: Encoding) -> Any:
    factory = value.default_factory
    if factory is not None and factory not in _FACTORIES.values():
        return enc.mapping(value)
    return [mark_bytes("defaultdict"), factory and factory.__name__, *enc.pairs(value)]


def _encode_zone(zone: datetime.tzinfo | None, value: Any) -> Any:
    """None, ``[seconds, microseconds, name]``, or ``[..., key]`` for a place."""
    if zone is None:
        return None
    if type(zone) is zoneinfo.ZoneInfo and zone.key:
        offset = value.utcoffset() or datetime.timedelta()
        return [offset.days * 86400 + offset.seconds, offset.microseconds, None, zone.key]
    if type(zone) is not datetime.timezone:
        raise UntravelableError(
            f"its time zone is a {type(zone).__qualname__}: use zoneinfo or UTC"
        )
    offset = zone.utcoffset(None)
    name = None if zone == datetime.timezone(offset) and "UTC" in str(zone) else str(zone)
    return [offset.days * 86400 + offset.seconds, offset.microseconds, name]


@cache
def _places() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())


def _build_zone(zone: Any) -> datetime.tzinfo | None:
    if zone is None:
        return None
    seconds, micros, name, *key = zone
    if key and key[0] in _places():
        return zoneinfo.ZoneInfo(key[0])
    offset = datetime.timedelta(seconds=seconds, microseconds=micros)
    if offset or name is not None:
        return datetime.timezone(offset, *([] if name is None else [name]))
    return datetime.UTC


def _encode_moment(value: Any, enc: Encoding) -> list[Any]:
    plain = value.replace(tzinfo=None)
    name = type(value).__name__
    return [mark_bytes(name), plain.isoformat(), value.fold, _encode_zone(value.tzinfo, value)]


def _build_moment(cls: Any) -> Callable[[list[Any]], Any]:
    def build(items: list[Any]) -> Any:
        _, iso, fold, zone = items
        return cls.fromisoformat(iso).replace(fold=fold, tzinfo=_build_zone(zone))

    return build


def _build_path(cls: Any) -> Callable[[list[Any]], Any]:
    pure = cls.__mro__[0] if cls is type(pathlib.Path()) or cls.__name__[:4] == "Pure" else None
    return lambda items: (pure or cls.__mro__[2])(_only(items, str))


def _only(items: list[Any], kind: type) -> Any:
    _, value = items
    if not isinstance(value, kind):
        raise CodecError(
            "", f"{items[0].decode()}: {kind.__name__} wanted, got {type(value).__name__}"
        )
    return value


Simple = tuple[type, Encode, Callable[[list[Any]], Any]]


def _listed(cls: type, build: Callable[[list[Any]], Any]) -> Simple:
    """A collection, its items in order."""
    return cls, lambda v, enc: [mark_bytes(cls.__name__), *enc.items(v)], build


def _single(cls: type, out: Callable[[Any], Any], kind: type, into: Callable[[Any], Any]) -> Simple:
    """A value that one scalar describes."""
    name = cls.__name__
    return (
        cls,
        lambda v, enc: [mark_bytes(name), out(v)],
        lambda items: into(_only(items, kind)),
    )


def _kinds() -> Iterator[Simple]:
    yield _listed(tuple, lambda items: tuple(items[1:]))
    yield _listed(set, lambda items: set(checked_keys(items[1:])))
    yield _listed(frozenset, lambda items: frozenset(checked_keys(items[1:])))
    yield (
        collections.deque,
        lambda v, enc: [mark_bytes("deque"), v.maxlen, *enc.items(v)],
        lambda items: collections.deque(items[2:], items[1]),
    )
    yield (
        collections.OrderedDict,
        lambda v, enc: [mark_bytes("OrderedDict"), *enc.pairs(v)],
        lambda items: collections.OrderedDict(_pairs(items[1:])),
    )
    yield collections.defaultdict, _encode_defaultdict, _build_defaultdict
    yield (
        types.MappingProxyType,
        lambda v, enc: [mark_bytes("mappingproxy"), *enc.pairs(v)],
        lambda items: types.MappingProxyType(_pairs(items[1:])),
    )
    yield (
        range,
        lambda v, enc: [mark_bytes("range"), *(_fit(n) for n in (v.start, v.stop, v.step))],
        lambda items: range(*items[1:]),
    )
    yield _single(bytearray, bytes, bytes, bytearray)
    yield _single(memoryview, bytes, bytes, memoryview)
    yield _single(decimal.Decimal, str, str, decimal.Decimal)
    yield _single(uuid.UUID, lambda v: v.bytes, bytes, lambda b: uuid.UUID(bytes=b))
    yield _single(datetime.date, lambda v: v.isoformat(), str, datetime.date.fromisoformat)
    yield (
        complex,
        lambda v, enc: [mark_bytes("complex"), v.real, v.imag],
        lambda items: complex(*items[1:]),
    )
    yield (
        datetime.timedelta,
        lambda v, enc: [mark_bytes("timedelta"), v.days, v.seconds, v.microseconds],
        lambda items: datetime.timedelta(*items[1:]),
    )
    yield datetime.datetime, _encode_moment, _build_moment(datetime.datetime)
    yield datetime.time, _encode_moment, _build_moment(datetime.time)
    for path in (pathlib.PurePosixPath, pathlib.PureWindowsPath):
        yield _single(path, str, str, path)
    for concrete in (pathlib.PosixPath, pathlib.WindowsPath):
        yield (
            concrete,
            lambda v, enc: [mark_bytes(type(v).__name__), str(v)],
            _build_path(concrete),
        )


def _fit(number: int) -> Any:
    if -(2**63) <= number < 2**64:
        return number
    size_bytes = number.bit_length() // 8 + 1
    return [mark_bytes("int"), number.to_bytes(size_bytes, "big", signed=True)]


def mend(plain: Any) -> Any:
    """The same with what msgpack lacks replaced: ints beyond 64 bits, lone surrogates.

    Looking for them in every message would cost more than the second walk over the few that
    have one.
    """
    kind = type(plain)
    if kind is int:
        return _fit(plain)
    if kind is str:
        return (
            plain
            if _is_utf8(plain)
            else [mark_bytes("str"), plain.encode("utf-8", "surrogatepass")]
        )
    if kind is dict:
        if all(map(_is_utf8, plain)):
            return {k: mend(v) for k, v in plain.items()}
        return [mark_bytes("dict"), *(mend(x) for pair in plain.items() for x in pair)]
    if kind is ExtType or not isinstance(plain, (list, tuple, set, frozenset, collections.deque)):
        return plain
    return [mend(item) for item in plain]


def _is_utf8(text: str) -> bool:
    return text.isascii() or text.isprintable() or not any("\ud800" <= c <= "\udfff" for c in text)


def _encode_list(value: Any, enc: Encoding) -> Any:
    """The items; after a mark of their own if the first of them would pass for one."""
    items = enc.items(value)
    return [LIST, *items] if items and type(items[0]) is bytes else items


def _ignoring(build: Callable[[list[Any]], Any]) -> Callable[[list[Any], Decoding], Any]:
    return lambda items, decoding: build(items)


def marks() -> dict[bytes, Mark]:
    """Name -> mark of every value type."""
    builders = {cls.__name__: build for cls, _, build in _kinds()}
    builders["list"] = lambda items: items[1:]
    builders["dict"] = lambda items: _pairs(items[1:])
    builders["int"] = lambda items: int.from_bytes(_only(items, bytes), "big", signed=True)
    builders["str"] = lambda items: _only(items, bytes).decode("utf-8", "surrogatepass")
    return {n.encode(): Mark(n, _ignoring(build)) for n, build in builders.items()} | {
        b"ndarray": Mark("ndarray", _build_array),
        b"npscalar": Mark("npscalar", _build_array),
    }


def encoders() -> dict[type, Encode]:
    """Type -> encoder of every value type."""
    return {cls: encode for cls, encode, _ in _kinds()} | {
        list: _encode_list,
        dict: lambda v, enc: enc.mapping(v),
    }


# numpy is used where the process has it; it is never imported for a message's sake.


def array_encoder(kind: type) -> Encode | None:
    """How a numpy array or scalar is encoded, or None if `kind` is neither."""
    numpy: Any = sys.modules.get("numpy")
    known = numpy is not None and (kind is numpy.ndarray or issubclass(kind, numpy.generic))
    return _encode_array if known else None


def _encode_array(value: Any, enc: Encoding) -> list[Any]:
    numpy: Any = sys.modules["numpy"]
    array = numpy.asarray(value)  # an empty text by itself says that it has no size, and has one
    dtype = array.dtype
    if dtype.hasobject or dtype.names or dtype.subdtype:
        raise UntravelableError(f"numpy dtype {dtype} does not travel: use plain numbers")
    name = "ndarray" if isinstance(value, numpy.ndarray) else "npscalar"
    return [mark_bytes(name), dtype.str, list(array.shape), array.tobytes()]


def _build_array(items: list[Any], decoding: Decoding) -> Any:
    numpy: Any = sys.modules.get("numpy")
    if numpy is None:
        return decoding.missing("numpy")
    mark, kind, shape, data = items
    dtype = numpy.dtype(kind) if isinstance(kind, str) and len(kind) <= _DTYPE_CHARS else None
    if dtype is None or dtype.str != kind or dtype.hasobject or dtype.names or dtype.subdtype:
        raise CodecError("", f"{kind!r:.80} is no numpy dtype that travels")
    if not isinstance(data, bytes):  # bytearray() of a number would be as long as that
        raise CodecError("", f"the contents of an array are bytes, not {type(data).__name__}")
    array = numpy.ndarray(tuple(shape), dtype, bytearray(data))
    if array.nbytes != len(data):
        raise CodecError("", f"an array of shape {shape!r:.80} does not take {len(data)} bytes")
    return array if mark == b"ndarray" else array[()]
