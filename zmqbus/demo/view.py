"""What the desk shows while the demo runs: live in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, Self, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.text import Text

_MISSING_RECOGNIZER = (
    "no recognizer here, so speech detection only: pip install 'pipecat-zmqbus[demo]'"
)


class View:
    """Lines for what happens once; in a terminal, below them, a panel for what goes on.

    Args:
        stream: Where to write. Control codes are written only to a terminal.
        frames_count: How many frames the recording has.
    """

    def __init__(self, stream: TextIO, frames_count: int) -> None:
        self._console = Console(file=stream, force_terminal=stream.isatty())
        self._frames_count = frames_count
        self._began = time.monotonic()
        self._progress: dict[str, Any] = {"received": 0, "frames_per_sec": 0, "latency_ms": None}
        self._speaking = False
        self._text = ""
        self._live: Live | None = None
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._live = Live(console=self._console, get_renderable=self._panel, transient=True)

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def line(self, words: str) -> None:
        """Say something once."""
        self._console.print(words, markup=False, highlight=False, soft_wrap=True)

    def discovered(self, worker: str, runner: str) -> None:
        """A worker is known from now on."""
        after_secs = time.monotonic() - self._began
        self.line(f"{after_secs:5.2f} s  found {worker} on {runner}")

    def listening(self, recognizer: str | None) -> None:
        """The listener is ready, with this recognizer or none."""
        self.line(f"         listening with Silero and {recognizer or _MISSING_RECOGNIZER}")

    def show(self, chunk: dict[str, Any]) -> None:
        """Show one chunk of the listener's stream."""
        match chunk:
            case {"received": _}:
                self._progress = chunk
            case {"speaking": speaking, "at_secs": at_secs}:
                self._speaking = speaking
                self.line(f"{at_secs:5.2f} s  {'speech' if speaking else 'silence'}")
            case {"text": text}:
                if text != self._text and self._live is None:
                    self.line(f"         {text}")
                self._text = text

    def _panel(self) -> Panel:
        received = self._progress["received"]
        latency_ms = self._progress["latency_ms"]
        latency = "" if latency_ms is None else f"   one way {latency_ms:.2f} ms"
        rate = f"{self._progress['frames_per_sec']:,} frames/s"
        counts = f"{received:,} of {self._frames_count:,} frames   {rate}{latency}"
        heard = Text("● speech", "bold green") if self._speaking else Text("○ silence", "dim")
        bar = ProgressBar(total=self._frames_count, completed=received)
        return Panel(Group(heard, Text(self._text), Text(counts), bar), title="zmqbus demo")
