"""Jobs that cross processes (zmqbus/jobs.py): answers for the dead, cancels, repeats."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pipecat.bus import (
    BusJobCancelMessage,
    BusJobRequestMessage,
    BusJobResponseMessage,
    BusJobResponseUrgentMessage,
    BusJobStreamEndMessage,
    BusJobUpdateMessage,
    BusMessage,
    BusTTSSpeakMessage,
    BusWorkerRegistryMessage,
)
from pipecat.pipeline.job_context import JobStatus
from pipecat.registry.types import WorkerRegistryEntry
from pipecat.workers.base_worker import BaseWorker

from zmqbus import jobs
from zmqbus.jobs import JobGate, OutstandingJobs
from zmqbus.packets import NodeId

HERE, THERE = NodeId(b"here...."), NodeId(b"there...")


def request(job_id: str = "j", target: str | None = "worker", source: str = "asker") -> BusMessage:
    """A job request."""
    return BusJobRequestMessage(source=source, target=target, job_id=job_id)


def cancel(job_id: str = "j", target: str = "worker", source: str = "asker") -> BusMessage:
    """The cancel of one."""
    return BusJobCancelMessage(source=source, target=target, job_id=job_id)


def answers(outstanding: OutstandingJobs, node: NodeId, *names: str) -> list[tuple[str, str, str]]:
    """Who is answered in whose name for which job when a node goes."""
    failed: list[Any] = outstanding.fail(node, names, "gone")
    assert all(type(f) is BusJobResponseUrgentMessage for f in failed)
    assert all(f.status is JobStatus.ERROR and f.response == {"error": "gone"} for f in failed)
    return [(f.source, f.target, f.job_id) for f in failed]


def test_jobs_of_a_node_that_goes_are_answered_once() -> None:
    """Those sent to it, and those sent to everybody whose target it hosted; no others (R24)."""
    outstanding = OutstandingJobs()
    outstanding.note_sent(request("1"), (THERE,))
    outstanding.note_sent(request("2"), (HERE,))
    outstanding.note_sent(request("3", "guess"), None)
    outstanding.note_sent(request("4", "other"), None)
    assert answers(outstanding, THERE, "worker", "guess") == [
        ("worker", "asker", "1"),
        ("guess", "asker", "3"),
    ]
    assert answers(outstanding, THERE, "worker", "guess") == []


def test_request_for_a_worker_that_has_gone_is_refused_until_it_is_back() -> None:
    """Its asker saw it ready just before: no answer would ever come (R24)."""
    outstanding = OutstandingJobs()
    assert outstanding.refuse(request()) is None
    outstanding.fail(THERE, ["worker"], "gone")

    refusal: Any = outstanding.refuse(request("7"))
    assert type(refusal) is BusJobResponseUrgentMessage
    assert (refusal.source, refusal.target, refusal.job_id) == ("worker", "asker", "7")
    assert (refusal.status, refusal.response) == (JobStatus.ERROR, {"error": "gone"})
    assert outstanding.refuse(request(target="other")) is None
    assert outstanding.refuse(cancel()) is None

    back = [WorkerRegistryEntry(name="worker")]
    outstanding.note_received(BusWorkerRegistryMessage(source="r", runner="r", workers=back))
    assert outstanding.refuse(request()) is None


def test_names_of_the_gone_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest is forgotten first (R25)."""
    monkeypatch.setattr(jobs, "MAX_REMEMBERED_NAMES", 2)
    outstanding = OutstandingJobs()
    outstanding.fail(THERE, ["a", "b", "c"], "gone")
    assert [n for n in "abc" if outstanding.refuse(request(target=n))] == ["b", "c"]


def test_each_worker_of_a_group_is_answered_for() -> None:
    """A group has one job id and many targets."""
    outstanding = OutstandingJobs()
    for worker in ("a", "b"):
        outstanding.note_sent(request("g", worker), (THERE,))
    assert answers(outstanding, THERE) == [("a", "asker", "g"), ("b", "asker", "g")]


