"""Jobs that cross processes: a death answers them, a cancel never loses, a repeat is not run.

Three things pipecat's workers cannot know by themselves:

* A job on a runner that died is never answered, nor one whose request or answer was lost (R15).
  The requester's bus knows which jobs it sent where, and answers for the dead with an urgent ERROR
  response (R24, P03), also to a request that was under way to the bus when the runner went. What
  the runner itself says of such a job if it turns out to live is dropped: one job has one answer.
* A cancel is a system message and overtakes its request: handled first it finds no job, and the
  job then runs to its end although nobody wants it. The gate before the worker keeps such a cancel
  until the request comes, and answers CANCELLED instead of handing it on (R19, P06).
* A request with an id the worker has been given before is a repeat: two phone calls, two bookings.
  The gate hands each on once (P07).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NamedTuple

from pipecat.bus import (
    BusJobCancelMessage,
    BusJobRequestMessage,
    BusJobResponseMessage,
    BusJobResponseUrgentMessage,
    BusJobStreamEndMessage,
    BusMessage,
    BusWorkerRegistryMessage,
)
from pipecat.pipeline.job_context import JobStatus
from pipecat.workers.base_worker import BaseWorker

from zmqbus.gate import Gate
from zmqbus.packets import NodeId

MAX_REMEMBERED_JOBS = 65_536
"""How many jobs a gate remembers, whatever their age. More costs memory, 200 bytes each; fewer
forgets a repeat that comes late."""

MAX_REMEMBERED_NAMES = 4_096
"""How many workers of departed runners are remembered. A request that was under way when its worker
went comes within a turn of the loop or two, so far fewer would do."""

ASKS = (BusJobRequestMessage, BusJobCancelMessage)
"""What the sender of a job says to its worker."""

_ENDS = (BusJobResponseMessage, BusJobResponseUrgentMessage, BusJobStreamEndMessage)
_AWAITED = (BusJobRequestMessage, *_ENDS)

Job = tuple[str, str]


class Awaited(NamedTuple):
    """A request, or the end of a job: without it somebody would wait for ever.

    Parameters:
        job_id: The job.
        source: Who sends it.
        target: Who is to get it.
        is_request: Whether it is the request.
    """

    job_id: str
    source: str
    target: str
    is_request: bool


def awaited(message: BusMessage) -> Awaited | None:
    """What to remember of a message on its way, in case it gets lost."""
    if not isinstance(message, _AWAITED) or not message.target:
        return None
    is_request = isinstance(message, BusJobRequestMessage)
    return Awaited(message.job_id, message.source, message.target, is_request)


class OutstandingJobs:
    """The jobs this bus has sent to other runners and that are not answered yet."""

    def __init__(self) -> None:
        self._jobs: dict[Job, tuple[str, NodeId | None]] = {}
        self._failed: dict[Job, None] = {}
        self._gone: dict[str, str] = {}

    def refuse(self, message: BusMessage) -> BusMessage | None:
        """The answer to a request for a worker that nobody hosts since its runner has gone.

        Whoever asks has just seen the worker ready: without an answer the job would wait for ever.
        """
        if isinstance(message, BusJobRequestMessage) and message.target in self._gone:
            reason = self._gone[message.target]
            return _error(message.job_id, message.target, message.source, reason)
        return None

    def note_sent(self, message: BusMessage, audience: tuple[NodeId, ...] | None) -> None:
        """A message leaves for ``audience``: first the node its target lives on; None for all."""
        if isinstance(message, BusJobRequestMessage) and message.target:
            host = audience[0] if audience else None
            self._jobs[message.job_id, message.target] = message.source, host
            self._failed.pop((message.job_id, message.target), None)
        elif isinstance(message, BusJobCancelMessage) and message.target:
            self._jobs.pop((message.job_id, message.target), None)

    def is_late(self, message: BusMessage) -> bool:
        """Whether it answers a job that was answered for the worker when its runner was lost."""
        job_id = getattr(message, "job_id", None) if self._failed else None
        return (job_id, message.source) in self._failed

    def note_received(self, message: BusMessage) -> None:
        """A message has come."""
        if isinstance(message, _ENDS):
            self._jobs.pop((message.job_id, message.source), None)
        elif isinstance(message, BusWorkerRegistryMessage):
            for entry in message.workers:
                self._gone.pop(entry.name, None)

    def fail(self, node: NodeId, names: Iterable[str], reason: str) -> list[BusMessage]:
        """A node has gone, and with it the subscribers ``names``: the answers to its jobs."""
        lost = frozenset(names)
        jobs = [
            (job_id, worker, source)
            for (job_id, worker), (source, host) in self._jobs.items()
            if host == node or (host is None and worker in lost)
        ]
        for job_id, worker, _ in jobs:
            del self._jobs[job_id, worker]
            self._failed[job_id, worker] = None
        self._gone.update(dict.fromkeys(names, reason))
        _shorten(self._gone, MAX_REMEMBERED_NAMES)
        _shorten(self._failed, MAX_REMEMBERED_JOBS)
        return [_error(job_id, worker, source, reason) for job_id, worker, source in jobs]

    def answer_undelivered(self, lost: Awaited, runner: str) -> BusMessage | None:
        """The answer when a message was lost on its way to a runner that was too far behind.

        To a request it is for here, and None if the job has ended otherwise; to an end it is for
        whoever asked.
        """
        what = "request" if lost.is_request else "answer"
        reason = f"the {what} was lost: runner {runner!r} was too far behind"
        if not lost.is_request:
            return _error(lost.job_id, lost.source, lost.target, reason)
        job = lost.job_id, lost.target
        if self._jobs.pop(job, None) is None:
            return None
        self._failed[job] = None
        return _error(*job, lost.source, reason)


def _shorten(memory: dict[Any, Any], most: int) -> None:
    while len(memory) > most:
        del memory[next(iter(memory))]


def _error(job_id: str, worker: str, source: str, reason: str) -> BusMessage:
    return BusJobResponseUrgentMessage(
        source=worker,
        target=source,
        job_id=job_id,
        status=JobStatus.ERROR,
        response={"error": reason},
    )


class JobGate(Gate):
    """Hands each request on once, and none that was cancelled.

    Args:
        worker: The worker.
        answer: Sends a response in its name.
        clock: The time in seconds.
        keep_secs: How long a cancel without its request, and a request, are remembered.
    """

    def __init__(
        self,
        worker: BaseWorker,
        answer: Callable[[BusMessage], Awaitable[None]],
        clock: Callable[[], float],
        keep_secs: float,
    ) -> None:
        super().__init__(worker)
        self.worker = worker
        self._answer = answer
        self._clock = clock
        self._keep_secs = keep_secs
        self._cancelled: dict[Job, float] = {}
        self._handed_on: dict[Job, float] = {}

    async def on_bus_message(self, message: BusMessage) -> None:
        """Hand a message on, unless it is a repeat, was cancelled, or cancels what has not come."""
        if message.target == self.name:
            if isinstance(message, BusJobCancelMessage) and self._keeps(message):
                return
            if isinstance(message, BusJobRequestMessage) and await self._ends(message):
                return
        await super().on_bus_message(message)

    def _keeps(self, cancel: BusJobCancelMessage) -> bool:
        """Keep a cancel whose request has not come; True if it was kept."""
        job = cancel.source, cancel.job_id
        if job in self._handed_on or cancel.job_id in self.worker.active_jobs:
            return False
        self._remember(self._cancelled, job)
        return True

    async def _ends(self, request: BusJobRequestMessage) -> bool:
        """End a request here if it must not be run; True if it must not."""
        job = request.source, request.job_id
        if job in self._handed_on:
            return True
        self._remember(self._handed_on, job)
        if self._cancelled.pop(job, None) is None:
            return False
        await self._answer(
            BusJobResponseMessage(
                source=self.name,
                target=request.source,
                job_id=request.job_id,
                status=JobStatus.CANCELLED,
            )
        )
        return True

    def _remember(self, memory: dict[Job, float], job: Job) -> None:
        now = self._clock()
        memory[job] = now
        for old, since in list(memory.items()):
            if now - since <= self._keep_secs and len(memory) <= MAX_REMEMBERED_JOBS:
                break
            del memory[old]
