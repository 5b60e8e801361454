"""A speech recording as 16 kHz mono 16-bit PCM, whatever the WAV file held."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soxr  # type: ignore[import-untyped]
from numpy.typing import NDArray

from zmqbus.errors import ConfigError

SAMPLE_RATE = 16_000
FRAME_SECS = 0.02
FRAME_BYTES = int(SAMPLE_RATE * FRAME_SECS) * 2

# An hour is 115 MB in each of two processes; beyond it the demo would be a test of memory.
MAX_RECORDING_SECS = 3_600

SPEECH_DIR = Path(__file__).parent / "speech"
DEFAULT_RECORDING = SPEECH_DIR / "austen-0870.wav"

# What is really said in the recordings that ship, to judge the recognizer by.
REFERENCES = {
    "austen-0870.wav": "and mister john dashwood had then leisure to consider how much there might "
    "be prudently in his power to do for them",
    "austen-0920.wav": "had he married a more amiable woman he might have been made still more "
    "respectable than he was",
}

_EXTENSIBLE = 0xFFFE


class _Format(NamedTuple):
    tag: int
    channels: int
    rate: int
    bits: int


@dataclass(frozen=True)
class Recording:
    """Speech, ready to be streamed.

    Parameters:
        path: The file it came from.
        pcm: 16 kHz mono 16-bit little-endian samples.
    """

    path: Path
    pcm: bytes

    @property
    def secs(self) -> float:
        """Its length in seconds."""
        return len(self.pcm) / 2 / SAMPLE_RATE

    @property
    def frames_count(self) -> int:
        """How many 20 ms frames it makes, the last one filled up with silence."""
        return -(-len(self.pcm) // FRAME_BYTES)

    @property
    def reference(self) -> str | None:
        """The words really said, known only of the recordings that ship."""
        ours = self.path.resolve().parent == SPEECH_DIR.resolve()
        return REFERENCES.get(self.path.name) if ours else None

    def frames(self) -> Iterator[bytes]:
        """Cut the recording into frames of 20 ms."""
        for start in range(0, len(self.pcm), FRAME_BYTES):
            yield self.pcm[start : start + FRAME_BYTES].ljust(FRAME_BYTES, b"\0")


def load_recording(path: Path) -> Recording:
    """Read a WAV file of any rate, channel count and sample width.

    Args:
        path: The file.

    Returns:
        The recording, mixed to one channel and resampled to 16 kHz.

    Raises:
        ConfigError: If the file cannot be read or holds no sound that we understand.
    """
    try:
        wave_format, data = _parse(path.read_bytes())
        samples = _samples(wave_format, data)
    except OSError as error:
        raise _unreadable(path, (error.strerror or str(error)).lower()) from error
    except ValueError as error:
        raise _unreadable(path, str(error)) from error
    except struct.error as error:
        raise _unreadable(path, "its header is cut short") from error
    mono = samples.reshape(-1, wave_format.channels).mean(axis=1, dtype=np.float32)
    if wave_format.rate != SAMPLE_RATE:
        mono = soxr.resample(mono, wave_format.rate, SAMPLE_RATE)
    pcm = np.clip(np.rint(mono * 32768.0), -32768, 32767).astype("<i2").tobytes()
    if not pcm:
        raise _unreadable(path, "it holds no sound")
    return Recording(path, pcm)


def _unreadable(path: Path, reason: str) -> ConfigError:
    remedy = "give a WAV file with PCM or float samples"
    return ConfigError("--wav", str(path), reason, remedy)


def _parse(raw: bytes) -> tuple[_Format, bytes]:
    """Find the format and the samples among the chunks of a RIFF file."""
    if raw[:4] != b"RIFF" or raw[8:12] != b"WAVE":
        raise ValueError("it is not a WAV file")
    wave_format = None
    at = 12
    while at + 8 <= len(raw):
        name, size = struct.unpack_from("<4sI", raw, at)
        body = raw[at + 8 : at + 8 + size]  # a streamed file promises more than it holds
        if name == b"fmt ":
            wave_format = _parse_format(body)
        elif name == b"data" and wave_format is not None:
            return wave_format, body
        at += 8 + size + size % 2
    raise ValueError("it ends before its sound begins")


def _parse_format(body: bytes) -> _Format:
    tag, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", body)
    if tag == _EXTENSIBLE:
        (tag,) = struct.unpack_from("<H", body, 24)
    if not channels or not rate:
        raise ValueError(f"its header says {channels} channels at {rate} Hz")
    return _Format(tag, channels, rate, bits)


def _samples(wave_format: _Format, data: bytes) -> NDArray[np.float32]:
    """Turn the bytes of a data chunk into numbers from -1 to 1."""
    width = wave_format.bits // 8
    data = data[: len(data) - len(data) % max(1, width * wave_format.channels)]
    if len(data) > MAX_RECORDING_SECS * wave_format.rate * wave_format.channels * width:
        raise ValueError(f"it is longer than {MAX_RECORDING_SECS:,} seconds")
    match wave_format.tag, wave_format.bits:
        case _ if not data:
            return np.zeros(0, np.float32)
        case (1, 8):
            return (np.frombuffer(data, "u1").astype(np.float32) - 128.0) / 128.0
        case (1, 24):
            padded = np.zeros((len(data) // 3, 4), "u1")
            padded[:, 1:] = np.frombuffer(data, "u1").reshape(-1, 3)
            return padded.view("<i4").reshape(-1).astype(np.float32) / 2.0**31
        case (1, 16 | 32):
            scale = 2.0 ** (wave_format.bits - 1)
            return np.frombuffer(data, f"<i{width}").astype(np.float32) / np.float32(scale)
        case (3, 32 | 64):
            return np.nan_to_num(np.frombuffer(data, f"<f{width}").astype(np.float32))
    raise ValueError(f"it has {wave_format.bits}-bit samples of format {wave_format.tag}")
