"""Workers with a pipeline: a transport with a bridge, an LLM-like worker, two parallel branches."""

from __future__ import annotations

from typing import Any

from pipecat.bus import BusBridgeProcessor, WorkerBus
from pipecat.frames.frames import Frame, TextFrame, TTSSpeakFrame
from pipecat.pipeline.parallel_pipeline import ParallelPipeline
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.workers.base_worker import WorkerActivationArgs

from support.describe import describe
from support.journal import Journal


class Recorder(FrameProcessor):
    """Notes the frames of one class that pass it going down, and passes everything on."""

    def __init__(self, worker: str, journal: Journal, kind: type[Frame]) -> None:
        """Make a recorder that notes under its worker's name."""
        super().__init__(name=f"{worker}::Recorder")
        self._worker = worker
        self._journal = journal
        self._kind = kind

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Note a text as it is, another frame as its description."""
        await super().process_frame(frame, direction)
        if isinstance(frame, self._kind) and direction is FrameDirection.DOWNSTREAM:
            text = frame.text if isinstance(frame, TextFrame) else describe(frame)
            self._journal.add(self._worker, "frame", text)
        await self.push_frame(frame, direction)


class Model(FrameProcessor):
    """What an LLM service is to the bus: takes a text, and lets its answer go down instead."""

    def __init__(self, worker: str, journal: Journal) -> None:
        """Make a model that notes what it was asked under its worker's name."""
        super().__init__(name=f"{worker}::Model")
        self._worker = worker
        self._journal = journal

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Answer a text, pass everything else on."""
        await super().process_frame(frame, direction)
        if not isinstance(frame, TextFrame):
            await self.push_frame(frame, direction)
            return
        self._journal.add(self._worker, "asked", frame.text)
        await self.push_frame(TextFrame(text=f"{self._worker} heard {frame.text}"))


class NotingPipelineWorker(PipelineWorker):
    """A `PipelineWorker` that notes its activations."""

    def __init__(self, name: str, pipeline: Pipeline, journal: Journal, **options: Any) -> None:
        """Make the worker, without what only a session with a client needs."""
        super().__init__(pipeline, name=name, idle_timeout_secs=None, enable_rtvi=False, **options)
        self._journal = journal

    async def on_activated(self, args: dict[str, Any] | None) -> None:
        """Note the activation with its arguments."""
        await super().on_activated(args)
        self._journal.add(self.name, "activated", describe(args))

    async def on_deactivated(self) -> None:
        """Note the deactivation."""
        await super().on_deactivated()
        self._journal.add(self.name, "deactivated")

    async def say(self, text: str) -> None:
        """Let a text into the pipeline."""
        await self.queue_frame(TextFrame(text=text))

    async def hand_over(self, to: str, **metadata: Any) -> None:
        """Let another worker take over."""
        args = WorkerActivationArgs(metadata=metadata)
        await self.activate_worker(to, args=args, deactivate_self=True)


def transport(
    name: str, *, journal: Journal, bus: WorkerBus, bridge: str | None = None
) -> PipelineWorker:
    """The user's side: what it is told goes over the bridge, what comes back is noted."""
    crossing = BusBridgeProcessor(bus=bus, worker_name=name, bridge=bridge)
    recorder = Recorder(name, journal, TextFrame)
    return NotingPipelineWorker(name, Pipeline([crossing, recorder]), journal)


def model(
    name: str,
    *,
    journal: Journal,
    bus: WorkerBus,
    active: bool = True,
    bridges: list[str] | None = None,
) -> PipelineWorker:
    """An LLM-like worker, bridged: it answers every text that comes over the bus."""
    bridged = tuple(bridges or ())
    pipeline = Pipeline([Model(name, journal)])
    return NotingPipelineWorker(name, pipeline, journal, active=active, bridged=bridged)


def speaker(name: str, *, journal: Journal, bus: WorkerBus) -> PipelineWorker:
    """A pipeline that notes what it is asked to speak."""
    recorder = Recorder(name, journal, TTSSpeakFrame)
    return NotingPipelineWorker(name, Pipeline([recorder]), journal)


def parallel(name: str, *, journal: Journal, bus: WorkerBus) -> PipelineWorker:
    """A bridged pipeline of two branches: each frame passes both and must come out once (P09)."""
    left, right = Passage(f"{name}::Left"), Passage(f"{name}::Right")
    branches = ParallelPipeline([left], [right])
    pipeline = Pipeline([branches, Recorder(name, journal, TextFrame)])
    return NotingPipelineWorker(name, pipeline, journal, bridged=())


class Passage(FrameProcessor):
    """Passes everything on."""

    def __init__(self, name: str) -> None:
        """Make a passage."""
        super().__init__(name=name)

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Pass the frame on."""
        await super().process_frame(frame, direction)
        await self.push_frame(frame, direction)


PIPELINES = {"model": model, "parallel": parallel, "speaker": speaker, "transport": transport}
