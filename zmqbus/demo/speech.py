"""Where in the stream somebody speaks, by pipecat's Silero analyzer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.audio.vad.vad_analyzer import VADState

from zmqbus.demo.recording import SAMPLE_RATE


class SpeechDetector:
    """Hears PCM in order, and keeps the segments of speech, in seconds from the start.

    Args:
        heard_bytes: How much sound there was before, heard by somebody else.
        segments: The segments of speech in it.
    """

    def __init__(self, heard_bytes: int = 0, segments: Iterable[Sequence[float]] = ()) -> None:
        self.heard_bytes = heard_bytes
        self.segments = [(start, end) for start, end in segments]
        self._analyzer = SileroVADAnalyzer(sample_rate=SAMPLE_RATE)
        self._analyzer.set_sample_rate(SAMPLE_RATE)
        self._began_secs: float | None = None

    @property
    def heard_secs(self) -> float:
        """How much sound was heard so far."""
        return self.heard_bytes / 2 / SAMPLE_RATE

    async def hear(self, pcm: bytes) -> bool | None:
        """Listen on.

        Args:
            pcm: The next sound.

        Returns:
            True when speech has begun, False when it has ended, None when nothing changed.
        """
        state = await self._analyzer.analyze_audio(pcm)
        self.heard_bytes += len(pcm)
        params = self._analyzer.params
        if state is VADState.SPEAKING and self._began_secs is None:
            self._began_secs = self.heard_secs - params.start_secs
            return True
        if state is VADState.QUIET and self._began_secs is not None:
            self._end_segment(self.heard_secs - params.stop_secs)
            return False
        return None

    def finish(self) -> None:
        """End the segment that the end of the sound cut off, if there is one."""
        if self._began_secs is not None:
            self._end_segment(self.heard_secs)

    def _end_segment(self, end_secs: float) -> None:
        assert self._began_secs is not None, "a segment ends that never began"
        self.segments.append((round(self._began_secs, 2), round(end_secs, 2)))
        self._began_secs = None
