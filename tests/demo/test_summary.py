"""`Summary`: honest about loss, silence and words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from zmqbus.demo.failover import STEPS
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
        (replace(GOOD, steps=dict.fromkeys(STEPS, 0.1)), True),
        (replace(GOOD, steps=dict.fromkeys(list(STEPS)[:-1], 0.1)), False),
        (replace(GOOD, steps={}), False),
    ],
)
def test_passed_only_if_nothing_was_lost_and_speech_was_heard(
    summary: Summary, passed: bool
) -> None:
    """Loss, a frame never sent, silence or half a failover fail; a missing recognizer does not."""
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
        "speech    0.10-0.20 s of the recording",
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


def test_lines_tell_each_step_of_a_failover() -> None:
    """Each step has its time after the kill, or never came."""
    steps = {"lost": 0.0123, "failed": 0.01, "handed_over": 0.25}

    assert list(replace(GOOD, steps=steps).lines())[6:] == [
        "killed    the listener, with SIGKILL; after that",
        "          0.012 s  the desk knows that the runner is lost",
        "          0.010 s  the job has its ERROR response",
        "          0.250 s  the standby listens",
        "          never  first text of the standby",
        "          never  the sentence is complete",
    ]


def test_lines_say_when_nobody_was_killed() -> None:
    """A kill that was asked for and had no occasion is no silence."""
    assert list(replace(GOOD, steps={}).lines())[6:] == [
        "killed    nobody: no sentence was long enough"
    ]
