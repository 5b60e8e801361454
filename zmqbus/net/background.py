"""Blocking calls off the loop, in threads that never hold up the end of the process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def run_in_daemon(function: Callable[[], T], name: str) -> T:
    """Run a function in a daemon thread and return what it returns, or raise what it raises.

    Not `asyncio.to_thread`: `asyncio.run` joins the threads of the default executor, so one lookup
    that takes half a minute would hold up the exit for as long (Z15). Cancelling leaves the thread
    to itself.

    Args:
        function: What to run.
        name: What to call the thread.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def finish(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result: T | None = None
        error: BaseException | None = None
        try:
            result = function()
        except Exception as caught:
            error = caught
        try:
            loop.call_soon_threadsafe(finish, result, error)
        except RuntimeError:  # the loop has closed: nobody waits any more
            return

    threading.Thread(target=run, name=name, daemon=True).start()
    return await future
