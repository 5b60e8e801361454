"""The demo as a program: two or three child processes, and the desk in this one."""

from __future__ import annotations

import asyncio
import json
import secrets
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from zmqbus.demo.children import Child
from zmqbus.demo.quiet import quiet_pipecat
from zmqbus.demo.recording import Recording
from zmqbus.demo.summary import Summary
from zmqbus.demo.view import View, write_line

INTERRUPTED_STATUS = 130
UNREAD_STATUS = 141
"""What a shell reports of a command that wrote to a closed pipe."""


async def run_session(
    recording: Recording, *, fast: bool, kill: bool, as_json: bool, verbose: bool
) -> int:
    """Run the demo.

    Args:
        recording: What to play.
        fast: As fast as the bus takes it, instead of in real time.
        kill: Kill the listener in mid-sentence, and have a standby go on.
        as_json: The summary as one JSON object on standard output, all else on standard error.
        verbose: Show the logs of all processes.

    Returns:
        The exit status: 0 if nothing was lost and speech was heard, 130 if interrupted, 141 if
        nobody reads the output any more, else 1.
    """
    early: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    with suppress(NotImplementedError):  # Windows: Ctrl-C cancels this coroutine instead
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(
                number, partial(_end_early, early, INTERRUPTED_STATUS)
            )
    channel = f"demo-{secrets.token_hex(8)}"
    played = ("--wav", str(recording.path), *(("--fast",) if fast else ()))
    listener = Child("listener", "--channel", channel, verbose=verbose)
    children = [listener, Child("microphone", "--channel", channel, *played, verbose=verbose)]
    if kill:
        children.append(Child("standby", "--channel", channel, verbose=verbose))
    outcome: Summary | str | int = INTERRUPTED_STATUS
    stream = sys.stderr if as_json else sys.stdout
    view = View(stream, recording.frames_count, partial(_end_early, early, UNREAD_STATUS))
    try:
        for child in children:
            await child.start()
        quiet_pipecat(verbose)
        with view:
            view.event(f"playing {recording.path.name}, {recording.secs:.1f} s of sound")
            killer = listener.kill if kill else None
            vital = children[1:] if kill else children
            outcome = await _lead(recording, channel, view, early, vital, killer)
    finally:
        graceful = isinstance(outcome, Summary)
        await asyncio.gather(*(child.stop(graceful) for child in children))
    return _report(outcome, view, as_json)


async def _lead(
    recording: Recording,
    channel: str,
    view: View,
    early: asyncio.Future[int],
    vital: list[Child],
    kill: Callable[[], None] | None,
) -> Summary | str | int:
    """Be the desk until it has concluded, a vital child has ended, or it shall end early."""
    from zmqbus.demo.desk import Desk
    from zmqbus.demo.runners import make_bus, make_runner

    desk = Desk(recording, view, kill)
    runner = await make_runner(desk, make_bus(channel), handle_sigterm=False)
    running = asyncio.create_task(runner.run())
    exits = [asyncio.create_task(child.wait()) for child in vital]
    ends: list[asyncio.Future[Any]] = [desk.outcome, running, early, *exits]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    failed = [child for child, ended in zip(vital, exits, strict=True) if ended.done()]
    for task in exits:
        task.cancel()
    if desk.outcome.done():
        await desk.end()
        await running
        return desk.outcome.result()
    await runner.cancel()
    await running
    if early.done():
        return early.result()
    return failed[0].failure() if failed else INTERRUPTED_STATUS


def _end_early(early: asyncio.Future[int], status: int) -> None:
    if not early.done():
        early.set_result(status)


def _report(outcome: Summary | str | int, view: View, as_json: bool) -> int:
    """Say how it ended, and return the exit status."""
    if isinstance(outcome, int):
        return outcome
    if isinstance(outcome, str):
        write_line(sys.stderr, outcome)
        return 1
    for line in outcome.lines():
        view.line(line)
    if as_json:
        write_line(sys.stdout, json.dumps(outcome.to_dict()))
    return 0 if outcome.passed else 1
