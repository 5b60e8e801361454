"""The demo's other processes: started in sessions of their own, and never left behind.

A child ends when the session on the bus ends. Failing that, its standard input closes, because
the parent closed it or was killed, and `end_with_parent()` ends it. Failing even that, the parent
kills its process group.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
import threading
import time
from contextlib import suppress
from typing import IO

# A runner takes some tenths of a second to leave; twice what `end_with_parent` grants is a bug.
GRACE_SECS = 3.0

_LOG_TAIL_CHARS = 2_000


def end_with_parent() -> None:
    """In a child: end this process when its standard input closes."""

    def watch() -> None:
        while os.read(0, 1024):
            pass
        os.kill(os.getpid(), signal.SIGTERM)  # the runner's handler, once there is one
        time.sleep(GRACE_SECS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class Child:
    """One process of the demo.

    Args:
        role: What it is, the first argument of ``python -m zmqbus.demo``.
        arguments: The rest of them.
        verbose: Let its log through; otherwise it is kept for `failure()`.
    """

    def __init__(self, role: str, *arguments: str, verbose: bool = False) -> None:
        self.role = role
        self._arguments = (*arguments, "--verbose") if verbose else arguments
        self._log: IO[bytes] | None = None
        self._verbose = verbose
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start the process; `stop()` has to follow."""
        if not self._verbose:
            self._log = tempfile.TemporaryFile()  # noqa: SIM115 (closed by stop)
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "zmqbus.demo", self.role, *self._arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=self._log or sys.stderr,
            stderr=self._log or sys.stderr,
            start_new_session=True,
        )

    async def wait(self) -> int:
        """Wait for the process to end by itself, and return its exit status."""
        assert self._process is not None, "start() first"
        return await self._process.wait()

    def kill(self) -> None:
        """Kill the process with SIGKILL, and leave whatever it started to itself."""
        assert self._process is not None, "start() first"
        self._process.kill()

    async def stop(self, graceful: bool) -> None:
        """See the process end, by force if it has to be.

        Args:
            graceful: The session on the bus has ended, so it should leave by itself.
        """
        if self._process is None:
            return
        try:
            if graceful:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.wait(), GRACE_SECS)
            assert self._process.stdin is not None, "it was started with a pipe"
            self._process.stdin.close()
            with suppress(TimeoutError):
                await asyncio.wait_for(self.wait(), 2 * GRACE_SECS)
        finally:
            with suppress(ProcessLookupError):  # the usual case: all gone
                os.killpg(self._process.pid, signal.SIGKILL)
            await self.wait()
            if self._log is not None:
                self._log.close()

    def failure(self) -> str:
        """What the process said last, for a report that it ended too early."""
        said = b""
        if self._log is not None and not self._log.closed:
            self._log.seek(0)
            said = self._log.read()
        words = said.decode(errors="replace").strip()[-_LOG_TAIL_CHARS:]
        return f"The {self.role} process ended too early. {words}".strip()
