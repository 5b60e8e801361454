"""The fuzzer tested: each kind of fault is one."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fuzz.target import Target, allowed_bytes

Decode = Callable[[bytes], Any]
_SECS = 0.1


class _Error(Exception):
    """The documented one."""


def _refuse(words: str) -> Decode:
    def decode(data: bytes) -> Any:
        raise _Error(words)

    return decode


def _spin(data: bytes) -> None:
    began = time.thread_time()
    while time.thread_time() < began + _SECS:
        pass


def _unsound(value: object) -> None:
    raise AssertionError("unsound")


def _sound(value: object) -> None:
    pass


def test_value_and_documented_error_are_told_apart() -> None:
    """Both are right."""
    assert Target(bytes.hex, (_Error,), _sound).run(b"x")
    assert not Target(_refuse("No."), (_Error,), _sound).run(b"x")


@pytest.mark.parametrize(
    ("decode", "check", "fault"),
    [
        (_refuse("no"), _sound, "no full sentence"),
        (_refuse("x" * 1000 + "."), _sound, "characters in a log"),
        (_spin, _sound, "1 bytes took"),
        (bytes.hex, _unsound, "unsound"),
    ],
)
def test_fault_is_found(
    decode: Decode, check: Callable[[Any], None], fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error without words or with too many, a hang, a value that is not sound."""
    monkeypatch.setattr("fuzz.target.MOST_SECS", _SECS)
    with pytest.raises(AssertionError, match=fault):
        Target(decode, (_Error,), check).run(b"x")


def test_other_error_is_a_find() -> None:
    """It goes through to the fuzzer."""
    with pytest.raises(UnicodeDecodeError):
        Target(bytes.decode, (_Error,), _sound).run(b"\xff")


@pytest.mark.parametrize("size_bytes", [0, 2_000_000])
def test_peak_of_memory_is_measured_also_where_it_is_let_go(size_bytes: int) -> None:
    """What counts is the most there ever was, with an error too."""

    def decode(data: bytes) -> None:
        bytes(size_bytes)
        raise _Error("No.")

    peak_bytes = Target(decode, (_Error,), _sound).peak_bytes(b"x")
    assert size_bytes <= peak_bytes < size_bytes + 10_000
    assert (peak_bytes > allowed_bytes(b"x")) is bool(size_bytes)


def test_missing_fuzzer_is_named_in_one_sentence() -> None:
    """It is for developers only, so not having it is usual."""
    code = (
        "import runpy, sys; sys.modules['atheris'] = None; "
        "runpy.run_module('fuzz', run_name='__main__')"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, "wire-data", "--flags", "-runs=0"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    said = "The fuzzer atheris is not installed: pip install '.[fuzz]' gets it.\n"
    assert (ran.returncode, ran.stdout, ran.stderr) == (1, "", said)
