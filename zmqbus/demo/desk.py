"""The desk: finds the others, has a listener listen and the microphone play.

With a standby it is also the example of a failover. When the runner of the listener dies, the bus
answers the outstanding job with an ERROR response; the desk requests the same job from the standby,
which the registry's watch has found long ago, from where the last complete sentence ended. The
standby's ear has the sound of what follows (`Ear.sound`), and the microphone never stops.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from pipecat.bus import BusJobResponseMessage, BusJobResponseUrgentMessage
from pipecat.pipeline.job_context import JobError, JobEvent, JobGroupError, JobStatus
from pipecat.registry.types import WorkerReadyData
from pipecat.workers.base_worker import BaseWorker

from zmqbus.bus import ZmqBus
from zmqbus.demo.failover import FAILED, HANDED_OVER, LOST, SENTENCE, TEXT, Failover
from zmqbus.demo.recording import FRAME_SECS, Recording
from zmqbus.demo.runners import DESK, LISTENER, MICROPHONE, STANDBY, job_arguments
from zmqbus.demo.summary import Summary
from zmqbus.demo.view import View
from zmqbus.views import Peer

# Two or three more interpreters have to start, perhaps on a slow machine.
_STARTUP_SECS = 60.0

# So many words of a sentence are understood when its listener is killed: some tenths of a second
# behind the speaker, the middle of most sentences.
KILL_AFTER_WORDS = 8


class Desk(BaseWorker):
    """Leads the session; `outcome` is its summary, or a sentence that says why there is none.

    Args:
        recording: What the microphone will play.
        view: Where to show what happens.
        kill: Kills the process of the listener; given only if there is a standby.
    """

    def __init__(
        self, recording: Recording, view: View, kill: Callable[[], None] | None = None
    ) -> None:
        super().__init__(name=DESK)
        self.outcome: asyncio.Future[Summary | str] = asyncio.get_running_loop().create_future()
        self._recording = recording
        self._view = view
        self._kill = kill
        self._failover = Failover()
        self._listeners = [LISTENER] if kill is None else [LISTENER, STANDBY]
        self._resume: dict[str, Any] = {"first": 0, "text": "", "segments": []}
        self._started: dict[str, Any] = {}
        self._playing: asyncio.Task[int] | None = None
        self._timeout_secs = _STARTUP_SECS + 2 * recording.secs

    async def on_activated(self, args: dict[str, Any] | None) -> None:
        """Begin, as soon as this worker is on the bus."""
        await super().on_activated(args)
        self.bus.add_event_handler("on_peer_lost", self._on_peer_lost)
        await self.watch_workers(MICROPHONE, *self._listeners)
        self.create_task(self._transcribe(), "transcribe")

    async def on_worker_ready(self, data: WorkerReadyData) -> None:
        """Show each worker as the registry learns of it."""
        await super().on_worker_ready(data)
        self._view.event(f"found {data.worker_name} on {data.runner}")

    async def on_job_response(
        self, message: BusJobResponseMessage | BusJobResponseUrgentMessage
    ) -> None:
        """Show the answer of a job that failed."""
        await super().on_job_response(message)
        if message.status == JobStatus.ERROR:
            self._failover.note(FAILED)
            reason = (message.response or {}).get("error", "no reason given")
            self._view.event(f"ERROR response to the job of {message.source}: {reason}")

    async def _on_peer_lost(self, _bus: ZmqBus, peer: Peer, reason: str) -> None:
        self._failover.note(LOST)
        self._view.event(f"lost {peer}: {reason}")

    async def _transcribe(self) -> None:
        """Have the recording transcribed, by the standby what the listener left; conclude."""
        failure = ""
        for listener in self._listeners:
            try:
                heard = await self._listen(listener)
            except (JobError, JobGroupError) as error:
                failure = f"The {listener} did not finish its job: {error}."
            else:
                await self._conclude_with(heard)
                return
        self._conclude(failure)

    async def _listen(self, listener: str) -> dict[str, Any]:
        """Have one listener listen to the end, and return what it heard."""
        payload = {"frames": self._recording.frames_count, "resume": self._resume}
        request = job_arguments("transcribe", payload, self._timeout_secs)
        async with self.job(listener, **request) as transcribing:
            async for event in transcribing:
                if event.type == JobEvent.STREAM_START:
                    self._on_listening(listener, event.data or {})
                elif event.type == JobEvent.STREAM_DATA:
                    self._on_chunk(event.data or {})
        response: dict[str, Any] = transcribing.response
        return response

    def _on_listening(self, listener: str, started: dict[str, Any]) -> None:
        self._started = started
        self._failover.note(HANDED_OVER)
        from_secs = self._resume["first"] * FRAME_SECS
        self._view.listening(listener, started["recognizer"], from_secs)
        self._playing = self._playing or self.create_task(self._play(), "play")

    def _on_chunk(self, chunk: dict[str, Any]) -> None:
        self._view.show(chunk)
        if "text" not in chunk:
            return
        self._failover.note(TEXT)
        if "resume" in chunk:
            self._resume = chunk["resume"]
            self._failover.note(SENTENCE)
        elif self._kill is not None and not self._failover.has_begun:
            words = len(chunk["text"].split()) - len(self._resume["text"].split())
            if words >= KILL_AFTER_WORDS:
                self._view.event(f"killing the process of {LISTENER} with SIGKILL, in mid-sentence")
                self._failover.begin()
                self._kill()

    async def _play(self) -> int:
        """Have the recording played, and return how many frames were sent."""
        payload = {"listeners": self._listeners}
        request = job_arguments("play", payload, self._timeout_secs)
        try:
            async with self.job(MICROPHONE, **request) as playing:
                pass
        except (JobError, JobGroupError) as error:
            self._conclude(f"The microphone did not finish its job: {error}.")
            return 0
        sent: int = playing.response["sent"]
        return sent

    async def _conclude_with(self, heard: dict[str, Any]) -> None:
        assert self._playing is not None, "a listener that answers has begun to listen"
        told: dict[str, Any] = {**self._started, **heard}
        summary = Summary(
            frames=self._recording.frames_count,
            sent=await self._playing,
            reference=self._recording.reference,
            steps=self._failover.steps if self._kill else None,
            **told,
        )
        self._conclude(summary)

    def _conclude(self, outcome: Summary | str) -> None:
        if not self.outcome.done():
            self.outcome.set_result(outcome)
