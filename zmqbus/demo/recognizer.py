"""PocketSphinx in a process of its own.

The decoder holds the interpreter's lock for up to a quarter of a second at a time, so a thread
would stall the listener's event loop, and the times measured there with it. The child reads
chunks of PCM, each behind its length, from standard input, and answers each with one line of
JSON: the text of the utterance so far, and whether it is complete. A chunk of length 0 ends an
utterance; the end of the input ends the process, so it never outlives the listener.
"""

from __future__ import annotations

import asyncio
import json
import struct
import sys
from collections.abc import AsyncIterator
from importlib.util import find_spec
from typing import BinaryIO

from zmqbus.demo.recording import SAMPLE_RATE

_LENGTH = struct.Struct("<I")

# The decoder adapts to the voice call by call, so its text depends on how the sound is cut: always
# the same 100 ms, however the frames arrived.
CHUNK_BYTES = SAMPLE_RATE // 10 * 2


def is_available() -> bool:
    """Whether PocketSphinx is installed (the extra `demo`)."""
    return find_spec("pocketsphinx") is not None


class Recognizer:
    """The listener's end: hears PCM, says what it understood."""

    def __init__(self) -> None:
        self._child: asyncio.subprocess.Process | None = None
        self._pending = bytearray()

    async def start(self) -> None:
        """Start the child; it ends with `stop()`, or with this process."""
        command = (sys.executable, "-m", "zmqbus.demo", "recognizer")
        pipe = asyncio.subprocess.PIPE
        self._child = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)

    async def stop(self) -> None:
        """Close the child's input and wait for it to end."""
        if self._child is not None:
            self._input.close()
            await self._child.wait()

    async def hear(self, pcm: bytes) -> None:
        """Pass sound on; waits while the decoder is behind."""
        self._pending += pcm
        while len(self._pending) >= CHUNK_BYTES:
            await self._write(bytes(self._pending[:CHUNK_BYTES]))
            del self._pending[:CHUNK_BYTES]

    async def end_utterance(self) -> None:
        """Have the sound so far decided on."""
        if self._pending:
            await self._write(bytes(self._pending))
            self._pending.clear()
        await self._write(b"")

    async def finish(self) -> None:
        """Say that no more sound comes: `texts()` ends after what is left."""
        await self.end_utterance()
        self._input.close()

    async def texts(self) -> AsyncIterator[tuple[str, bool]]:
        """What is understood, as it changes: the utterance so far, and whether it is complete."""
        assert self._child is not None, "start() first"
        assert self._child.stdout is not None, "the child was started with a pipe"
        async for line in self._child.stdout:
            text, complete = json.loads(line)
            yield text, complete

    @property
    def _input(self) -> asyncio.StreamWriter:
        assert self._child is not None, "start() first"
        assert self._child.stdin is not None, "the child was started with a pipe"
        return self._child.stdin

    async def _write(self, chunk: bytes) -> None:
        self._input.write(_LENGTH.pack(len(chunk)) + chunk)
        await self._input.drain()


def run_decoder(source: BinaryIO) -> None:
    """The child: decode until the input ends.

    Args:
        source: Where the chunks come from.
    """
    from pocketsphinx import Decoder

    decoder = Decoder(samprate=SAMPLE_RATE, loglevel="FATAL")
    decoder.start_utt()
    text = ""
    while head := source.read(_LENGTH.size):
        chunk = source.read(*_LENGTH.unpack(head))
        if chunk:
            decoder.process_raw(chunk)
        else:
            decoder.end_utt()
        hypothesis = decoder.hyp()
        heard = hypothesis.hypstr if hypothesis else ""
        if heard != text or not chunk:
            text = heard
            sys.stdout.write(json.dumps([text, not chunk]) + "\n")
            sys.stdout.flush()
        if not chunk:
            decoder.start_utt()
            text = ""
