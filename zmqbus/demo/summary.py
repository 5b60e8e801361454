"""What the demo says at its end, and whether that is a success."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from zmqbus.demo.failover import STEPS


@dataclass(frozen=True)
class Summary:
    """What became of the recording.

    Parameters:
        frames: Frames of 20 ms in the recording.
        sent: How many of them the microphone gave to the bus.
        received: How many of them reached the listener.
        out_of_order: How many came after a later one.
        duplicates: How often one came again.
        latency_p50_ms: One-way latency, from the bridge to the listener's pipeline: the median.
        latency_p99_ms: And what 99 of 100 frames did not exceed.
        segments: Speech as it was heard, in seconds from the start.
        recognizer: Who wrote the text; None when none is installed.
        text: What was understood.
        reference: What was really said, where that is known.
        steps: When each of `STEPS` was, in seconds after the kill; None if none was asked for.
    """

    frames: int
    sent: int
    received: int
    out_of_order: int
    duplicates: int
    latency_p50_ms: float | None
    latency_p99_ms: float | None
    segments: Sequence[Sequence[float]]
    recognizer: str | None = None
    text: str | None = None
    reference: str | None = None
    steps: Mapping[str, float] | None = None

    @property
    def lost(self) -> int:
        """Frames sent that never arrived."""
        return self.sent - self.received

    @property
    def passed(self) -> bool:
        """Nothing was lost, speech was heard, and a kill that was asked for was overcome."""
        whole = self.sent == self.frames and self.lost == 0
        return (
            whole
            and bool(self.segments)
            and (self.steps is None or self.steps.keys() == STEPS.keys())
        )

    @property
    def word_errors(self) -> int | None:
        """Words wrong, missing or too many in the text, where the truth is known."""
        if self.text is None or self.reference is None:
            return None
        return word_errors(self.reference.split(), self.text.split())

    def to_dict(self) -> dict[str, Any]:
        """The summary for `--json`."""
        derived = {"lost": self.lost, "word_errors": self.word_errors, "passed": self.passed}
        return asdict(self) | derived

    def lines(self) -> Iterator[str]:
        """The summary for a reader."""
        yield (
            f"frames    {self.sent:,} sent, {self.received:,} received, {self.lost:,} lost, "
            f"{self.out_of_order:,} out of order, {self.duplicates:,} twice"
        )
        yield f"latency   p50 {_ms(self.latency_p50_ms)}, p99 {_ms(self.latency_p99_ms)}, one way"
        spans = ", ".join(f"{start:.2f}-{end:.2f} s" for start, end in self.segments)
        yield f"speech    {spans or 'none'}{' of the recording' if spans else ''}"
        if self.text is not None:
            yield f"text      {self.text or '(nothing understood)'}"
        if self.text is not None and self.reference is not None:
            yield f"really    {self.reference}"
            words = len(self.reference.split())
            yield f"          {self.word_errors} of {words} words misheard by {self.recognizer}"
        if self.steps is not None:
            yield from self._failover_lines(self.steps)

    def _failover_lines(self, steps: Mapping[str, float]) -> Iterator[str]:
        if not steps:
            yield "killed    nobody: no sentence was long enough"
            return
        yield "killed    the listener, with SIGKILL; after that"
        for step, words in STEPS.items():
            yield f"          {f'{steps[step]:.3f} s' if step in steps else 'never'}  {words}"


def word_errors(reference: Sequence[str], text: Sequence[str]) -> int:
    """Count the words to change, add or drop to make one text of the other.

    Args:
        reference: What was said.
        text: What was understood.
    """
    row = list(range(len(text) + 1))
    for place, said in enumerate(reference, start=1):
        diagonal, row[0] = row[0], place
        for at, heard in enumerate(text, start=1):
            changed = diagonal + (said != heard)
            diagonal, row[at] = row[at], min(changed, row[at] + 1, row[at - 1] + 1)
    return row[-1]


def _ms(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f} ms"
