"""Inputs that were found: a file of hexadecimal lines for each target."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

DIRECTORY = Path(__file__).parents[1] / "tests" / "fuzz" / "corpus"


def read(target: str) -> list[bytes]:
    """The inputs of a target; none if there is no file yet."""
    path = DIRECTORY / f"{target}.txt"
    return [bytes.fromhex(line) for line in path.read_text().splitlines()] if path.exists() else []


def write(target: str, inputs: Iterable[bytes]) -> None:
    """Replace the inputs of a target; short ones first."""
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    lines = [each.hex() for each in sorted(set(inputs), key=lambda each: (len(each), each))]
    (DIRECTORY / f"{target}.txt").write_text("".join(f"{line}\n" for line in lines))