@pytest.mark.parametrize(
    "end",
    [
        BusJobResponseMessage(source="worker", job_id="j", status=JobStatus.COMPLETED),
        BusJobResponseUrgentMessage(source="worker", job_id="j", status=JobStatus.FAILED),
        BusJobStreamEndMessage(source="worker", job_id="j"),
    ],
    ids=lambda m: type(m).__name__,
)
def test_answered_job_is_not_outstanding(end: BusMessage) -> None:
    """Every message that ends a job ends it here; one for another job does not."""
    outstanding = OutstandingJobs()
    for job_id in ("j", "k"):
        outstanding.note_sent(request(job_id), (THERE,))
    outstanding.note_received(end)
    assert answers(outstanding, THERE) == [("worker", "asker", "k")]


def test_answer_to_a_job_that_was_answered_for_the_dead_is_late_until_sent_again() -> None:
    """One job has one answer, also when its runner turns out to live (P03, F5)."""
    outstanding = OutstandingJobs()
    update = BusJobUpdateMessage(source="worker", job_id="j", update={})
    end = BusJobResponseMessage(source="worker", job_id="j", status=JobStatus.COMPLETED)
    outstanding.note_sent(request(), (THERE,))
    assert not outstanding.is_late(end)

    outstanding.fail(THERE, ["worker"], "gone")
    assert outstanding.is_late(update)
    assert outstanding.is_late(end)
    assert not outstanding.is_late(replace(end, source="other"))
    assert not outstanding.is_late(replace(end, job_id="k"))
    assert not outstanding.is_late(BusTTSSpeakMessage(source="worker", text="x"))

    outstanding.note_sent(request(), (THERE,))
    assert not outstanding.is_late(end)


def known(message: BusMessage) -> jobs.Awaited:
    """What is remembered of a message on its way."""
    lost = jobs.awaited(message)
    assert lost
    return lost


def test_lost_request_is_answered_once_and_only_if_it_is_waited_for() -> None:
    """A job whose worker never hears of it does not wait for ever (R15, F5)."""
    outstanding = OutstandingJobs()
    outstanding.note_sent(request(), (THERE,))
    answer: Any = outstanding.answer_undelivered(known(request()), "far")
    assert (answer.source, answer.target, answer.job_id) == ("worker", "asker", "j")
    assert answer.response == {"error": "the request was lost: runner 'far' was too far behind"}
    assert outstanding.is_late(BusJobStreamEndMessage(source="worker", job_id="j"))
    assert outstanding.answer_undelivered(known(request()), "far") is None
    assert answers(outstanding, THERE) == []


@pytest.mark.parametrize(
    "end",
    [
        BusJobResponseMessage(source="w", target="asker", job_id="j", status=JobStatus.COMPLETED),
        BusJobStreamEndMessage(source="w", target="asker", job_id="j"),
    ],
    ids=lambda m: type(m).__name__,
)
def test_lost_end_of_a_job_is_told_to_who_asked(end: BusMessage) -> None:
    """By the system plane, which is not behind (R15, F5)."""
    answer: Any = OutstandingJobs().answer_undelivered(known(end), "far")
    assert type(answer) is BusJobResponseUrgentMessage
    assert (answer.source, answer.target, answer.job_id) == ("w", "asker", "j")
    assert (answer.status, answer.response) == (
        JobStatus.ERROR,
        {"error": "the answer was lost: runner 'far' was too far behind"},
    )


def test_message_that_nobody_waits_for_is_not_remembered() -> None:
    """Nor what is meant for nobody in particular: it could not be answered."""
    for message in (
        cancel(),
        request(target=None),
        BusJobStreamEndMessage(source="worker", job_id="j"),
    ):
        assert jobs.awaited(message) is None


