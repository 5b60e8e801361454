"""The microphone of the demo, on buses of one process."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path

import pytest
from pipecat.bus import BusFrameMessage, BusJobRequestMessage
from pipecat.frames.frames import Frame
from pipecat.workers.base_worker import BaseWorker
from support.buses import Inbox
from support.journal import TIMEOUT_SECS

from zmqbus import ZmqBus
from zmqbus.demo.microphone import Microphone
from zmqbus.demo.recording import FRAME_BYTES, Recording
from zmqbus.demo.runners import LISTENER, MICROPHONE, make_runner

FRAMES = 100


def frames(ear: Inbox) -> list[Frame]:
    """What an inbox has heard, beside what runners tell each other."""
    return [m.frame for m in ear.messages if isinstance(m, BusFrameMessage)]


async def test_listener_met_after_the_request_to_play_hears_every_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Playing begins when the microphone knows the listener: the desk may know it earlier."""
    monkeypatch.setenv("ZMQBUS_RUNTIME_DIR", str(tmp_path))
    channel = uuid.uuid4().hex
    near, far = ZmqBus(channel=channel), ZmqBus(channel=channel)
    recording = Recording(tmp_path / "silence.wav", bytes(FRAMES * FRAME_BYTES))
    microphone, ear = Microphone(recording, True, near), Inbox("ear")
    runners = [await make_runner(microphone, near, handle_sigterm=False)]
    running = [asyncio.create_task(runners[0].run())]
    try:
        await near.wait_for_worker(MICROPHONE, timeout_secs=TIMEOUT_SECS)
        play = BusJobRequestMessage(
            source="desk",
            target=MICROPHONE,
            job_id="1",
            job_name="play",
            payload={"listeners": [LISTENER]},
        )
        await near.send(play)
        runners.append(await make_runner(BaseWorker(name=LISTENER), far, handle_sigterm=False))
        await far.subscribe(ear)
        running.append(asyncio.create_task(runners[1].run()))

        while len(frames(ear)) < FRAMES:
            await ear.wait(len(ear.messages) + 1)
    finally:
        await asyncio.gather(*(runner.cancel() for runner in runners))
        await asyncio.gather(*running)
    assert [frame.metadata["number"] for frame in frames(ear)] == list(range(FRAMES))
