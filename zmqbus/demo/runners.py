"""What the runners of the demo share: their bus, their names, how they ask for a job."""

from __future__ import annotations

from typing import Any

from pipecat.bus import WorkerBus
from pipecat.workers.base_worker import BaseWorker
from pipecat.workers.runner import WorkerRunner

from zmqbus.bus import ZmqBus

MICROPHONE, LISTENER, STANDBY, DESK = "microphone", "listener", "standby", "desk"


def make_bus(channel: str) -> ZmqBus:
    """The one line that differs from a program on RedisBus."""
    return ZmqBus(channel=channel)


async def make_runner(worker: BaseWorker, bus: WorkerBus, handle_sigterm: bool) -> WorkerRunner:
    """Give a worker a runner of its own, which bears its name.

    Args:
        worker: The worker.
        bus: The bus of the session.
        handle_sigterm: Leave in good order on SIGTERM; Ctrl-C is the session's business.
    """
    name = f"{worker.name}-runner"
    runner = WorkerRunner(name=name, bus=bus, handle_sigint=False, handle_sigterm=handle_sigterm)
    await runner.add_workers(worker)
    return runner


def job_arguments(name: str, payload: dict[str, Any], timeout_secs: float) -> dict[str, Any]:
    """The arguments of `BaseWorker.job()`, which became one object in pipecat 1.8.0.

    Args:
        name: The job's name.
        payload: What it is about.
        timeout_secs: How long to wait for the worker and its answer together.
    """
    arguments = {"name": name, "payload": payload, "timeout": timeout_secs}
    try:
        from pipecat.pipeline.job_context import JobParams
    except ImportError:
        return arguments
    return {"params": JobParams.model_validate(arguments)}
