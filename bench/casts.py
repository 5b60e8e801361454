"""Stations of one kind of bus that can hear each other, and how they are measured."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from bench import buses
from bench.children import Child, child

_ALL = "all"


@dataclass(frozen=True)
class Part:
    """What a station is for.

    Parameters:
        counters: Its subscribers that count.
        clocks: Its subscribers that look at how late messages are.
        runner: Whether it has a runner, and no subscribers of its own.
    """

    counters: tuple[str, ...] = ()
    clocks: tuple[str, ...] = ()
    runner: bool = False


@asynccontextmanager
async def cast(kind: str, parts: dict[str, Part]) -> AsyncIterator[dict[str, Child]]:
    """Stations, one a process, by name; for the queue one process with all their subscribers.

    Raises:
        MissingError: The bus cannot be measured here.
    """
    with buses.server(kind) as address:
        async with AsyncExitStack() as stack:
            playing = _together(parts) if kind == "queue" else parts
            channel = f"bench-{uuid.uuid4().hex[:8]}"
            async with asyncio.TaskGroup() as group:
                starting = {
                    name: group.create_task(
                        stack.enter_async_context(child(command=("bench.station", kind, name)))
                    )
                    for name in playing
                }
            stations = {name: task.result() for name, task in starting.items()}
            for name, part in playing.items():
                arguments = {k: v for k, v in vars(part).items() if v}
                await stations[name].call("open", channel=channel, address=address, **arguments)
            yield {name: stations.get(name) or stations[_ALL] for name in parts}


def _together(parts: dict[str, Part]) -> dict[str, Part]:
    counters = tuple(name for part in parts.values() for name in part.counters)
    clocks = tuple(name for part in parts.values() for name in part.clocks)
    return {_ALL: Part(counters, clocks, any(part.runner for part in parts.values()))}


async def meet(
    stations: dict[str, Child], speakers: Sequence[str], listeners: Sequence[str]
) -> None:
    """Wait until the listeners hear the speakers."""
    for name in speakers:
        await stations[name].call("greet", name=name)
    await asyncio.gather(*(stations[name].call("hears", names=speakers) for name in listeners))
    for name in speakers:
        await stations[name].call("rest")
