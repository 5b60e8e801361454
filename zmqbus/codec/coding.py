"""The two walks: values to what msgpack packs natively, and back while it unpacks.

Encoding goes top down in Python and copies only what it has to change. Decoding goes bottom up
inside msgpack: its hooks are called for every list and every ext value, so there is no recursion,
and a finished object takes the place of the list that described it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

from msgpack import ExtType

from zmqbus.codec.hints import SCALARS
from zmqbus.codec.ids import ID_BITS, NODE_BYTES, IdSpace
from zmqbus.codec.notices import Notices
from zmqbus.errors import CodecError

if TYPE_CHECKING:
    from collections.abc import Mapping

# Ext codes are append-only. A user's value never becomes one (S10).
MEMBER_CODE = 2  # an enum member, "module:Class.MEMBER"
ID_CODE = 3  # an id of a third node: 8 bytes origin, 5 bytes id

MAX_LEARNED = 64  # searches and plans for one message of a peer's, some milliseconds each
MAX_DEPTH = 200  # levels of values; well below msgpack's 511 with two levels an object

_ID_BYTES = ID_BITS // 8
_SHOWN_STEPS = 8  # at either end of a path


class UntravelableError(Exception):
    """A value that cannot be encoded; every level adds its step on the way up."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.steps: list[str] = []

    @property
    def path(self) -> str:
        """From the outermost value to the culprit, as ``payload['items'][3]``; long ones cut."""
        steps = self.steps[::-1]
        if len(steps) > 2 * _SHOWN_STEPS:
            steps = [*steps[:_SHOWN_STEPS], "…", *steps[-_SHOWN_STEPS:]]
        return "".join(steps)


class UndeliverableError(Exception):
    """A well-formed message that this process cannot build (R28)."""

    def __init__(self, subject: str, reason: str) -> None:
        super().__init__(subject, reason)
        self.subject = subject
        self.reason = reason


class Mark:
    """What a list describes: the value kind or class, and how to build it.

    `build` gets the whole list, the mark included.
    """

    __slots__ = ("build", "name")

    def __init__(self, name: str, build: Callable[[list[Any], Decoding], Any]) -> None:
        self.name = name
        self.build = build


class Unknown:
    """Stands for an object of a class that this process does not know."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class LocalId(int):
    """An id that is already this node's; only an id field takes it."""


class Types(Protocol):
    """The closed table, as the walks see it."""

    encoders: dict[type, Encode]
    marks: dict[bytes, Mark]
    members: dict[bytes, Enum]

    def encoder(self, kind: type) -> Encode:
        """How values of `kind` are encoded; raises `UntravelableError` if it is not known."""

    def mark(self, name: bytes, learn: Callable[[], None]) -> Mark | None:
        """The mark of a name from the wire; `learn` is called before anything that takes long."""

    def member(self, name: bytes, learn: Callable[[], None]) -> Enum | None:
        """The enum member of a name from the wire; `learn` as above."""


class Encoding:
    """One message on its way out. Not shared: it knows how deep it is.

    Parameters:
        ids: How to name foreign ids, or None to keep ids as they are.
        notices: Where to report what is dropped.
    """

    __slots__ = ("_encoders", "_types", "depth", "ids", "notices")

    def __init__(self, types: Types, ids: IdSpace | None, notices: Notices) -> None:
        self._types = types
        self._encoders = types.encoders
        self.ids = ids
        self.notices = notices
        self.depth = 1

    def value(self, value: Any) -> Any:
        """`value` in msgpack's native types."""
        kind = type(value)
        if kind in SCALARS:
            return value
        encode = self._encoders.get(kind) or self._types.encoder(kind)
        if self.depth == MAX_DEPTH:
            raise UntravelableError(f"nested more than {MAX_DEPTH} levels deep, or contains itself")
        self.depth += 1
        encoded = encode(value, self)
        self.depth -= 1
        return encoded

    def encoder(self, kind: type) -> Encode:
        """How values of `kind` are encoded."""
        try:
            return self._encoders.get(kind) or self._types.encoder(kind)
        except UntravelableError:
            return _encode_any  # perhaps later

    def items(self, values: Iterable[Any]) -> Any:
        """Each of `values` encoded; `values` itself if there is nothing to do."""
        if SCALARS.issuperset(map(type, values)):
            return values
        encoded: list[Any] = []
        try:
            for item in values:
                encoded.append(item if type(item) in SCALARS else self.value(item))
        except UntravelableError as error:
            error.steps.append(f"[{len(encoded)}]")
            raise
        return encoded

    def pairs(self, mapping: Mapping[Any, Any]) -> list[Any]:
        """Keys and values of any kind, alternating."""
        encoded: list[Any] = []
        for key, value in mapping.items():
            try:
                encoded.append(self.value(key))
                encoded.append(self.value(value))
            except UntravelableError as error:
                error.steps.append(f"[{key!r}]")
                raise
        return encoded

    def mapping(self, mapping: Mapping[Any, Any]) -> dict[str, Any] | list[Any]:
        """A map where all keys are strings, otherwise a marked list of pairs."""
        encoded = {}
        key = ""
        try:
            for key, value in mapping.items():
                if type(key) is not str:
                    break
                encoded[key] = value if type(value) in SCALARS else self.value(value)
        except UntravelableError as error:
            error.steps.append(f"[{key!r}]")
            raise
        return encoded if len(encoded) == len(mapping) else [DICT, *self.pairs(mapping)]

    def id(self, local: int) -> ExtType:
        """How the id of a third node travels."""
        assert self.ids is not None, "ids are kept as they are without a space"
        try:
            origin, remote = self.ids.origin(local)
        except CodecError as error:
            raise UntravelableError(error.reason) from None
        return ExtType(ID_CODE, origin + remote.to_bytes(_ID_BYTES, "big"))


