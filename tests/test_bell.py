"""Waiting for news and for one's turn."""

from __future__ import annotations

import asyncio

from zmqbus.bell import Bell, Turnstile


async def test_ring_wakes_everybody_who_waits() -> None:
    """All who wait when it rings are woken, and nobody who comes later."""
    bell = Bell()
    waiting = [asyncio.create_task(bell.wait(None)) for _ in range(3)]
    await asyncio.sleep(0)
    bell.ring()
    assert await asyncio.gather(*waiting) == [True, True, True]
    assert await bell.wait(0.001) is False


async def test_waiter_that_is_cancelled_is_forgotten() -> None:
    """A cancelled waiter leaves nothing behind, and the others still wake."""
    bell = Bell()
    gone, waiting = asyncio.create_task(bell.wait(None)), asyncio.create_task(bell.wait(None))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.wait([gone])
    assert len(bell._waiters) == 1
    bell.ring()
    assert await waiting is True


def test_bell_and_turnstile_serve_one_loop_after_the_other() -> None:
    """Made outside of any loop, each works in several in a row, under contention too (Z38)."""
    bell, turnstile = Bell(), Turnstile()

    async def contend() -> list[str]:
        steps = []

        async def enter(name: str) -> None:
            async with turnstile():
                steps.append(f"{name} in")
                await asyncio.sleep(0)
                steps.append(f"{name} out")

        waiting = asyncio.create_task(bell.wait(None))
        await asyncio.gather(enter("x"), enter("y"))
        bell.ring()
        assert await waiting
        return steps

    for _ in range(3):
        assert asyncio.run(contend()) == ["x in", "x out", "y in", "y out"]
