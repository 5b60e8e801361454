"""Buses that meet on loopback in one process, their inboxes, and a check for what they leave."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from loguru import logger
from pipecat.bus import BusJobUpdateUrgentMessage, BusMessage, BusSubscriber, BusSystemMessage
from pipecat.bus.messages import BusTTSSpeakMessage
from pipecat.utils.asyncio.task_manager import TaskManager, TaskManagerParams

from support.journal import TIMEOUT_SECS
from zmqbus import ZmqBus
from zmqbus.bell import Bell


def data(number: int | str, source: str = "a", target: str | None = None) -> BusMessage:
    """A small data message."""
    return BusTTSSpeakMessage(source=source, target=target, text=str(number))


def urgent(number: int, source: str = "a", target: str | None = None) -> BusMessage:
    """A small system message."""
    return BusJobUpdateUrgentMessage(
        source=source, target=target, job_id=str(number), update={"n": number}
    )


class Inbox(BusSubscriber):
    """A subscriber that keeps what it gets; it can be held up, for data only."""

    def __init__(self, name: str) -> None:
        """Make it, empty."""
        self._name = name
        self.messages: list[BusMessage] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.on_message: Callable[[BusMessage], Any] = lambda message: None
        self._bell = Bell()

    @property
    def name(self) -> str:
        """What it can be targeted by."""
        return self._name

    async def on_bus_message(self, message: BusMessage) -> None:
        """Keep it."""
        if not isinstance(message, BusSystemMessage):
            await self.gate.wait()
        self.messages.append(message)
        self._bell.ring()
        result = self.on_message(message)
        if asyncio.iscoroutine(result):
            await result

    @property
    def texts(self) -> list[str]:
        """What the data messages say, in order."""
        return [m.text for m in self.messages if isinstance(m, BusTTSSpeakMessage)]

    async def wait(self, count: int = 1) -> list[BusMessage]:
        """Wait until there are so many messages; returns all."""
        async with asyncio.timeout(TIMEOUT_SECS):
            while len(self.messages) < count:
                await self._bell.wait(None)
        return self.messages


class Mesh:
    """Buses of one random channel."""

    def __init__(self) -> None:
        """Make none yet."""
        self.channel = uuid.uuid4().hex
        self.buses: list[ZmqBus] = []

    async def make(self, *inboxes: Inbox, start: bool = True, **options: Any) -> ZmqBus:
        """Make a bus that knows the first one as its seed, and start it."""
        if "node" not in options:
            options.setdefault("discovery", ())
            options.setdefault("peers", [b.endpoint for b in self.buses[:1] if started(b)])
        options.setdefault("channel", self.channel)
        bus = ZmqBus(**options)
        await bus.setup(task_manager())
        self.buses.append(bus)
        for inbox in inboxes:
            await bus.subscribe(inbox)
        if start:
            await bus.start()
        return bus

    async def meet(self, *buses: ZmqBus) -> None:
        """Wait until each of these buses has joined with all the others."""
        for bus in buses:
            await bus.wait_for_peers(len(buses) - 1, timeout_secs=TIMEOUT_SECS)

    async def pair(self, **options: Any) -> tuple[ZmqBus, Inbox, ZmqBus, Inbox]:
        """Two buses that have joined, with the inboxes "a" and "b"."""
        inbox_a, inbox_b = Inbox("a"), Inbox("b")
        a, b = await self.make(inbox_a, **options), await self.make(inbox_b, **options)
        await self.meet(a, b)
        return a, inbox_a, b, inbox_b


def task_manager() -> TaskManager:
    """What pipecat's objects make their tasks with."""
    loop = asyncio.get_running_loop()
    try:
        return TaskManager(loop=loop)
    except TypeError:  # an older pipecat
        manager = TaskManager()
        manager.setup(TaskManagerParams(loop=loop))
        return manager


def started(bus: ZmqBus) -> bool:
    """Whether a bus is between `start` and `stop`."""
    return bus._session is not None


def descriptors() -> set[str]:
    """The open files of this process, where the system tells."""
    return set(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else set()


@asynccontextmanager
async def open_mesh() -> AsyncIterator[Mesh]:
    """A mesh; when it ends all buses are stopped, and no task and no descriptor may be left."""
    tasks, files, mesh = asyncio.all_tasks(), descriptors(), Mesh()
    yield mesh
    await asyncio.gather(*(bus.stop() for bus in mesh.buses))
    async with asyncio.timeout(TIMEOUT_SECS):
        while left := asyncio.all_tasks() - tasks - {asyncio.current_task()}:
            await asyncio.wait(left)
    assert descriptors() <= files, "descriptors are left open"


async def until(bus: ZmqBus, holds: Callable[[], Any]) -> None:
    """Wait until something holds; looked at whenever the bus' node has taken something in."""
    async with asyncio.timeout(TIMEOUT_SECS):
        while not holds():
            await bus._node._life.bell.wait(None)


@contextmanager
def warnings_logged() -> Iterator[list[str]]:
    """The warnings and errors that are logged meanwhile."""
    texts: list[str] = []
    sink = logger.add(lambda m: texts.append(m.record["message"]), level="WARNING")
    yield texts
    logger.remove(sink)
