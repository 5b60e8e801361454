"""A child process and its sites, seen from the test."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from support.journal import TIMEOUT_SECS, Journal

_TESTS = Path(__file__).parent.parent
# What pipecat's import warns of is not what is tested; everything else is an error there too.
_WARNINGS = ["-W", "error", "-W", "ignore:'audioop' is deprecated:DeprecationWarning"]


class Child:
    """A process that runs `support.child`.

    It outlives event loops: `attached()` connects it to the running one.
    """

    def __init__(self, process: subprocess.Popen[bytes], stderr: Any) -> None:
        """Take over a process that was just started; `stderr` is the file it writes to."""
        self.process = process
        self.journals: dict[str, Journal] = {}
        self._stderr = stderr
        self._partial = b""
        self._calls: dict[int, asyncio.Future[Any]] = {}
        self._count = 0
        self._gone = asyncio.Event()
        self._ready = asyncio.Event()

    @contextmanager
    def attached(self) -> Iterator[Child]:
        """Read what the child says, on the running loop."""
        assert self.process.stdout is not None
        loop, out = asyncio.get_running_loop(), self.process.stdout.fileno()
        self._gone = asyncio.Event()
        loop.add_reader(out, self._on_readable, out)
        try:
            yield self
        finally:
            loop.remove_reader(out)

    async def call(self, op: str, **arguments: Any) -> Any:
        """Have a command done, and return its result.

        Raises:
            AssertionError: When it failed there, or did not answer in time, or the child ended.
        """
        self._count += 1
        number = self._count
        answer = self._calls[number] = asyncio.get_running_loop().create_future()
        self.say({"id": number, "op": op, **arguments})
        try:
            # A little more patience than the child has, whose complaint says more.
            return await asyncio.wait_for(answer, TIMEOUT_SECS + 5)
        except TimeoutError:
            raise AssertionError(f"No answer to {op!r}.\n{self.story()}") from None
        finally:
            del self._calls[number]

    async def started(self) -> None:
        """Wait until the child has imported everything: many at once, on few cores, take long."""
        try:
            await asyncio.wait_for(self._ready.wait(), 2 * TIMEOUT_SECS)
        except TimeoutError:
            raise AssertionError(f"The process does not start.\n{self.story()}") from None

    def say(self, command: dict[str, Any]) -> None:
        """Write a command without waiting for its answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command).encode() + b"\n")
        self.process.stdin.flush()

    async def exited(self) -> int:
        """Wait for the end of the process, and return its exit status."""
        try:
            await asyncio.wait_for(self._gone.wait(), TIMEOUT_SECS)
        except TimeoutError:
            raise AssertionError(f"The process does not end.\n{self.story()}") from None
        return self.process.wait(TIMEOUT_SECS)

    def story(self) -> str:
        """What the child wrote to stderr: the end of it, for the text of a failure."""
        self._stderr.flush()
        lines = Path(self._stderr.name).read_text(errors="replace").splitlines()
        return "\n".join([f"--- stderr of process {self.process.pid} ---", *lines[-60:]])

    def reap(self) -> None:
        """Kill the process where it still lives, and leave nothing of it."""
        self.process.kill()
        with self.process:  # closes the pipes and waits
            pass
        self._stderr.close()

    def _on_readable(self, out: int) -> None:
        chunk = os.read(out, 1 << 16)
        if not chunk:
            self._on_end(out)
        *lines, self._partial = (self._partial + chunk).split(b"\n")
        for line in lines:
            self._on_event(json.loads(line))

    def _on_end(self, out: int) -> None:
        asyncio.get_running_loop().remove_reader(out)
        self._gone.set()
        self._ready.set()  # whoever waits for it learns more from its first call
        for call in self._calls.values():
            if not call.done():
                call.set_exception(AssertionError(f"The process ended.\n{self.story()}"))

    def _on_event(self, event: dict[str, Any]) -> None:
        if "note" in event:
            if event["site"] in self.journals:
                self.journals[event["site"]].add(*event["note"])
        elif "ready" in event:
            self._ready.set()
        elif event.get("re") in self._calls:
            call = self._calls[event["re"]]
            if "error" in event:
                call.set_exception(AssertionError(f"{event['error']}\n{self.story()}"))
            else:
                call.set_result(event["result"])


class RemoteSite:
    """A site in a child: speaks like `Site`, except that workers stay there."""

    def __init__(self, child: Child, site: str) -> None:
        """Make the near end of the site called `site`."""
        self.child = child
        self.site = site
        self.journal = child.journals[site] = Journal()

    async def open(self, runner: str, transport: str = "zmq", **options: Any) -> None:
        """Start a runner there; the options are those of `support.child`."""
        await self.child.call("open", site=self.site, runner=runner, transport=transport, **options)

    async def host(self, kind: str, name: str, **options: Any) -> None:
        """Add a worker there."""
        await self.child.call("host", site=self.site, kind=kind, name=name, **options)

    async def call(self, worker: str, method: str, **arguments: Any) -> Any:
        """Call a worker there, or the bus (``worker=""``)."""
        return await self.child.call(
            "call", site=self.site, worker=worker, method=method, **arguments
        )

    async def rekey(self, change: str, key: str) -> None:
        """Make a change to the keys of the bus there."""
        await self.child.call("rekey", site=self.site, change=change, key=key)

    async def knows(self, *names: str) -> None:
        """Wait until these workers are in the registry there."""
        await self.child.call("knows", site=self.site, names=names)

    async def finished(self) -> None:
        """Wait until the runner there has ended by itself."""
        await self.child.call("finished", site=self.site)

    async def close(self) -> None:
        """End the runner there."""
        await self.child.call("close", site=self.site)


def start_child(prefix: Sequence[str] = (), **environment: str) -> Child:
    """Start a child, if need be by a command that starts another; the caller reaps it."""
    path = os.pathsep.join([str(_TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
    stderr = tempfile.NamedTemporaryFile(prefix="child-")  # noqa: SIM115 (reap() closes it)
    process = subprocess.Popen(
        [*prefix, sys.executable, *_WARNINGS, "-m", "support.child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        env={**os.environ, "PYTHONPATH": path, **environment},
    )
    return Child(process, stderr)


@asynccontextmanager
async def spawn(count: int = 1, **environment: str) -> AsyncIterator[list[Child]]:
    """Run child processes, started together; whatever happens, they are killed and reaped."""
    async with tended([start_child(**environment) for _ in range(count)]) as children:
        yield children


@asynccontextmanager
async def tended(children: list[Child]) -> AsyncIterator[list[Child]]:
    """Attach to children when they have started; whatever happens, they are killed and reaped."""
    try:
        with _all_attached(children):
            await asyncio.gather(*(child.started() for child in children))
            yield children
    except AssertionError as error:
        for child in children:
            error.add_note(child.story())
        raise
    finally:
        for child in children:
            child.reap()


@contextmanager
def _all_attached(children: list[Child]) -> Iterator[None]:
    if not children:
        yield
        return
    with children[0].attached(), _all_attached(children[1:]):
        yield
