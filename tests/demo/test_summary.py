"""`Summary`: honest about loss, silence and words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from zmqbus.demo.summary import Summary, word_errors

GOOD = Summary(
    frames=10,
    sent=10,
    received=10,
    out_of_order=0,
    duplicates=0,
    latency_p50_ms=0.5,
    latency_p99_ms=1.5,
    segments=[[0.1, 0.2]],
    recognizer="PocketSphinx",
    text="had he marry a amiable",
    reference="had he married a more amiable",
)


@pytest.mark.parametrize(
    ("summary", "passed"),
    [
        (GOOD, True),
        (replace(GOOD, received=9), False),
        (replace(GOOD, sent=9, received=9), False),
        (replace(GOOD, segments=[]), False),
        (replace(GOOD, text=None, recognizer=None), True),
    ],
)
def test_passed_only_if_nothing_was_lost_and_speech_was_heard(
    summary: Summary, passed: bool
) -> None:
    """Loss, a frame that was never sent, or silence fail; a missing recognizer does not."""
    assert summary.passed is passed
    assert summary.to_dict()["passed"] is passed


@pytest.mark.parametrize(
    ("reference", "text", "errors"),
    [("a b c", "a b c", 0), ("a b c", "a x c", 1), ("a b c", "a c", 1), ("a", "a b c", 2)],
)
def test_word_errors_count_changes_drops_and_additions(
    reference: str, text: str, errors: int
) -> None:
    """The count is the edit distance over words."""
    assert word_errors(reference.split(), text.split()) == errors


def test_lines_tell_the_whole_story() -> None:
    """A reader sees counts, latency, speech, text, truth and its distance."""
    assert list(GOOD.lines()) == [
        "frames    10 sent, 10 received, 0 lost, 0 out of order, 0 twice",
        "latency   p50 0.50 ms, p99 1.50 ms, one way",
        "speech    0.10-0.20 s",
        "text      had he marry a amiable",
        "really    had he married a more amiable",
        "          2 of 6 words misheard by PocketSphinx",
    ]


def test_lines_do_not_invent_what_is_unknown() -> None:
    """Without a recognizer, speech or frames, the lines say so or are left out."""
    silent = replace(GOOD, latency_p50_ms=None, latency_p99_ms=None, segments=[], text=None)

    assert list(silent.lines())[1:] == [
        "latency   p50 unknown, p99 unknown, one way",
        "speech    none",
    ]
