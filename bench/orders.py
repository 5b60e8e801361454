"""A process that does what `bench.children` tells it.

Orders come in on stdin, one JSON object a line, answers and notes go out on stdout. When stdin
closes the process ends, whatever it is doing.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time
import traceback
from typing import Any

# What is said to the benchmark; whatever anybody prints goes to stderr.
_OUT = os.dup(1)
os.dup2(2, 1)


def note(what: str, who: str, count: int = 0) -> None:
    """Say something unasked; see `bench.children.Note`."""
    _say({"note": (what, who, time.monotonic(), count)})


def _say(line: dict[str, Any]) -> None:
    os.write(_OUT, json.dumps(line).encode() + b"\n")


async def obey(actor: object) -> None:
    """Call the methods of an actor as told, each in a task, until stdin closes."""
    # What is imported stays; to look at it again in each full collection takes 50 ms or more.
    gc.collect()
    gc.freeze()
    stdin = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin
    )
    orders = set[asyncio.Task[None]]()
    async for line in stdin:
        order = asyncio.create_task(_carry_out(actor, json.loads(line)))
        orders.add(order)
        order.add_done_callback(orders.discard)
    os._exit(1)  # the benchmark is gone, and nothing may outlive it


async def _carry_out(actor: object, said: dict[str, Any]) -> None:
    number, order = said.pop("number"), said.pop("order")
    try:
        result = None if order == "ready" else await getattr(actor, order)(**said)
        _say({"number": number, "result": result})
    except Exception:
        _say({"number": number, "error": traceback.format_exc()})


async def end(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel tasks, wait until they have ended, and forget them."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
    tasks.clear()
