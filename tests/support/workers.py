"""Workers without a pipeline: a server of jobs, a client that asks, a listener, a sender."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from pipecat.bus import (
    BusJobCancelMessage,
    BusJobRequestMessage,
    BusJobResponseMessage,
    BusJobResponseUrgentMessage,
    BusJobUpdateMessage,
    BusJobUpdateRequestMessage,
    BusJobUpdateUrgentMessage,
    BusMessage,
    WorkerBus,
)
from pipecat.bus.messages import (
    BusEndWorkerMessage,
    BusFrameMessage,
    BusJobStreamDataMessage,
    BusJobStreamEndMessage,
    BusJobStreamStartMessage,
)
from pipecat.bus.ui.messages import BusUIEventMessage
from pipecat.frames.frames import TextFrame
from pipecat.pipeline import job_context
from pipecat.pipeline.job_context import JobGroupContext, JobStatus
from pipecat.pipeline.job_decorator import job
from pipecat.processors.frame_processor import FrameDirection
from pipecat.registry.types import WorkerReadyData
from pipecat.workers.base_worker import BaseWorker, WorkerActivationArgs

from support.describe import describe
from support.journal import Journal
from support.samples import FRAMES, MESSAGES

Handler = TypeVar("Handler", bound=Callable[..., Any])


def handles(name: str) -> Callable[[Handler], Handler]:
    """Pipecat's `@job`, with a type."""
    return job(name=name)  # type: ignore[no-any-return]


class NotingWorker(BaseWorker):
    """A worker that notes its activations and the workers it sees becoming ready."""

    def __init__(self, name: str, *, journal: Journal, bus: WorkerBus, active: bool = True) -> None:
        """Make the worker; `bus` is what its site is on."""
        super().__init__(name, active=active)
        self.journal = journal

    def note(self, what: str, data: Any = None) -> None:
        """Write a note under this worker's name."""
        self.journal.add(self.name, what, data)

    async def on_activated(self, args: dict[str, Any] | None) -> None:
        """Note the activation with its arguments."""
        await super().on_activated(args)
        self.note("activated", describe(args))

    async def on_deactivated(self) -> None:
        """Note the deactivation."""
        await super().on_deactivated()
        self.note("deactivated")

    async def on_worker_ready(self, data: WorkerReadyData) -> None:
        """Note whom a watch fired for."""
        await super().on_worker_ready(data)
        self.note("ready", data.worker_name)

    async def watch(self, name: str) -> None:
        """Watch another worker."""
        await self.watch_workers(name)

    async def activate(self, name: str, **metadata: Any) -> None:
        """Activate another worker with `metadata`."""
        await self.activate_worker(name, args=WorkerActivationArgs(metadata=metadata))


class Server(NotingWorker):
    """Does jobs: one handler per kind of outcome."""

    async def on_job_request(self, message: BusJobRequestMessage) -> None:
        """Answer a request that no named handler takes."""
        if message.job_name is None:
            await self.send_job_response(message.job_id, {"unnamed": message.payload})

    @handles("echo")
    async def echo(self, message: BusJobRequestMessage) -> None:
        """Send the payload back, and note how it looked here."""
        self.note("request", describe(message.payload))
        await self.send_job_response(message.job_id, {"echo": message.payload, "by": self.name})

    @handles("finish")
    async def finish(self, message: BusJobRequestMessage) -> None:
        """Respond with the status and the urgency that the payload asks for."""
        payload = message.payload or {}
        status = JobStatus(payload["status"])
        urgent = bool(payload.get("urgent"))
        await self.send_job_response(message.job_id, {"why": "asked"}, status=status, urgent=urgent)

    @handles("break")
    async def break_down(self, message: BusJobRequestMessage) -> None:
        """Raise, as a handler with a fault does."""
        self.note("started", message.job_id)
        raise RuntimeError("this handler always breaks down")

    @handles("stream")
    async def stream(self, message: BusJobRequestMessage) -> None:
        """Stream as many chunks as the payload says; where it says so, without an end."""
        payload = message.payload or {}
        count = payload["chunks"]
        await self.send_job_stream_start(message.job_id, {"chunks": count})
        for index in range(count):
            await self.send_job_stream_data(message.job_id, {"index": index})
        if payload.get("endless"):
            await self.hold(message)
        await self.send_job_stream_end(message.job_id, {"sent": count})

    @handles("progress")
    async def progress(self, message: BusJobRequestMessage) -> None:
        """Send updates, plain or urgent, then the response."""
        payload = message.payload or {}
        for step in range(payload["steps"]):
            await self.send_job_update(message.job_id, {"step": step}, urgent=payload["urgent"])
        await self.send_job_response(message.job_id, {"done": True})

    @handles("hold")
    async def hold(self, message: BusJobRequestMessage) -> None:
        """Hold the job open until it is cancelled."""
        self.note("started", message.job_id)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.note("handler cancelled", message.job_id)
            raise

    @handles("part")
    async def part(self, message: BusJobRequestMessage) -> None:
        """Be one of a group: fail where the payload names this worker, hold on otherwise."""
        if (message.payload or {})["fails"] == self.name:
            await self.send_job_response(message.job_id, status=JobStatus.FAILED)
        else:
            await self.hold(message)

    async def on_job_update_requested(self, message: BusJobUpdateRequestMessage) -> None:
        """Tell how far the job is."""
        await self.send_job_update(message.job_id, {"held by": self.name})

    async def on_job_cancelled(self, message: BusJobCancelMessage) -> None:
        """Note whose job was cancelled, and why."""
        self.note("job cancelled", [message.job_id, message.reason])


