"""`zmqbus demo`: real speech through three processes on this machine."""

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
    as_json: Annotated[
        bool, typer.Option("--json", help="The summary as one JSON object on standard output.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Show the logs of all three processes.")
    ] = False,
) -> None:
    """Stream speech from a microphone process to a listener process, and see it transcribed.

    No key, no server, no network. The exit status is 0 only if nothing was lost and speech was
    heard.
    """
    from zmqbus.demo.recording import DEFAULT_RECORDING, load_recording
    from zmqbus.demo.session import run_session

    recording = load_recording(wav or DEFAULT_RECORDING)
    session = run_session(recording, fast=fast, as_json=as_json, verbose=verbose)
    raise typer.Exit(asyncio.run(session))
