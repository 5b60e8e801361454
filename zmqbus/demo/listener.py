"""The listener: hears what the bus brings, tells speech from silence, and says what it heard."""

from __future__ import annotations

from functools import partial

from pipecat.bus import BusJobRequestMessage
from pipecat.pipeline.job_decorator import job
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker

from zmqbus.demo.ear import Ear
from zmqbus.demo.recognizer import Recognizer, is_available
from zmqbus.demo.runners import make_bus, make_runner
from zmqbus.demo.transcription import Transcription


class Listener(PipelineWorker):
    """Answers the job `transcribe` with a stream: progress, speech, text; then the summary.

    The request says how many `frames` the recording has, and from where to `resume`; the chunks
    are those of `Transcription`. Until it is asked, a listener stands by.

    Args:
        name: Its name: there may be several.
    """

    def __init__(self, name: str) -> None:
        self._ear = Ear()
        super().__init__(Pipeline([self._ear]), name=name, bridged=(), idle_timeout_secs=None)

    @job(name="transcribe", sequential=True)  # type: ignore[untyped-decorator]
    async def transcribe(self, message: BusJobRequestMessage) -> None:
        """Listen to as many frames as the request announces."""
        assert message.payload is not None, "the request says how many frames will come"
        job_id, payload = message.job_id, message.payload
        self._ear.listens = True
        recognizer = Recognizer() if is_available() else None
        tell = partial(self.send_job_stream_data, job_id)
        transcription = Transcription(self._ear, recognizer, payload["resume"], tell)
        try:
            if recognizer is not None:
                await recognizer.start()
            started = {"recognizer": "PocketSphinx" if recognizer else None}
            await self.send_job_stream_start(job_id, started)
            heard = await transcription.run(payload["frames"])
        finally:
            if recognizer is not None:
                await recognizer.stop()
        await self.send_job_stream_end(job_id, heard)


async def run_listener(channel: str, name: str) -> None:
    """Be a listener until the session ends.

    Args:
        channel: The session's channel.
        name: The listener's name.
    """
    bus = make_bus(channel)
    await (await make_runner(Listener(name), bus, handle_sigterm=True)).run()
