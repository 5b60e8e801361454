"""The demo as a program: two child processes, and the desk in this one."""

from __future__ import annotations

import asyncio
import json
import secrets
import signal
import sys
from contextlib import suppress
from typing import Any

from zmqbus.demo.children import Child
from zmqbus.demo.quiet import quiet_pipecat
from zmqbus.demo.recording import Recording
from zmqbus.demo.summary import Summary
from zmqbus.demo.view import View

INTERRUPTED_STATUS = 130


async def run_session(recording: Recording, *, fast: bool, as_json: bool, verbose: bool) -> int:
    """Run the demo.

    Args:
        recording: What to play.
        fast: As fast as the bus takes it, instead of in real time.
        as_json: The summary as one JSON object on standard output, all else on standard error.
        verbose: Show the logs of all three processes.

    Returns:
        The exit status: 0 if nothing was lost and speech was heard, 130 if interrupted, else 1.
    """
    interrupted = asyncio.Event()
    with suppress(NotImplementedError):  # Windows: Ctrl-C cancels this coroutine instead
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, interrupted.set)
    channel = f"demo-{secrets.token_hex(8)}"
    played = ("--wav", str(recording.path), *(("--fast",) if fast else ()))
    children = [
        Child("listener", "--channel", channel, verbose=verbose),
        Child("microphone", "--channel", channel, *played, verbose=verbose),
    ]
    outcome: Summary | str | None = None
    view = View(sys.stderr if as_json else sys.stdout, recording.frames_count)
    try:
        for child in children:
            await child.start()
        quiet_pipecat(verbose)
        with view:
            view.line(f"playing {recording.path.name}, {recording.secs:.1f} s of sound")
            outcome = await _lead(recording, channel, view, children, interrupted)
    finally:
        graceful = isinstance(outcome, Summary)
        await asyncio.gather(*(child.stop(graceful) for child in children))
    return _report(outcome, view, as_json)


async def _lead(
    recording: Recording,
    channel: str,
    view: View,
    children: list[Child],
    interrupted: asyncio.Event,
) -> Summary | str | None:
    """Be the desk until it has concluded, a child has failed, or somebody interrupts."""
    from zmqbus.demo.desk import Desk
    from zmqbus.demo.runners import make_bus, make_runner

    desk = Desk(recording, view)
    runner = await make_runner(desk, make_bus(channel), handle_sigterm=False)
    running = asyncio.create_task(runner.run())
    exits = [asyncio.create_task(child.wait()) for child in children]
    interruption = asyncio.create_task(interrupted.wait())
    ends: list[asyncio.Future[Any]] = [desk.outcome, running, interruption, *exits]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    failed = [child for child, ended in zip(children, exits, strict=True) if ended.done()]
    for task in (interruption, *exits):
        task.cancel()
    if desk.outcome.done():
        await desk.end()
        await running
        return desk.outcome.result()
    await runner.cancel()
    await running
    return failed[0].failure() if failed else None


def _report(outcome: Summary | str | None, view: View, as_json: bool) -> int:
    """Say how it ended, and return the exit status."""
    if outcome is None:
        return INTERRUPTED_STATUS
    if isinstance(outcome, str):
        sys.stderr.write(f"{outcome}\n")
        return 1
    for line in outcome.lines():
        view.line(line)
    if as_json:
        sys.stdout.write(json.dumps(outcome.to_dict()) + "\n")
    return 0 if outcome.passed else 1
