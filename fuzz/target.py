"""What must hold for every input of a target: the right error, a round trip, memory and time."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

FACTOR = 4
SLACK_BYTES = 2**20
"""Decoding may take `FACTOR` times the input and this, at its peak."""
_MOST_CHARS = 500
"""Of an error: it is logged, and a stranger's words may be in it."""
MOST_SECS = 1.0
"""Of the processor, for one input."""


@dataclass(frozen=True)
class Target:
    """One way in for a stranger.

    Parameters:
        decode: Makes a value of bytes, or raises.
        refusals: The only errors it may raise.
        check: Raises `AssertionError` if the value is not sound, mostly by a round trip.
        most_bytes: The longest input that is tried.
        words: What inputs are often made of; a fuzzer would not come upon whole names.
    """

    decode: Callable[[bytes], Any]
    refusals: tuple[type[Exception], ...]
    check: Callable[[Any], None]
    most_bytes: int = 1024
    words: tuple[bytes, ...] = ()

    def run(self, data: bytes) -> bool:
        """Try one input; returns whether it was accepted.

        Raises:
            AssertionError: What came out is not sound, or it took too long.
            Exception: Any other than the documented ones is a find.
        """
        began = time.thread_time()
        try:
            value = self.decode(data)
        except self.refusals as error:
            said = str(error)
            assert said.endswith("."), f"no full sentence: {said}"
            assert len(said) < _MOST_CHARS, f"{len(said):,} characters in a log: {said}"
            return False
        finally:
            took_secs = time.thread_time() - began
            assert took_secs < MOST_SECS, f"{len(data):,} bytes took {took_secs:.1f} s"
        self.check(value)
        return True

    def peak_bytes(self, data: bytes) -> int:
        """How much memory decoding an input takes at its peak, the input not counted."""
        tracemalloc.start()
        try:
            value = self.decode(data)
        except self.refusals:
            value = None
        finally:
            peak_bytes = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        del value
        return peak_bytes


def allowed_bytes(data: bytes) -> int:
    """How much memory decoding an input may take."""
    return FACTOR * len(data) + SLACK_BYTES
