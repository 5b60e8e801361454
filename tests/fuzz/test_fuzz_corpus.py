"""Whatever the fuzzer has found, and what is near it, is a value or the documented error (R26)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzz import corpus
from fuzz.target import allowed_bytes
from fuzz.targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_found_input_is_sound_or_refused_in_little_memory(name: str) -> None:
    """What once broke something, or reached code that nothing else reached, does no harm (X11)."""
    target, inputs = TARGETS[name], corpus.read(name)
    assert any(map(target.run, inputs)), "some of them are accepted"
    for data in inputs:
        assert target.peak_bytes(data) <= allowed_bytes(data), data.hex()


@pytest.mark.parametrize("name", TARGETS)
@given(st.data())
def test_input_near_a_found_one_is_sound_or_refused(name: str, data: st.DataObject) -> None:
    """Bytes replaced, inserted and cut out of what is known to lead deep inside."""
    damaged = bytearray(data.draw(st.sampled_from(corpus.read(name))))
    for _ in range(data.draw(st.integers(1, 3))):
        at, width = data.draw(st.integers(0, len(damaged))), data.draw(st.integers(0, 4))
        damaged[at : at + width] = data.draw(st.binary(max_size=4))
    TARGETS[name].run(bytes(damaged))


@pytest.mark.parametrize("name", TARGETS)
def test_corpus_is_small_and_for_a_known_target(name: str) -> None:
    """It runs with the suite, so each input is short, there once, and there are not too many."""
    inputs = corpus.read(name)
    assert len(inputs) == len(set(inputs)) <= 500
    assert max(map(len, inputs)) <= TARGETS[name].most_bytes
    assert {path.stem for path in corpus.DIRECTORY.iterdir()} == set(TARGETS)
