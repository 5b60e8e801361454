"""The recognizer: text grows while it hears, and its process ends with its input."""

from __future__ import annotations

import pytest

from zmqbus.demo.recognizer import Recognizer, is_available
from zmqbus.demo.recording import SPEECH_DIR, load_recording
from zmqbus.demo.summary import word_errors

needs_pocketsphinx = pytest.mark.skipif(not is_available(), reason="the extra demo is missing")


@needs_pocketsphinx
async def test_speech_becomes_text_that_grows_and_completes() -> None:
    """Partial texts come first, then the complete one, close to what was said."""
    recording = load_recording(SPEECH_DIR / "austen-0920.wav")
    recognizer = Recognizer()
    await recognizer.start()
    try:
        for pcm in recording.frames():
            await recognizer.hear(pcm)
        await recognizer.finish()
        texts = [answer async for answer in recognizer.texts()]
    finally:
        await recognizer.stop()

    assert recording.reference is not None
    text, complete = texts[-1]
    assert complete
    assert [done for _, done in texts[:-1]] == [False] * (len(texts) - 1)
    assert len(texts) > 3
    assert word_errors(recording.reference.split(), text.split()) < 6


@needs_pocketsphinx
async def test_stop_without_a_word_ends_the_process() -> None:
    """A recognizer that heard nothing is gone after `stop()`."""
    recognizer = Recognizer()
    await recognizer.start()
    await recognizer.stop()

    assert [answer async for answer in recognizer.texts()] == []