Encode = Callable[[Any, Encoding], Any]


def _encode_any(value: Any, enc: Encoding) -> Any:
    return enc.value(value)


DICT, LIST = b"dict", b"list"
"""The marks of a dict whose keys are not all strings, and of a list that starts with bytes."""


class Decoding:
    """One message on its way in.

    `loose` counts unknown objects and foreign ids that nobody has taken yet; it ends at 0, or one
    of them stood where it means nothing.

    Parameters:
        ids: How ids become local ones, or None to keep them.
        notices: Where to report what is dropped.
        unknown: Names of classes that are not known here.
    """

    __slots__ = (
        "_marks",
        "_members",
        "_types",
        "base",
        "ids",
        "learned",
        "loose",
        "notices",
        "unknown",
    )

    def __init__(self, types: Types, ids: IdSpace | None, sender: bytes, notices: Notices) -> None:
        self._types = types
        self._marks = types.marks
        self._members = types.members
        self.ids = ids
        self.base = 0 if ids is None else ids.base(sender)
        self.notices = notices
        self.learned = 0
        self.loose = 0
        self.unknown: list[str] = []

    def again(self) -> Decoding:
        """Itself, as it was before the message."""
        self.loose = 0
        self.unknown.clear()
        return self

    def on_ext(self, code: int, data: bytes) -> Any:
        """Msgpack met an ext value."""
        if code == MEMBER_CODE:
            member = self._members.get(data) or self._types.member(data, self.learn)
            return self.missing(_text(data)) if member is None else member
        if code == ID_CODE:
            return self._foreign_id(data)
        raise CodecError("", f"ext code {code} is not in use")

    def on_list(self, items: list[Any]) -> Any:
        """Msgpack finished a list: bytes at its head are the mark of what it describes."""
        if items and type(items[0]) is bytes:
            name = items[0]
            mark = self._marks.get(name) or self._types.mark(name, self.learn)
            return mark.build(items, self) if mark else self.missing(_text(name))
        return items

    def learn(self) -> None:
        """Something is about to be done that takes long, once for each name or set of fields.

        Peers choose these, and a message could hold thousands.
        """
        self.learned += 1
        if self.learned > MAX_LEARNED:
            reason = f"more than {MAX_LEARNED} names or sets of fields that were not met before"
            raise CodecError("", reason)

    def missing(self, name: str) -> Unknown:
        """A stand-in for an object of an unknown class."""
        self.loose += 1
        self.unknown.append(name)
        return Unknown(name)

    def found(self, stand_in: Unknown) -> None:
        """Somebody took care of a stand-in."""
        self.loose -= 1
        self.unknown.remove(stand_in.name)

    def id(self, foreign: Any) -> int:
        """The local id for what an id field held that is no id of the sender's own."""
        if type(foreign) is not LocalId:
            raise CodecError("", f"{foreign!r} is no id of one process")
        self.loose -= 1
        return int(foreign)

    def _foreign_id(self, data: bytes) -> LocalId:
        if self.ids is None:
            raise CodecError("", "an id of another node means nothing without an id space")
        if len(data) != NODE_BYTES + _ID_BYTES:
            raise CodecError("", f"an id of another node has {NODE_BYTES + _ID_BYTES} bytes")
        self.loose += 1
        remote = int.from_bytes(data[NODE_BYTES:], "big")
        return LocalId(self.ids.local(data[:NODE_BYTES], remote))


def _text(name: bytes) -> str:
    return name[:255].decode("utf-8", "replace")
