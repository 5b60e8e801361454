"""Processes that a benchmark starts, gives orders and listens to: `Child`, for `bench.orders`."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zmqbus.bell import Bell

ROOT = Path(__file__).parent.parent
"""Where `bench` is found from."""
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_MOST_LINE_BYTES = 2**24
MOST_SECS = 60.0
"""How long any order may take, and an interpreter to start on a busy machine."""


@dataclass(frozen=True)
class Note:
    """Something a child says by itself.

    Parameters:
        what: Of what kind.
        who: Whom it is about.
        at: When, by `time.monotonic`, which all processes of a machine share.
        count: How many, where that makes sense.
    """

    what: str
    who: str
    at: float
    count: int = 0


class Child:
    """A process that obeys `bench.orders`, seen from the benchmark.

    Parameters:
        process: The process.
        notes: What it has said by itself.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.notes: list[Note] = []
        self._bell = Bell()
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._reading = asyncio.create_task(self._read())

    async def call(self, order: str, /, **arguments: Any) -> Any:
        """Give an order and wait until it is carried out; returns the result.

        Raises:
            RuntimeError: It failed there, or the process has ended.
        """
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        line = json.dumps({"number": number, "order": order, **arguments})
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        return await asyncio.wait_for(answer, MOST_SECS + arguments.get("secs", 0.0))

    async def noted(self, what: str, who: str, after: float, most_secs: float = 30.0) -> float:
        """When it says that something has happened; infinite if it does not say so in time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(most_secs):
                while not (found := self.said(what, after, who)):
                    await self._bell.wait(None)
                return found[0].at
        return float("inf")

    def said(self, what: str, after: float, who: str | None = None) -> list[Note]:
        """What it has said of one kind since a time, about somebody or anybody."""
        fits = (n for n in self.notes if n.what == what and n.at >= after)
        return [n for n in fits if who is None or n.who == who]

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def rss_bytes(self) -> int:
        """How much memory it has in use."""
        with open(f"/proc/{self.process.pid}/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * _PAGE_BYTES

    async def end(self) -> None:
        """Kill it, and leave nothing behind."""
        with suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()
        await self._reading

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self._take(json.loads(line))
            self._bell.ring()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(RuntimeError("the process has ended; its error stands above"))

    def _take(self, said: dict[str, Any]) -> None:
        if "note" in said:
            self.notes.append(Note(*said["note"]))
            return
        answer = self._answers.pop(said["number"])
        if answer.done():
            return
        if "error" in said:
            answer.set_exception(RuntimeError(said["error"]))
        else:
            answer.set_result(said["result"])


@asynccontextmanager
async def child(
    prefix: Sequence[str] = (), command: Sequence[str] = ("bench.member",)
) -> AsyncIterator[Child]:
    """A process, ready for orders; whatever happens, it is killed in the end.

    Args:
        prefix: A command that runs it somewhere else; see `bench.lan`.
        command: The module that it runs, and its arguments.
    """
    process = await asyncio.create_subprocess_exec(
        *(*prefix, sys.executable, "-m", *command),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "LOGURU_LEVEL": "ERROR"},  # pipecat greets everybody who imports it
        limit=_MOST_LINE_BYTES,
        start_new_session=True,  # Ctrl-C is for the benchmark, which then ends its children
    )
    new = Child(process)
    try:
        await new.call("ready")
        yield new
    finally:
        await new.end()