class Client(NotingWorker):
    """Asks for jobs, and notes every answer as its hook saw it."""

    async def on_job_response(
        self, message: BusJobResponseMessage | BusJobResponseUrgentMessage
    ) -> None:
        """Note the response, and whether its status is the enum member itself."""
        exact = message.status is JobStatus(message.status)
        self.note("response", [type(message).__name__, message.source, message.status.name, exact])

    async def on_job_update(self, message: BusJobUpdateMessage | BusJobUpdateUrgentMessage) -> None:
        """Note the update."""
        self.note("update", [type(message).__name__, message.source, message.update])

    async def on_job_stream_start(self, message: BusJobStreamStartMessage) -> None:
        """Note the start of a stream."""
        self.note("stream", ["start", message.data])

    async def on_job_stream_data(self, message: BusJobStreamDataMessage) -> None:
        """Note a chunk."""
        self.note("stream", ["data", message.data])

    async def on_job_stream_end(self, message: BusJobStreamEndMessage) -> None:
        """Note the end of a stream."""
        self.note("stream", ["end", message.data])

    async def end_worker(self, name: str) -> None:
        """Tell one worker, wherever it is, to end."""
        await self.send_bus_message(BusEndWorkerMessage(source=self.name, target=name))

    async def ask(self, name: str, job: str, payload: Any = None) -> dict[str, Any]:
        """Have one job done, and return the response: for a client in another process."""
        async with self.job(name, **job_options(name=job, payload=payload)) as context:
            pass
        return context.response

    def asking(self, *names: str, **options: Any) -> JobGroupContext:
        """A job group, whatever pipecat's version."""
        return self.job_group(*names, **job_options(**options))


class Listener(NotingWorker):
    """Notes (and keeps) the messages of some classes that are for it or for everybody."""

    def __init__(self, name: str, *, hears: list[str], **options: Any) -> None:
        """Make a listener for messages of classes with a name, or a base's name, in `hears`."""
        super().__init__(name, **options)
        self._hears = set(hears)
        self.messages: list[BusMessage] = []

    async def on_bus_message(self, message: BusMessage) -> None:
        """Note what it is here for."""
        await super().on_bus_message(message)
        if message.target is not None and message.target != self.name:
            return
        if self._hears.isdisjoint(base.__name__ for base in type(message).__mro__):
            return
        self.messages.append(message)
        if isinstance(message, BusUIEventMessage):
            self.note("heard", message.payload)
        else:
            self.note("heard", describe(message))


class Sender(NotingWorker):
    """Sends what it is told to."""

    _greeting_msgs = 0

    async def greet(self, name: str, count: int) -> None:
        """Burst, to all and to `name` in turn, the moment a worker of that name is known."""
        self._greeting_msgs = count
        await self.watch_workers(name)

    async def on_worker_ready(self, data: WorkerReadyData) -> None:
        """Send the greeting."""
        await super().on_worker_ready(data)
        await self.burst(self._greeting_msgs, [None, data.worker_name])

    async def say(self, payload: Any, target: str | None = None) -> None:
        """Send one event with a payload that JSON can carry."""
        await self.send_bus_message(_event(self.name, payload, target))

    async def send_sample(self, sample: str, target: str | None = None) -> None:
        """Send one of the sample messages."""
        await self.send_bus_message(MESSAGES[sample](self.name, target))

    async def send_frame(self, sample: str, target: str | None = None) -> None:
        """Send one of the sample frames."""
        await self.send_bus_message(_framed(self.name, FRAMES[sample](), target))

    async def burst(self, count: int, targets: list[str | None], urgent_every: int = 0) -> None:
        """Send numbered events as fast as possible, to each of `targets` in turn.

        With `urgent_every`, a numbered system message goes out after each so many.
        """
        for number in range(count):
            await self.say(number, targets[number % len(targets)])
            if urgent_every and number % urgent_every == urgent_every - 1:
                await self.send_bus_message(
                    BusJobUpdateUrgentMessage(
                        source=self.name,
                        target=targets[-1],
                        job_id="urgent",
                        update={"n": number // urgent_every},
                    )
                )

    async def send_texts(self, count: int, target: str) -> None:
        """Send numbered text frames."""
        for number in range(count):
            frame = TextFrame(text=f"{self.name} {number}")
            await self.send_bus_message(_framed(self.name, frame, target))

    async def count_up_to(self, number: int) -> int:
        """Let this process' counter of ids reach `number`, and return where it stands.

        Two counters that never met would hide an id that is used twice.
        """
        while (reached := TextFrame(text="").id) < number:
            pass
        return reached

    async def send_siblings(self, target: str) -> None:
        """Send the two frames of a broadcast, each of which names the other."""
        down, up = TextFrame(text="down"), TextFrame(text="up")
        down.broadcast_sibling_id, up.broadcast_sibling_id = up.id, down.id
        await self.send_bus_message(_framed(self.name, down, target))
        await self.send_bus_message(_framed(self.name, up, target, FrameDirection.UPSTREAM))


def job_options(**options: Any) -> dict[str, Any]:
    """The options of a job: one params object since pipecat 1.8.0, plain arguments before."""
    if hasattr(job_context, "JobGroupParams"):
        return {"params": job_context.JobGroupParams(**options)}
    return options


def _event(source: str, payload: Any, target: str | None) -> BusUIEventMessage:
    return BusUIEventMessage(source=source, target=target, event_name="say", payload=payload)


def _framed(
    source: str,
    frame: Any,
    target: str | None,
    direction: FrameDirection = FrameDirection.DOWNSTREAM,
) -> BusFrameMessage:
    return BusFrameMessage(source=source, target=target, frame=frame, direction=direction)


WORKERS = {"client": Client, "server": Server, "listener": Listener, "sender": Sender}
