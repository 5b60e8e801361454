"""What the desk shows while the demo runs: live in a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
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


def write_line(stream: TextIO, words: str) -> bool:
    """Write a line; False if nobody reads it, and then what follows goes nowhere either."""
    try:
        stream.write(f"{words}\n")
        stream.flush()
    except BrokenPipeError:
        with open(os.devnull, "w") as nowhere:  # or the interpreter complains at its end
            os.dup2(nowhere.fileno(), stream.fileno())
        return False
    return True


class View:
    """Lines for what happens once; in a terminal, below them, a panel for what goes on.

    Each event is shown with the seconds since the start of the view; times in the recording are
    called so.

    Args:
        stream: Where to write. Control codes are written only to a terminal.
        frames_count: How many frames the recording has.
        on_unread: Called when nobody reads the stream any more.
    """

    def __init__(
        self, stream: TextIO, frames_count: int, on_unread: Callable[[], None] = lambda: None
    ) -> None:
        self._stream = stream
        self._console = Console(file=stream, force_terminal=stream.isatty())
        self._frames_count = frames_count
        self._on_unread = on_unread
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
        if self._live is not None:
            self._console.print(words, markup=False, highlight=False, soft_wrap=True)
        elif not write_line(self._stream, words):
            self._on_unread()

    def event(self, words: str) -> None:
        """Something happens now."""
        self.line(f"{time.monotonic() - self._began:6.2f} s  {words}")

    def listening(self, listener: str, recognizer: str | None, from_secs: float) -> None:
        """A listener is ready, with this recognizer or none, and begins there in the recording."""
        self.event(
            f"{listener} listens from {from_secs:.2f} s of the recording on, "
            f"with Silero and {recognizer or _MISSING_RECOGNIZER}"
        )

    def show(self, chunk: dict[str, Any]) -> None:
        """Show one chunk of the listener's stream."""
        match chunk:
            case {"received": _}:
                self._progress = chunk
            case {"speaking": speaking, "at_secs": at_secs}:
                self._speaking = speaking
                what = "speech" if speaking else "silence"
                self.event(f"{what}, noticed at {at_secs:.2f} s of the recording")
            case {"text": text}:
                if text != self._text and self._live is None:
                    self.event(f"  {text}")
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
