"""Readiness of descriptors, with and without the loop's help."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Coroutine
from typing import Any

import pytest
from support.net_ends import TIMEOUT_SECS, Ends

from zmqbus.net.readiness import Readiness


class LoopWithoutReaders(asyncio.SelectorEventLoop):
    """Stands in for Windows' Proactor loop (Z17)."""

    def add_reader(self, *_: Any) -> None:  # type: ignore[override]
        """Refuse."""
        raise NotImplementedError


LOOPS = [asyncio.SelectorEventLoop, LoopWithoutReaders]
each_loop = pytest.mark.parametrize("new_loop", LOOPS)


def run(new_loop: type[asyncio.SelectorEventLoop], main: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine on a loop of a kind, and check that no thread is left."""
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main)
    assert not [t for t in threading.enumerate() if t.name == "zmqbus-poller"]


@each_loop
def test_callback_comes_for_each_arrival(new_loop: type[asyncio.SelectorEventLoop]) -> None:
    """A descriptor is reported again after its callback has run, and not once it is unwatched."""

    async def main() -> None:
        readiness = Readiness(asyncio.get_running_loop())
        here, there = socket.socketpair()
        here.setblocking(False)
        got: asyncio.Queue[bytes] = asyncio.Queue()
        readiness.watch(here.fileno(), lambda: got.put_nowait(here.recv(10)))
        for sent in (b"one", b"two", b"three"):
            there.send(sent)
            assert await asyncio.wait_for(got.get(), TIMEOUT_SECS) == sent
        readiness.unwatch(here.fileno())
        readiness.unwatch(here.fileno())
        there.send(b"unwatched")
        other, far = socket.socketpair()
        with other, far:
            seen = asyncio.Event()
            readiness.watch(other.fileno(), seen.set)
            far.send(b"x")
            await asyncio.wait_for(seen.wait(), TIMEOUT_SECS)
            readiness.close()
        assert got.empty()
        here.close()
        there.close()

    run(new_loop, main())


@each_loop
def test_callback_that_raises_is_called_again(new_loop: type[asyncio.SelectorEventLoop]) -> None:
    """An error in a callback goes to the loop's handler of errors, not to the thread."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        errors: asyncio.Queue[object] = asyncio.Queue()
        loop.set_exception_handler(lambda _, context: errors.put_nowait(context["exception"]))
        readiness = Readiness(loop)
        here, there = socket.socketpair()
        here.setblocking(False)
        with here, there:

            def fail() -> None:
                here.recv(1)
                raise LookupError

            readiness.watch(here.fileno(), fail)
            there.send(b"ab")
            for _ in range(2):
                error = await asyncio.wait_for(errors.get(), TIMEOUT_SECS)
                assert isinstance(error, LookupError)
            readiness.close()

    run(new_loop, main())


@each_loop
def test_transports_work_on_either_loop(new_loop: type[asyncio.SelectorEventLoop]) -> None:
    """Links, frames on both planes and the end, with a loop that has no readers too (Z17)."""

    async def main() -> None:
        ends = Ends()
        a, b = await ends.open(), await ends.open()
        await a.dial(1, b)
        await a.read(b, b"t")
        for _ in range(2_000):
            a.transport.send(1, b"s")
            b.transport.publish(b"t")
        await b.told.until(lambda: len(b.told.system) == 2_000)
        await a.told.until(lambda: len(a.told.data) == 2_000)
        a.transport.hangup(1)
        await ends.close()

    run(new_loop, main())


def test_loop_that_closed_first_is_no_error() -> None:
    """A loop may be gone before its transport is: the thread ends, nothing raises."""
    loop = LoopWithoutReaders()
    readiness = Readiness(loop)
    here, there = socket.socketpair()
    with here, there:
        readiness.watch(here.fileno(), lambda: None)
        loop.close()
        there.send(b"x")
        for thread in threading.enumerate():
            if thread.name == "zmqbus-poller":
                thread.join(TIMEOUT_SECS)
                assert not thread.is_alive()
        readiness.close()
