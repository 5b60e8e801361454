"""`load_recording`: whatever a WAV file holds becomes 16 kHz mono 16-bit PCM, or one sentence."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from zmqbus.demo.recording import (
    DEFAULT_RECORDING,
    FRAME_BYTES,
    MAX_RECORDING_SECS,
    REFERENCES,
    SAMPLE_RATE,
    SPEECH_DIR,
    load_recording,
)
from zmqbus.errors import ConfigError

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE


def wav_bytes(
    data: bytes, *, tag: int = PCM, channels: int = 1, rate: int = SAMPLE_RATE, bits: int = 16
) -> bytes:
    """Build a WAV file by hand, also such as the `wave` module cannot write."""
    width = bits // 8 * channels
    body = struct.pack("<HHIIHH", tag, channels, rate, rate * width, width, bits)
    if tag == EXTENSIBLE:
        body += struct.pack("<HHIH14s", 22, bits, 0, PCM, bytes(14))
    chunks = b"LIST" + struct.pack("<I", 3) + b"odd\0"
    chunks += b"fmt " + struct.pack("<I", len(body)) + body
    chunks += b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def ramp(values: NDArray[np.float64], bits: int, tag: int) -> bytes:
    """The samples, from -1 to 1, in the form that a file holds them."""
    if tag == FLOAT:
        return values.astype(f"<f{bits // 8}").tobytes()
    if bits == 8:
        return (values * 127 + 128).astype("u1").tobytes()
    if bits == 24:
        wide = (values * (2**31 - 256)).astype("<i4").view("u1").reshape(-1, 4)
        return wide[:, 1:].tobytes()
    return (values * (2.0 ** (bits - 1) - 1)).astype(f"<i{bits // 8}").tobytes()


@pytest.mark.parametrize(
    ("bits", "tag"),
    [(8, PCM), (16, PCM), (24, PCM), (32, PCM), (32, FLOAT), (64, FLOAT), (24, EXTENSIBLE)],
)
def test_any_sample_width_gives_the_same_sound(tmp_path: Path, bits: int, tag: int) -> None:
    """Every width comes out as the same 16-bit samples, up to its own rounding."""
    path = tmp_path / "ramp.wav"
    values = np.linspace(-0.9, 0.9, 1_000)
    path.write_bytes(wav_bytes(ramp(values, bits, tag), bits=bits, tag=tag))

    heard = np.frombuffer(load_recording(path).pcm, "<i2") / 32768

    assert np.abs(heard - values).max() < (0.02 if bits == 8 else 0.0002)


@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_any_rate_and_channel_count_keeps_length_and_pitch(
    tmp_path: Path, rate: int, channels: int
) -> None:
    """One second of a tone stays one second of that tone."""
    path = tmp_path / "tone.wav"
    tone = np.sin(2 * np.pi * 440 * np.arange(rate) / rate) * 0.5
    data = ramp(np.repeat(tone, channels), 16, PCM)
    path.write_bytes(wav_bytes(data, rate=rate, channels=channels))

    recording = load_recording(path)

    spectrum = np.abs(np.fft.rfft(np.frombuffer(recording.pcm, "<i2").astype(float)))
    assert recording.secs == pytest.approx(1.0, abs=0.01)
    assert spectrum.argmax() * SAMPLE_RATE / (len(recording.pcm) / 2) == pytest.approx(440, abs=2)


def test_a_header_that_promises_too_much_yields_what_is_there(tmp_path: Path) -> None:
    """A file that was streamed says 0xFFFFFFFF; its sound is read to the end of the file."""
    path = tmp_path / "streamed.wav"
    raw = wav_bytes(bytes(FRAME_BYTES * 2))
    path.write_bytes(raw.replace(b"data" + struct.pack("<I", 1280), b"data\xff\xff\xff\xff"))

    assert load_recording(path).frames_count == 2


def test_a_last_frame_that_is_short_is_filled_with_silence(tmp_path: Path) -> None:
    """All frames are 20 ms long, whatever the length of the recording."""
    path = tmp_path / "short.wav"
    path.write_bytes(wav_bytes(b"\1\1" * (FRAME_BYTES // 2 + 1)))

    frames = list(load_recording(path).frames())

    assert [len(frame) for frame in frames] == [FRAME_BYTES, FRAME_BYTES]
    assert frames[1] == b"\1\1".ljust(FRAME_BYTES, b"\0")


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (None, "no such file or directory"),
        (b"", "it is not a WAV file"),
        (b"OggS" + bytes(100), "it is not a WAV file"),
        (wav_bytes(b"")[:30], "it ends before its sound begins"),
        (wav_bytes(b"")[:40], "its header is cut short"),
        (wav_bytes(b""), "it holds no sound"),
        (wav_bytes(bytes(640), channels=0), "its header says 0 channels at 16000 Hz"),
        (wav_bytes(bytes(640), rate=0), "its header says 1 channels at 0 Hz"),
        (wav_bytes(bytes(640), tag=85, bits=16), "it has 16-bit samples of format 85"),
        (wav_bytes(bytes(640), bits=12), "it has 12-bit samples of format 1"),
        (
            wav_bytes(bytes(MAX_RECORDING_SECS + 1), rate=1, bits=8),
            "it is longer than 3,600 seconds",
        ),
    ],
)
def test_a_file_that_cannot_be_played_is_one_sentence(
    tmp_path: Path, raw: bytes | None, reason: str
) -> None:
    """The error names the file, the reason and the way out."""
    path = tmp_path / "odd.wav"
    if raw is not None:
        path.write_bytes(raw)

    with pytest.raises(ConfigError) as caught:
        load_recording(path)

    remedy = "give a WAV file with PCM or float samples"
    assert str(caught.value) == f"--wav={str(path)!r}: {reason}; {remedy}."


def test_a_directory_is_one_sentence_too(tmp_path: Path) -> None:
    """Whatever the system refuses is told in its words."""
    with pytest.raises(ConfigError, match="is a directory"):
        load_recording(tmp_path)


def test_recordings_that_ship_have_words_and_credit() -> None:
    """Each recording in the package loads, has its reference, and is named in the credit."""
    shipped = sorted(path.name for path in SPEECH_DIR.glob("*.wav"))

    assert shipped == sorted(REFERENCES)
    assert DEFAULT_RECORDING.name in shipped
    for name in shipped:
        assert load_recording(SPEECH_DIR / name).reference == REFERENCES[name]
        assert name in (SPEECH_DIR / "README.md").read_text()
    assert "LibriVox" in (SPEECH_DIR / "README.md").read_text()


def test_a_foreign_file_of_the_same_name_has_no_reference(tmp_path: Path) -> None:
    """The words are known of the shipped files, not of their names."""
    path = tmp_path / DEFAULT_RECORDING.name
    path.write_bytes(DEFAULT_RECORDING.read_bytes())

    assert load_recording(path).reference is None