def test_jobs_answered_for_the_dead_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest is forgotten first (R25)."""
    monkeypatch.setattr(jobs, "MAX_REMEMBERED_JOBS", 2)
    outstanding = OutstandingJobs()
    for job_id in "123":
        outstanding.note_sent(request(job_id), (THERE,))
    outstanding.fail(THERE, ["worker"], "gone")
    ends = [
        BusJobResponseMessage(source="worker", job_id=j, status=JobStatus.COMPLETED) for j in "123"
    ]
    assert [end.job_id for end in ends if outstanding.is_late(end)] == ["2", "3"]


def test_cancelled_and_untargeted_jobs_are_not_outstanding() -> None:
    """Nobody waits for them."""
    outstanding = OutstandingJobs()
    outstanding.note_sent(request(), (THERE,))
    outstanding.note_sent(cancel(), (THERE,))
    outstanding.note_sent(request("all", None), None)
    outstanding.note_received(BusTTSSpeakMessage(source="worker", text="x"))
    assert answers(outstanding, THERE, "worker") == []


class Worker(BaseWorker):
    """Keeps what it is handed."""

    def __init__(self) -> None:
        super().__init__("worker")
        self.got: list[BusMessage] = []

    async def on_bus_message(self, message: BusMessage) -> None:
        """Keep it."""
        self.got.append(message)


class Gated:
    """A worker behind its gate, the responses sent in its name, and a clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.worker = Worker()
        self.sent: list[Any] = []
        self.gate = JobGate(self.worker, self._answer, lambda: self.now, keep_secs=60.0)

    async def _answer(self, message: BusMessage) -> None:
        self.sent.append(message)

    async def take(self, *messages: BusMessage) -> list[BusMessage]:
        """Let messages come; returns what the worker was handed."""
        for message in messages:
            await self.gate.on_bus_message(message)
        got, self.worker.got = self.worker.got, []
        return got


async def test_cancel_before_its_request_ends_the_job() -> None:
    """The request is not handed on, and its sender hears CANCELLED (R19, F4)."""
    gated = Gated()
    assert await gated.take(cancel(), request()) == []
    assert [(m.source, m.target, m.job_id, m.status) for m in gated.sent] == [
        ("worker", "asker", "j", JobStatus.CANCELLED)
    ]


async def test_cancel_ends_only_its_own_job() -> None:
    """Other jobs, and jobs of other requesters, are run."""
    gated = Gated()
    others = [request("k"), request("j", source="somebody")]
    assert await gated.take(cancel(), *others) == others


async def test_cancel_after_its_request_is_handed_on() -> None:
    """That is the worker's business, however late the cancel comes."""
    gated = Gated()
    first = request()
    assert await gated.take(first) == [first]
    gated.worker.active_jobs["j"] = first  # type: ignore[assignment]
    gated.now = 1000.0
    await gated.take(request("later"))
    late = cancel()
    assert await gated.take(late) == [late]
    assert gated.sent == []


async def test_request_is_handed_on_once() -> None:
    """A repeat is dropped, also one that comes after a cancel (P07)."""
    gated = Gated()
    first = request()
    assert await gated.take(first, request()) == [first]
    assert await gated.take(cancel("k"), request("k"), request("k")) == []
    assert len(gated.sent) == 1


async def test_what_is_not_for_the_worker_passes() -> None:
    """Jobs of others are none of its business: it sees them as without a gate."""
    gated = Gated()
    foreign = [cancel(target="other"), request(target="other"), request(target="other")]
    assert await gated.take(*foreign) == foreign


async def test_memory_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cancel is kept for a while, and there is room for so many only."""
    gated = Gated()
    await gated.take(cancel("old"))
    gated.now = 61.0
    await gated.take(cancel("young"))
    assert len(await gated.take(request("old"), request("young"))) == 1
    monkeypatch.setattr(jobs, "MAX_REMEMBERED_JOBS", 2)
    await gated.take(*(cancel(str(i)) for i in range(3)))
    assert len(await gated.take(*(request(str(i)) for i in range(3)))) == 1


def test_gate_is_the_worker_to_the_bus() -> None:
    """Its name, its text, and what it accepts are the worker's."""
    gated = Gated()
    assert (gated.gate.name, str(gated.gate)) == ("worker", "worker")
    assert gated.gate.accepts_bus_message(request())
    if hasattr(BaseWorker, "accepts_bus_message"):
        gated.worker._active = False
        assert not gated.gate.accepts_bus_message(request())
