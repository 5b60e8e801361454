"""Annotations, and what they admit (X13, R27)."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol, TypeVar

import pytest

from zmqbus.codec import hints


class Kind(enum.Enum):
    """An enum in annotations."""

    A = 1


@dataclass
class Thing:
    """An object in annotations."""

    kind: Kind


class Walks(Protocol):
    """Cannot be told by isinstance."""


T = TypeVar("T", bound=Thing)


@pytest.mark.parametrize(
    ("hint", "fitting", "not_fitting"),
    [
        (str, ["", Kind.__name__], [None, 1, b""]),
        (int, [1, True], [1.0, "1", None]),
        (float, [1.0, 1], ["1", None]),
        (bytes, [b"", bytearray(), memoryview(b"")], ["", None]),
        (bool, [True], [1, None]),
        (None, [None], [0]),
        (str | None, ["", None], [1]),
        (str | Kind, ["", Kind.A], [None, 1]),
        (Kind, [Kind.A], [1, "A"]),
        (Literal["a", "b"], ["a", "c"], [1]),
        (Annotated[int, "unit"], [1], ["1"]),
        (list[int], [[1], ["1"], (1,)], [1, "x"]),
        (list[Thing], [[], [Thing(Kind.A)]], [[1], 1]),
        (Sequence[Thing], [(Thing(Kind.A),)], [[None]]),
        (list, [[1], ()], [{}]),
        (tuple[int, int], [(1, 2), [1, 2]], [1]),
        (dict[str, Any], [{}], [[]]),
        (Mapping[str, Any], [{}], [[]]),
        (Any, [1, None, object()], []),
        (Callable[[], None], [print, 1], []),
        (T, [1], []),
        (Walks, [1], []),
        (str | Any, [1, None], []),
    ],
)
def test_annotation_admits_what_it_says(
    hint: Any, fitting: list[Any], not_fitting: list[Any]
) -> None:
    """Basic types, unions, enums and containers are told; the rest admits anything (X13)."""
    match = hints.matcher(hint)
    assert [v for v in fitting if match is not None and not match(v)] == []
    assert [v for v in not_fitting if match is None or match(v)] == []


@pytest.mark.parametrize(
    ("annotation", "found"),
    [
        ("Thing | None", {Thing, type(None)}),
        ("dict[str, list[Kind]]", {str, Kind}),
        ("T", {Thing}),
        ("NoSuchName | None", {hints.UNRESOLVED}),
        ("1 +", {hints.UNRESOLVED}),
    ],
)
def test_annotation_leads_to_the_classes_it_names(annotation: str, found: set[type]) -> None:
    """At any depth, type variables included; what cannot be resolved is told (R27)."""
    assert set(hints.classes_in(hints.resolve(annotation, __name__))) == found
