"""`zmqbus demo`: real speech through a few processes on this machine."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer


def demo(
    wav: Annotated[
        Path | None,
        typer.Option(help="Play this WAV file, of any rate and channel count.", show_default=False),
    ] = None,
    fast: Annotated[
        bool, typer.Option("--fast", help="As fast as the bus takes it, not in real time.")
    ] = False,
    kill: Annotated[
        bool,
        typer.Option(
            "--kill", help="Kill the listener in mid-sentence; a second one stands by and goes on."
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="The summary as one JSON object on standard output.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Show the logs of all processes.")
    ] = False,
) -> None:
    """Stream speech from a microphone process to a listener process, and see it transcribed.

    No key, no server, no network. The exit status is 0 only if nothing was lost, speech was heard
    and, with --kill, the sentence was transcribed to its end.
    """
    from zmqbus.demo.recording import DEFAULT_RECORDING, load_recording
    from zmqbus.demo.session import run_session

    if kill:
        _check_kill(fast)
    recording = load_recording(wav or DEFAULT_RECORDING)
    session = run_session(recording, fast=fast, kill=kill, as_json=as_json, verbose=verbose)
    raise typer.Exit(asyncio.run(session))


def _check_kill(fast: bool) -> None:
    """Refuse a kill that cannot be in mid-sentence.

    Raises:
        ConfigError: The sentence is over at once, or nobody would write it down.
    """
    from zmqbus.demo.recognizer import is_available
    from zmqbus.errors import ConfigError

    if fast:
        reason = "with --fast a sentence is over before anybody can be killed in the middle of it"
        raise ConfigError("--kill", True, reason, "leave one of the two out")
    if not is_available():
        reason = "it takes a recognizer to know when a sentence is half understood"
        raise ConfigError("--kill", True, reason, "pip install 'pipecat-zmqbus[demo]'")
