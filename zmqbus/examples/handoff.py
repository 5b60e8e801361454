"""A conversation handed from worker to worker, each in a process of its own.

    python -m zmqbus.examples.handoff               # starts all three
    python -m zmqbus.examples.handoff greeter       # or each in a terminal, in any order
    python -m zmqbus.examples.handoff expert
    python -m zmqbus.examples.handoff transport

The transport hosts the conversation: what the customer says goes through a `BusBridgeProcessor`
to whichever worker is active, and its answers come back the same way. The workers take turns by
activating each other. Here a script stands in for microphone, recognizer, LLM and voice, so that
it runs without a key; put the services of a real bot in their places and nothing else changes.
In `containers/` the three run under Docker Compose and under Kubernetes.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import subprocess
import sys
from typing import Any

from loguru import logger
from pipecat.bus import BusBridgeProcessor
from pipecat.frames.frames import Frame, TextFrame, TranscriptionFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.registry.types import WorkerReadyData
from pipecat.utils.time import time_now_iso8601
from pipecat.workers.runner import WorkerRunner

from zmqbus import ZmqBus

CUSTOMER = [
    "My bill for June is wrong.",
    "Forty euros too much.",
    "Yes, thank you.",
    "No, thank you.",
]

# What each worker says when its turn begins, and its answer to each thing that it may hear;
# "-> name" hands the conversation over.
TURN_BEGINS = ""
SCRIPTS = {
    "greeter": {
        TURN_BEGINS: "Reception. Is there anything that I can do for you?",
        "My bill for June is wrong.": "-> expert",
        "No, thank you.": "Goodbye!",
    },
    "expert": {
        TURN_BEGINS: "Billing. What is wrong with it?",
        "Forty euros too much.": "I have sent them back to you. Is that all?",
        "Yes, thank you.": "-> greeter",
    },
}


class ScriptedLLM(FrameProcessor):
    """Answers from a script, as an LLM service would from its context."""

    def __init__(self, worker: ScriptedWorker, script: dict[str, str]) -> None:
        super().__init__()
        self._worker = worker
        self._script = script

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Answer what the customer says; let everything else through."""
        await super().process_frame(frame, direction)
        if not isinstance(frame, TranscriptionFrame):
            await self.push_frame(frame, direction)
            return
        answer, _, successor = self._script[frame.text].partition("-> ")
        if successor:  # as from a tool call: in a task, so that this pipeline can drain
            self.create_task(self._worker.activate_worker(successor, deactivate_self=True))
        else:
            await self.push_frame(TextFrame(f"{self._worker.name}: {answer}"))


class ScriptedWorker(PipelineWorker):
    """One of the workers that take turns: bridged to the bus, and waiting to be activated."""

    def __init__(self, name: str) -> None:
        pipeline = Pipeline([ScriptedLLM(self, SCRIPTS[name])])
        super().__init__(pipeline, name=name, bridged=(), active=False)

    async def on_activated(self, args: dict[str, Any] | None) -> None:
        """Begin a turn."""
        await super().on_activated(args)
        opening = SCRIPTS[self.name][TURN_BEGINS]
        await self.queue_frame(TextFrame(f"{self.name}: {opening}"))


class Customer(FrameProcessor):
    """Stands in for the transport's output: prints what it hears, and answers questions."""

    def __init__(self, worker: Transport) -> None:
        super().__init__()
        self._worker = worker
        self._lines = iter(CUSTOMER)

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Hear an answer."""
        await super().process_frame(frame, direction)
        await self.push_frame(frame, direction)
        if isinstance(frame, TextFrame) and not isinstance(frame, TranscriptionFrame):
            say(frame.text)
            if frame.text.endswith("?"):
                await self._speak()
            elif frame.text.endswith("Goodbye!"):
                self.create_task(self._worker.end())

    async def _speak(self) -> None:
        """Say the next line, as a recognizer would pass it on."""
        line = next(self._lines)
        say(f"customer: {line}")
        await self._worker.queue_frame(TranscriptionFrame(line, "customer", time_now_iso8601()))


class Transport(PipelineWorker):
    """Hosts the conversation, and begins it when both workers are known."""

    def __init__(self, bus: ZmqBus) -> None:
        bridge = BusBridgeProcessor(bus=bus, worker_name="transport")
        pipeline = Pipeline([bridge, Customer(self)])
        super().__init__(pipeline, name="transport", enable_rtvi=False)
        self._missing = set(SCRIPTS)

    async def on_activated(self, args: dict[str, Any] | None) -> None:
        """Look for the workers."""
        await super().on_activated(args)
        await self.watch_workers(*SCRIPTS)

    async def on_worker_ready(self, data: WorkerReadyData) -> None:
        """Note one; activate the first when none is missing."""
        await super().on_worker_ready(data)
        say(f"({data.worker_name} is on {data.runner})")
        self._missing.discard(data.worker_name)
        if not self._missing:
            await self.activate_worker("greeter")


def say(words: str) -> None:
    """Print a line at once, also into a pipe."""
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


async def run(role: str, channel: str | None) -> None:
    """Be one of the three processes until the conversation ends, or a SIGTERM comes.

    Args:
        role: "transport", "greeter" or "expert".
        channel: Which conversation; None: that of ZMQBUS_CHANNEL.
    """
    bus = ZmqBus(channel=channel)  # with RedisBus: RedisBus(redis=Redis(...), channel=channel)
    worker = Transport(bus) if role == "transport" else ScriptedWorker(role)
    runner = WorkerRunner(name=f"{role}-runner", bus=bus, handle_sigterm=True)
    await runner.add_workers(worker)
    await runner.run()


def main() -> None:
    """Run one role, or all three."""
    logger.remove()  # pipecat logs much; what is said here is the conversation
    logger.add(sys.stderr, level="ERROR")
    parser = argparse.ArgumentParser(prog="python -m zmqbus.examples.handoff")
    parser.add_argument("role", nargs="?", choices=["transport", *SCRIPTS])
    parser.add_argument("channel", nargs="?")
    options = parser.parse_args()
    if options.role:
        asyncio.run(run(options.role, options.channel))
        return
    channel = f"handoff-{secrets.token_hex(8)}"
    command = (sys.executable, "-m", "zmqbus.examples.handoff")
    others = [subprocess.Popen((*command, role, channel)) for role in SCRIPTS]
    try:
        asyncio.run(run("transport", channel))
        for other in others:
            other.wait(timeout=10)
    finally:
        for other in others:
            other.kill()


if __name__ == "__main__":
    main()
