"""One runner in a process of its own, which does what `bench.children` tells it."""

from __future__ import annotations

import asyncio
import itertools
import time
from functools import partial
from typing import Any

from loguru import logger
from pipecat.bus import (
    BusFrameMessage,
    BusJobRequestMessage,
    BusJobUpdateMessage,
    BusJobUpdateUrgentMessage,
    BusMessage,
    BusSubscriber,
)
from pipecat.pipeline import job_context
from pipecat.pipeline.job_context import JobError
from pipecat.pipeline.job_decorator import job
from pipecat.registry.types import WorkerReadyData
from pipecat.workers.base_worker import BaseWorker
from pipecat.workers.runner import WorkerRunner

from bench import messages
from bench.orders import end, note, obey
from zmqbus import ZmqBus
from zmqbus.bell import Bell
from zmqbus.views import Peer


class Inbox(BusSubscriber):
    """Takes audio frames, as fast as it is told to, and dated messages at once.

    Parameters:
        delays: How late the dated messages of each sender were, in seconds: since they were due,
            and since they were sent.
        newest: When the newest of them was due.
        skipped_msgs: How many of them did not come before a later one of the same flow.
        received_msgs: Audio frames taken.
        per_sec: How many of them it takes in a second; None: as fast as it can.
        open: Cleared while its handler does not return.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self.delays: dict[str, list[tuple[float, float]]] = {}
        self.newest: dict[str, float] = {}
        self.skipped_msgs = 0
        self.received_msgs = 0
        self.per_sec: float | None = None
        self.open = asyncio.Event()
        self.open.set()
        self.bell = Bell()
        self._due = 0.0
        self._numbers: dict[str, int] = {}

    @property
    def name(self) -> str:
        """What it can be targeted by."""
        return self._name

    def accepts_bus_message(self, message: BusMessage) -> bool:
        """What is meant for it; what this process sends to others is shown to it too."""
        return message.target == self._name

    async def on_bus_message(self, message: BusMessage) -> None:
        """Take one message."""
        now = time.monotonic()
        if isinstance(message, BusFrameMessage):
            self.received_msgs += 1
            if self.per_sec is not None:
                await self._rest(now, self.per_sec)
            if not self.open.is_set():
                await self.open.wait()
        elif isinstance(message, BusJobUpdateMessage | BusJobUpdateUrgentMessage):
            number, due, sent = (message.update or {}).values()
            if number:  # the first of a flow is 0
                self.skipped_msgs += abs(number - self._numbers.get(message.source, -1) - 1)
            self._numbers[message.source] = number
            self.delays.setdefault(message.source, []).append((now - due, now - sent))
            self.newest[message.source] = due
            self.bell.ring()

    async def _rest(self, now: float, per_sec: float) -> None:
        self._due = max(self._due, now - _CREDIT_SECS) + 1 / per_sec
        if self._due > now:
            await asyncio.sleep(self._due - now)


_CREDIT_SECS = 0.05
"""How much of its time a slow reader may make up for; sleeping is not exact."""


class Worker(BaseWorker):
    """Does jobs, asks for them, and notes when a worker it watches is ready."""

    @job(name="echo")  # type: ignore[untyped-decorator]
    async def echo(self, message: BusJobRequestMessage) -> None:
        """Answer."""
        await self.send_job_response(message.job_id, {"echo": message.payload})

    @job(name="hold")  # type: ignore[untyped-decorator]
    async def hold(self, message: BusJobRequestMessage) -> None:
        """Never answer."""
        note("holds", message.source)
        await asyncio.Event().wait()

    async def on_worker_ready(self, data: WorkerReadyData) -> None:
        """Note that a worker is there, and ask it for the job that its predecessor owes."""
        await super().on_worker_ready(data)
        note("ready", data.worker_name)
        await self.ask(data.worker_name, "echo")

    async def ask(self, worker: str, name: str) -> None:
        """Ask for a job; note that it was answered, or that it failed."""
        try:
            async with self.job(worker, **_job_options(name)):
                pass
            note("answered", worker)
        except JobError:
            note("failed", worker)


def _job_options(name: str) -> dict[str, Any]:
    """One params object since pipecat 1.8.0, plain arguments before."""
    if hasattr(job_context, "JobParams"):
        return {"params": job_context.JobParams(name=name)}
    return {"name": name}


class Member:
    """The runner, its bus, its worker "<runner>-worker" and its inbox "<runner>-inbox"."""

    def __init__(self) -> None:
        self._flows: list[asyncio.Task[None]] = []
        self._floods: list[asyncio.Task[None]] = []
        self._others: list[asyncio.Task[None]] = []
        self._sent_msgs = 0

    async def open(self, channel: str, runner: str, **bus: Any) -> str:
        """Start the runner; returns the endpoint of its bus."""
        self.bus = ZmqBus(channel=channel, **bus)
        for event in ("joined", "left", "lost", "busy"):
            self.bus.add_event_handler(f"on_peer_{event}", partial(self._on_peer, event))
        self.bus.add_event_handler("on_messages_lost", self._on_messages_lost)
        self.runner = WorkerRunner(name=runner, bus=self.bus, handle_sigint=False)
        self.worker, self.inbox = Worker(f"{runner}-worker"), Inbox(f"{runner}-inbox")
        await self.runner.add_workers(self.worker)
        await self.bus.subscribe(self.inbox)
        self._others.append(asyncio.create_task(self.runner.run()))
        await self.bus.wait_for_worker(self.worker.name)
        return self.bus.endpoint

    def _on_peer(self, event: str, bus: ZmqBus, peer: Peer, *args: object) -> None:
        note(event, peer.name)

    def _on_messages_lost(
        self, bus: ZmqBus, peer: Peer, lost_msgs: int, plane: str, reason: str
    ) -> None:
        note("messages lost", peer.name, lost_msgs)

    async def knows(self, *, runner: str) -> None:
        """Wait until another runner and its worker are known."""
        await self.bus.wait_for_worker(f"{runner}-worker")

    async def watch(self, *, runner: str) -> None:
        """Watch for the worker of another runner."""
        await self.worker.watch_workers(f"{runner}-worker")

    async def ask(self, *, runner: str, name: str) -> None:
        """Ask the worker of another runner for a job; what comes of it is noted."""
        asking = self.worker.ask(f"{runner}-worker", name)
        self._others.append(asyncio.create_task(asking))

    async def flow(self, *, runner: str, every_secs: float, urgent: bool = False) -> None:
        """Send dated messages to another runner until told to `rest`."""
        flow = self._flow(f"{runner}-inbox", every_secs, urgent)
        self._flows.append(asyncio.create_task(flow))

    async def flood(self, *, runner: str) -> None:
        """Send audio frames to another runner, as fast as possible, until told to `calm`."""
        self._floods.append(asyncio.create_task(self._flood(f"{runner}-inbox")))

    async def rest(self) -> None:
        """Send no dated messages any more."""
        await end(self._flows)

    async def calm(self) -> int:
        """Send no audio frames any more; returns how many were sent in all."""
        await end(self._floods)
        return self._sent_msgs

    async def heard(self, *, runner: str, after: float) -> float:
        """Wait for a dated message that was due after a time; returns when it came."""
        source = f"{runner}-inbox"
        while self.inbox.newest.get(source, 0.0) < after:
            await self.inbox.bell.wait(None)
        return time.monotonic()

    async def delays(self) -> dict[str, list[tuple[float, float]]]:
        """`Inbox.delays` since the last call, by the sender's runner."""
        taken, self.inbox.delays = self.inbox.delays, {}
        return {source.removesuffix("-inbox"): delays for source, delays in taken.items()}

    async def pace(self, *, per_sec: float | None) -> None:
        """Take so many audio frames a second; None: as fast as possible."""
        self.inbox.per_sec = per_sec

    async def hang(self, *, hangs: bool) -> None:
        """Let the handler of audio frames not return, or return again."""
        (self.inbox.open.clear if hangs else self.inbox.open.set)()

    async def received(self) -> int:
        """How many audio frames were taken."""
        return self.inbox.received_msgs

    async def skipped(self) -> int:
        """`Inbox.skipped_msgs`."""
        return self.inbox.skipped_msgs

    async def received_at_last(self, *, msgs: int, secs: float) -> int:
        """The same, once there are so many or none has come for a while."""
        seen = -1
        while seen < self.inbox.received_msgs < msgs:
            seen = self.inbox.received_msgs
            await asyncio.sleep(secs)
        return self.inbox.received_msgs

    async def block(self, *, secs: float) -> None:
        """Keep the loop from turning."""
        time.sleep(secs)  # noqa: ASYNC251 (that is the point)

    async def _flow(self, target: str, every_secs: float, urgent: bool) -> None:
        kind = BusJobUpdateUrgentMessage if urgent else BusJobUpdateMessage
        source, due = self.inbox.name, time.monotonic()
        for number in itertools.count():
            update = {"number": number, "due": due, "sent": time.monotonic()}
            dated = kind(source=source, target=target, job_id="flow", update=update)
            await self.bus.send(dated)
            due += every_secs
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _flood(self, target: str) -> None:
        while True:
            message = messages.audio()
            message.source, message.target = self.inbox.name, target
            self._sent_msgs += 1
            await self.bus.send(message)


if __name__ == "__main__":
    logger.remove()
    asyncio.run(obey(Member()))
