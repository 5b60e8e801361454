"""Flush probes that cross processes (zmqbus/flush.py)."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from pipecat.bus import BusBridgeProcessor, BusFrameMessage, BusMessage
from pipecat.frames.frames import TextFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.frame_processor import FrameDirection
from pipecat.workers.base_worker import BaseWorker
from pipecat.workers.runner import WorkerRunner

from zmqbus import ZmqBus
from zmqbus.flush import PROBE, FlushDoneMessage, Flushes

pytestmark = pytest.mark.skipif(PROBE is None, reason="this pipecat does not drain pipelines")

LONG_SECS = 20.0


def probe_message(flush_id: int, event: asyncio.Event | None) -> BusFrameMessage:
    """A probe as a bridge sends it."""
    assert PROBE is not None
    frame = PROBE(event=event, origin="asker", flush_id=flush_id)
    return BusFrameMessage(source="asker", frame=frame, direction=FrameDirection.DOWNSTREAM)


def flushes() -> tuple[Flushes, list[BusMessage]]:
    """The probes of one bus, and the reports it sends."""
    sent: list[BusMessage] = []
    return Flushes("bus", sent.append), sent


def test_probe_leaves_without_its_event_and_keeps_it_here() -> None:
    """The message that travels has no event; the one that stays has its own."""
    here, _ = flushes()
    message = probe_message(7, asyncio.Event())
    outgoing = here.outgoing(message)
    assert isinstance(outgoing, BusFrameMessage)
    assert outgoing.frame.event is None  # type: ignore[attr-defined]
    assert message.frame.event is not None  # type: ignore[attr-defined]
    assert outgoing.frame.flush_id == 7  # type: ignore[attr-defined]


def test_other_messages_pass_untouched() -> None:
    """Only probes with an event are looked at."""
    here, _ = flushes()
    text = BusFrameMessage(
        source="a", frame=TextFrame(text="x"), direction=FrameDirection.DOWNSTREAM
    )
    bare = probe_message(1, None)
    assert here.outgoing(text) is text
    assert here.outgoing(bare) is bare
    assert not here.incoming(text)


def test_stand_in_reports_once_to_the_origin_and_the_report_sets_the_event() -> None:
    """Setting the stand-in sets the event that the initiator awaits, and reports once."""
    here, _ = flushes()
    there, reports = flushes()
    event = asyncio.Event()
    outgoing = here.outgoing(probe_message(7, event))
    assert not there.incoming(outgoing)
    stand_in = outgoing.frame.event  # type: ignore[attr-defined]
    stand_in.set()
    stand_in.set()
    assert [type(r) for r in reports] == [FlushDoneMessage]
    assert reports[0].target == "asker"
    assert here.incoming(reports[0])
    assert event.is_set()


def test_probe_that_comes_home_has_its_own_event() -> None:
    """Back where it began, the probe carries the very event, as on AsyncQueueBus."""
    here, reports = flushes()
    event = asyncio.Event()
    home = here.outgoing(probe_message(7, event))
    here.incoming(home)
    assert home.frame.event is event  # type: ignore[attr-defined]
    assert reports == []


def test_report_for_nobody_is_taken_and_ignored() -> None:
    """A report whose initiator has given up reaches no subscriber and raises nothing."""
    here, _ = flushes()
    assert here.incoming(FlushDoneMessage(source="bus", target="asker", flush_id=99))


@asynccontextmanager
async def running(name: str, bus: ZmqBus, worker: BaseWorker) -> AsyncIterator[WorkerRunner]:
    """A runner with one worker, ready."""
    runner = WorkerRunner(name=name, bus=bus, handle_sigint=False)
    await runner.add_workers(worker)
    ready = asyncio.Event()
    runner.add_event_handler("on_ready", lambda _: ready.set())
    task = asyncio.create_task(runner.run(auto_end=False))
    await ready.wait()
    try:
        yield runner
    finally:
        await runner.cancel()
        await task


async def test_pipeline_bridged_to_another_runner_drains() -> None:
    """`flush_pipeline` of a worker whose frames end in another runner's pipeline returns True."""
    channel = secrets.token_hex(8)
    far_bus, near_bus = ZmqBus(channel=channel), ZmqBus(channel=channel)
    bridge = BusBridgeProcessor(bus=far_bus, worker_name="far")
    far = PipelineWorker(Pipeline([bridge]), name="far", enable_rtvi=False)
    near = PipelineWorker(Pipeline([]), name="near", bridged=())
    async with running("r-far", far_bus, far), running("r-near", near_bus, near):
        await near_bus.wait_for_worker("far", timeout_secs=LONG_SECS)
        await far_bus.wait_for_worker("near", timeout_secs=LONG_SECS)
        assert await near.flush_pipeline(timeout=LONG_SECS)
