"""When to send: flat out or at a rate, for a while or for ever."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

Send = Callable[[int], Awaitable[None]]
"""Sends the message of a number."""
_TURN_MSGS = 64
"""After how many messages every sender gives its loop a turn; one bus does so by itself."""


async def send(one: Send, secs: float, per_sec: float | None) -> int:
    """Send for a while, flat out or so many a second; returns how many."""
    due = time.monotonic()
    until, number = due + secs, 0
    while time.monotonic() < until:
        await one(number)
        number += 1
        if per_sec:
            due += 1 / per_sec
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        elif number % _TURN_MSGS == 0:
            await asyncio.sleep(0)
    return number


async def flow(one: Send, every_secs: float) -> None:
    """Send at a rate until cancelled."""
    while True:
        await send(one, 3600.0, 1 / every_secs)
