"""Waiting for news: whoever waits is woken whenever something has happened, and looks again."""

from __future__ import annotations

import asyncio


class Bell:
    """Wakes all who wait. Bound to no loop until somebody does (Z38)."""

    def __init__(self) -> None:
        self._waiters: list[asyncio.Future[None]] = []

    def ring(self) -> None:
        """Wake everybody who waits now."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self, timeout_secs: float | None) -> bool:
        """Wait for the next ring; False if the time was over first."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(timeout_secs):
                await waiter
        except TimeoutError:
            return False
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
        return True
