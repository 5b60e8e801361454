"""`View`: plain lines where nobody could read control codes, a panel in a terminal."""

from __future__ import annotations

import io

import pytest

from zmqbus.demo.view import View


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """It is."""
        return True


def play(view: View) -> None:
    """What a short session shows."""
    with view:
        view.event("found listener on listener-runner")
        view.listening("listener", "PocketSphinx", 1.5)
        view.show({"speaking": True, "at_secs": 0.74})
        view.show({"received": 37, "frames_per_sec": 50, "latency_ms": 0.4})
        view.show({"text": "had he"})
        view.show({"text": "had he"})
        view.show({"speaking": False, "at_secs": 1.5})


def test_elsewhere_than_in_a_terminal_lines_are_plain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No control code, no markup, one line for each thing that happened."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    stream = io.StringIO()
    play(View(stream, 100))

    lines = stream.getvalue().splitlines()
    assert "\x1b" not in stream.getvalue()
    assert [line.split(None, 2)[:2] for line in lines] == [["0.00", "s"]] * 5
    assert [line.split(None, 2)[2] for line in lines] == [
        "found listener on listener-runner",
        "listener listens from 1.50 s of the recording on, with Silero and PocketSphinx",
        "speech, noticed at 0.74 s of the recording",
        "had he",
        "silence, noticed at 1.50 s of the recording",
    ]


def test_in_a_terminal_the_panel_shows_what_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames, rate, latency and text stand in a panel that is redrawn."""
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    view = View(stream, 100)
    play(view)

    shown = stream.getvalue()
    assert "\x1b" in shown
    assert "37 of 100 frames   50 frames/s   one way 0.40 ms" in shown
    assert "○ silence" in shown


def test_without_a_recognizer_the_way_to_one_is_named() -> None:
    """What is missing is said with the command that brings it."""
    stream = io.StringIO()
    View(stream, 1).listening("listener", None, 0.0)

    assert "pip install 'pipecat-zmqbus[demo]'" in stream.getvalue()
