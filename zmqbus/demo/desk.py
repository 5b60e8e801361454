"""The desk: finds the other two, has the listener listen and the microphone play."""

from __future__ import annotations

import asyncio
from typing import Any

from pipecat.pipeline.job_context import JobError, JobEvent, JobGroupError
from pipecat.registry.types import WorkerReadyData
from pipecat.workers.base_worker import BaseWorker

from zmqbus.demo.recording import Recording
from zmqbus.demo.runners import DESK, LISTENER, MICROPHONE, job_arguments
from zmqbus.demo.summary import Summary
from zmqbus.demo.view import View

# Two more interpreters have to start, perhaps on a slow machine.
_STARTUP_SECS = 60.0


class Desk(BaseWorker):
    """Leads the session; `outcome` is its summary, or a sentence that says why there is none.

    Args:
        recording: What the microphone will play.
        view: Where to show what happens.
    """

    def __init__(self, recording: Recording, view: View) -> None:
        super().__init__(name=DESK)
        self.outcome: asyncio.Future[Summary | str] = asyncio.get_running_loop().create_future()
        self._recording = recording
        self._view = view
        self._timeout_secs = _STARTUP_SECS + 2 * recording.secs

    async def on_activated(self, args: dict[str, Any] | None) -> None:
        """Begin, as soon as this worker is on the bus."""
        await super().on_activated(args)
        await self.watch_workers(MICROPHONE, LISTENER)
        self.create_task(self._transcribe(), "transcribe")

    async def on_worker_ready(self, data: WorkerReadyData) -> None:
        """Show each worker as the registry learns of it."""
        await super().on_worker_ready(data)
        self._view.discovered(data.worker_name, data.runner)

    async def _transcribe(self) -> None:
        """Have the listener listen, then the microphone play; conclude with what both say."""
        frames = self._recording.frames_count
        request = job_arguments("transcribe", {"frames": frames}, self._timeout_secs)
        try:
            async with self.job(LISTENER, **request) as transcribing:
                async for event in transcribing:
                    if event.type == JobEvent.STREAM_START:
                        started = event.data or {}
                        self._view.listening(started["recognizer"])
                        playing = self.create_task(self._play(), "play")
                    elif event.type == JobEvent.STREAM_DATA:
                        self._view.show(event.data or {})
        except (JobError, JobGroupError) as error:
            self._conclude(f"The listener did not finish its job: {error}.")
            return
        counts = {"frames": frames, "sent": await playing}
        words = {"reference": self._recording.reference, **started}
        self._conclude(Summary(**counts, **words, **transcribing.response))

    async def _play(self) -> int:
        """Have the recording played, and return how many frames were sent."""
        try:
            async with self.job(
                MICROPHONE, **job_arguments("play", {}, self._timeout_secs)
            ) as playing:
                pass
        except (JobError, JobGroupError) as error:
            self._conclude(f"The microphone did not finish its job: {error}.")
            return 0
        sent: int = playing.response["sent"]
        return sent

    def _conclude(self, outcome: Summary | str) -> None:
        if not self.outcome.done():
            self.outcome.set_result(outcome)
