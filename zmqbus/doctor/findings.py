"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Level(Enum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence about the mesh.

    Parameters:
        check: What was looked at, in a word or two.
        level: How bad it is.
        what: What was found.
        remedy: What to do about it; empty if nothing has to be done.
    """

    check: str
    level: Level
    what: str
    remedy: str = ""


def ok(check: str, what: str) -> Finding:
    """All is well."""
    return Finding(check, Level.OK, what)


def warn(check: str, what: str, remedy: str) -> Finding:
    """It works, but not for long, or not for everybody."""
    return Finding(check, Level.WARN, what, remedy)


def fail(check: str, what: str, remedy: str) -> Finding:
    """It does not work."""
    return Finding(check, Level.FAIL, what, remedy)
