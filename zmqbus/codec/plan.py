"""How one class travels: worked out once, then followed for every object of it.

An object is ``[mark, names, value, ...]``: one string names the fields, their values follow. Left
out is a field whose default is None or "not given" and that is so, and an empty container. What is
missing on arrival takes the receiver's default (R28); required fields are always there. `__init__`
and `__post_init__` are not run again (S22): the fields are the state.

What makes it fast is one function for each combination of types on the way out, and of names on the
way in, made from `source`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from zmqbus.codec import hints, source
from zmqbus.codec.coding import (
    Decoding,
    Encode,
    Encoding,
    UndeliverableError,
    Unknown,
    UntravelableError,
)
from zmqbus.codec.ids import LOCAL_IDS
from zmqbus.codec.pipecat_types import SENTINELS
from zmqbus.errors import CodecError

# Names that are on most messages, one byte each. No field of Python's starts with a digit or a
# sign, so they cannot be mistaken. Append-only.
_CODES = dict(
    zip(
        (
            *("id", "name", "source", "target", "frame", "direction", "bridge", "job_id"),
            *("metadata", "pts", "interruptible", "transport_source", "transport_destination"),
            *("audio", "sample_rate", "num_channels", "num_frames", "text", "broadcast_sibling_id"),
            *("image", "size", "format", "append_to_context", "skip_tts"),
            *("includes_inter_frame_spaces", "payload", "update", "data", "response", "status"),
        ),
        "0123456789!#$%&'()*+,-./:;<=>?",
        strict=True,
    )
)
_NAMES = {code: name for name, code in _CODES.items()}

# Fields that pipecat renamed (1.13): either name is taken for the other.
_RENAMED = {"aggregated_by": "text_type", "text_type": "aggregated_by"}

_MAX_FIELDS = 256  # named by one object; more would make the functions below slow to compile
_LIKELY_SHAPES = 3  # that are looked for one by one, which is faster than in a table
_MAX_SHAPES = 64  # combinations of types, or of names, remembered per class: peers choose them,
_MAX_KINDS = 16  # and of types for each of the latter; all that takes some MB per class at most
_ALONE = {type(None), *SENTINELS}  # of these types, the type tells the value
ABSENT: Any = object()
EMPTY = (dict, list, set, tuple)


class Field(NamedTuple):
    """One field of a class.

    Parameters:
        name: The field's name.
        default: What a missing field is, or `ABSENT`.
        match: Whether a value fits the annotation.
        wanted: The annotation in words.
        factory: Makes the value of a missing field: one of `EMPTY`, or called with the object.
        prepare: What to do to the value before it is encoded.
        by_content: Whether `match` looks into the value, beyond its type.
    """

    name: str
    default: Any
    match: hints.Match
    wanted: str
    factory: Any = None
    prepare: Encode | None = None
    by_content: bool = False

    @property
    def required(self) -> bool:
        """Whether there is nothing to take for a missing value."""
        return self.default is ABSENT and self.factory is None

    @property
    def code(self) -> str:
        """The name as it travels."""
        return _CODES.get(self.name, self.name)

    def fits(self, value: Any) -> bool:
        """Whether the annotation admits `value`."""
        return self.match is None or self.match(value)

    def check(self, value: Any) -> None:
        """Raise `UntravelableError` unless the annotation admits `value`."""
        if not self.fits(value):
            raise UntravelableError(f"{self.wanted} wanted, got {type(value).__qualname__}")


Send = Callable[..., list[Any]]
Take = Callable[[list[Any], Decoding], Any]


class Fields:
    """The fields of one class, in both directions.

    Args:
        cls: The class.
        head: What goes before the fields.
        fields: Its fields.
        ids: Which of them hold ids of pipecat's counter.
        droppable: Whether a field that cannot travel is left out where its default is None.
        named: Whether a field "name" is the class name and a count.
        finish: What gives an object its state; where it is None, its attributes are set.
    """

    def __init__(
        self,
        cls: type,
        head: Any,
        fields: list[Field],
        ids: tuple[str, ...] = (),
        *,
        droppable: bool = True,
        named: bool = False,
        finish: Callable[[Any, dict[str, Any]], None] | None = None,
    ) -> None:
        self.name = cls.__qualname__
        self._cls = cls
        self._head = head
        self._prefix = f"{cls.__name__}#" if named else ""
        self._droppable = droppable
        self._ids = ids
        self._finish = finish
        self._fields = fields
        self._by_name = {f.name: f for f in fields}
        for field in fields:
            self._by_name.setdefault(_RENAMED.get(field.name, field.name), field)
        self._sends: dict[tuple[type, ...], Send] = {}
        self._takes: dict[str, Take] = {}
        self._encode = self._reader()

    def encode(self, obj: Any, enc: Encoding) -> list[Any]:
        """An object as a list."""
        encoded: list[Any] = self._encode(obj, enc)
        return encoded

    def _reader(self) -> Encode:
        """The function that encodes any object; it looks for the shapes met first by itself."""
        places = range(len(self._fields))
        likely = list(enumerate(self._sends.items()))[:_LIKELY_SHAPES]
        values = source.row(f"v{i}" for i in places)
        encode: Encode = source.function(
            source.READ,
            {"learn": self._learn, "sends": self._sends}
            | {f"send{at}": send for at, (_, send) in likely}
            | {f"t{at}_{i}": k for at, (kinds, _) in likely for i, k in enumerate(kinds)},
            reads=source.lines(
                2, *(f"v{i} = {source.read(f.name)}" for i, f in enumerate(self._fields))
            ),
            likely=source.lines(
                1,
                *(
                    f"if {source.are(kinds, f't{at}_')}: return send{at}(enc, {values})"
                    for at, (kinds, _) in likely
                ),
            ),
            kinds=source.row(f"type(v{i})" for i in places),
            values=values,
        )
        return encode

    def _learn(self, obj: Any, enc: Encoding) -> list[Any]:
        """Encode an object whose types were not met before."""
        values = [getattr(obj, f.name, f.default) for f in self._fields]
        send = self._sender(values, enc)
        if not any(v is ABSENT for v in values) and len(self._sends) < _MAX_SHAPES:
            self._sends[tuple(map(type, values))] = send
            if len(self._sends) <= _LIKELY_SHAPES:
                self._encode = self._reader()
        return send(enc, *values)

    def _sender(self, values: list[Any], enc: Encoding) -> Send:
        """The function that encodes objects whose values have these types."""
        plain: list[int] = []
        odd: list[int] = []
        checked: dict[int, bool] = {}
        for at, (field, value) in enumerate(zip(self._fields, values, strict=True)):
            if value is field.default and type(value) in _ALONE:
                continue
            checked[at] = not field.by_content and value is not ABSENT and field.fits(value)
            is_plain = checked[at] and type(value) in hints.SCALARS
            (plain if is_plain else odd).append(at)
        fixed = [at for at in odd if type(values[at]) is not self._fields[at].factory]
        odd.sort(key=lambda at: at not in fixed)
        names = [self._fields[at].name for at in plain]
        send: Send = source.function(
            source.SEND,
            {"head": self._head, "prefix": self._prefix, "escape": _escape}
            | {"failed": self._failed, "Untravelable": UntravelableError}
            | {f"f{at}": self._fields[at] for at in odd}
            | {
                f"e{at}": enc.encoder(type(values[at]))
                if checked[at]
                else partial(self._encode_unsure, self._fields[at])
                for at in odd
            },
            values=source.row(f"v{at}" for at in range(len(values))),
            names=" ".join(self._fields[at].code for at in plain + fixed),
            picked=source.row(f"v{at}" for at in plain),
            shorten=source.lines(
                1,
                *(
                    f"out[{i}] = v{at}[{len(self._prefix) - 1}:] if v{at}.startswith(prefix) "
                    f"else escape(v{at})"
                    for i, at in enumerate(plain, 2)
                    if self._prefix and self._fields[at].name == "name"
                ),
            ),
            ids=source.lines(
                2,
                *(
                    f"if not 0 <= v{at} < {LOCAL_IDS}: out[{i}] = enc.id(v{at})"
                    for i, (at, name) in enumerate(zip(plain, names, strict=True), 2)
                    if name in self._ids
                ),
            ),
            odd="".join(
                source.ODD.format(
                    at=at,
                    test="True" if at in fixed else f"v{at}",
                    name="pass" if at in fixed else f"out[1] += {' ' + self._fields[at].code!r}",
                )
                for at in odd
            ),
        )
        return send

    def _encode_unsure(self, field: Field, value: Any, enc: Encoding) -> Any:
        """Encode what has to be looked at first."""
        if field.prepare is not None:
            value = field.prepare(value, enc)
        field.check(value)
        return enc.value(value)

    def _failed(self, field: Field, error: UntravelableError, enc: Encoding, depth: int) -> None:
        """A field cannot travel: leave it out, as None, or give up the object."""
        error.steps.append(f".{field.name}")
        if field.default is not None or not self._droppable:
            raise error
        enc.depth = depth
        text = f"left out, because {self.name}{error.path}: {error.reason}"
        enc.notices.warn(f"{self.name}.{field.name}", text)

    def build(self, items: list[Any], decoding: Decoding) -> Any:
        """An object, from what arrived and this process' defaults."""
        names = items[1]
        take = self._takes.get(names)
        if take is None:
            decoding.learn()
            take = self._taker(names)
        return take(items, decoding)

    def _taker(self, names: Any, likely: tuple[type, ...] | None = None) -> Take:
        """The function that builds objects of which these fields arrive, mostly of these types."""
        if not isinstance(names, str):
            raise CodecError(self.name, "its field names are no string")
        fields = [self._by_name.get(_NAMES.get(word, word)) for word in names.split()]
        if len(fields) > _MAX_FIELDS:
            raise CodecError(self.name, f"{len(fields)} fields, the limit is {_MAX_FIELDS}")
        place = {f.name: at for at, f in enumerate(fields) if f is not None}
        for field in self._fields:
            if field.required and field.name not in place:
                subject = f"{self.name}.{field.name}"
                raise UndeliverableError(subject, "this required field is missing")
        good: set[tuple[type, ...]] = set()

        def check(values: tuple[Any, ...], decoding: Decoding) -> list[Any]:
            checked = self._check(fields, values, decoding, good)
            if good and not likely and names in self._takes:
                self._takes[names] = self._taker(names, next(iter(good)))
            return checked

        take: Take = source.function(
            source.TAKE,
            {"good": good, "check": check, "cls": self._cls, "new": object.__new__}
            | {"finish": self._finish, "prefix": self._prefix, "unescape": _unescape}
            | {f"d{at}": f.factory or f.default for at, f in enumerate(self._fields)}
            | {f"t{at}": kind for at, kind in enumerate(likely or ())},
            values=source.row(f"v{at}" for at in range(len(fields))),
            likely=source.are(likely, "t") if likely else "False",
            kinds=source.row(f"type(v{at})" for at in range(len(fields))),
            ids=source.lines(
                1, *(source.ID.format(f"v{place[n]}") for n in self._ids if n in place)
            ),
            state=source.state(
                [(f.name, self._arrived(f, at, place)) for at, f in enumerate(self._fields)],
                is_plain=self._finish is None,
            ),
        )
        if len(self._takes) < _MAX_SHAPES or names in self._takes:
            self._takes[names] = take
        return take

    def _arrived(self, field: Field, at: int, place: dict[str, int]) -> str:
        """What a field's value is, as source."""
        if field.name in place:
            value = f"v{place[field.name]}"
            if field.name == "name" and self._prefix:
                return f"prefix + {value}[1:] if {value}[:1] == '#' else unescape({value})"
            return value
        if field.factory is None:
            return f"d{at}"
        return f"d{at}()" if field.factory in EMPTY else f"d{at}(obj)"

    def _check(
        self,
        fields: list[Field | None],
        values: tuple[Any, ...],
        decoding: Decoding,
        good: set[tuple[type, ...]],
    ) -> list[Any]:
        """The values, each of which fits; their types are remembered if that is what decides."""
        checked = [
            value if field is None else self._fitting(field, value, decoding)
            for field, value in zip(fields, values, strict=True)
        ]
        by_content = any(f is not None and f.by_content for f in fields)
        kinds = tuple(map(type, values))
        if not by_content and Unknown not in kinds and len(good) < _MAX_KINDS:
            good.add(kinds)
        return checked

    def _fitting(self, field: Field, value: Any, decoding: Decoding) -> Any:
        """`value` if it fits; None where the field's default stands in for an unknown object."""
        if type(value) is Unknown and field.default is None and self._droppable:
            decoding.found(value)
            text = f"left out, because {value.name} is not known here"
            decoding.notices.warn(f"{self.name}.{field.name}", text)
            return None
        if not field.fits(value):
            if decoding.unknown:
                raise UndeliverableError(decoding.unknown[0], "this class is not known here")
            reason = f"{field.wanted} wanted, got {type(value).__qualname__}"
            raise CodecError(f"{self.name}.{field.name}", reason)
        return value


def _escape(name: str) -> str:
    """``TextFrame#7`` travels as ``#7``; what looks like that already gets a NUL in front."""
    return f"\0{name}" if name.startswith(("#", "\0")) else name


def _unescape(name: str) -> str:
    return name[1:] if name.startswith("\0") else name
