"""`zmqbus health`: how the runners of this user on this host do, for the probes of containers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zmqbus.cli.findings import dump, show, status

if TYPE_CHECKING:
    from zmqbus.doctor.findings import Finding
    from zmqbus.doctor.setup import Setup

_NOBODY_STATUS = 2


def health(
    channel: Annotated[
        str | None, typer.Option(help="The channel; else ZMQBUS_CHANNEL, else pipecat:bus.")
    ] = None,
    pid: Annotated[int | None, typer.Option(help="Ask only the runner of this process.")] = None,
    key_file: Annotated[
        Path | None, typer.Option(readable=False, help="A file of mesh keys.")
    ] = None,
    wait_secs: Annotated[
        float, typer.Option("--wait", min=0, help="Seconds that they may take to answer.")
    ] = 3.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array of findings.")] = False,
) -> None:
    """Ask the runners on this host whether they are well: each link, its event loop, its name.

    They are found in the directory of this host, or at the port of ZMQBUS_BIND. The exit status
    is 0 if all are well, 1 if one is not, 2 if nobody is there.
    """
    from loguru import logger

    from zmqbus.doctor.setup import Options, read_setup

    logger.disable("zmqbus")  # all that it says is in the findings
    setup = read_setup(Options(channel=channel, key_file=key_file))
    if setup.key_error:
        raise setup.key_error
    findings = asyncio.run(_ask(setup, pid, wait_secs))
    if as_json:
        dump(findings)
    else:
        for finding in findings:
            show(finding)
    if not findings:
        where = f"Nobody is on channel {setup.channel!r} on this host"
        typer.echo(f"{where}{'' if pid is None else f', with process id {pid}'}.", err=True)
        raise typer.Exit(_NOBODY_STATUS)
    raise typer.Exit(status(findings))


async def _ask(setup: Setup, pid: int | None, wait_secs: float) -> list[Finding]:
    from zmqbus.doctor.case import Case
    from zmqbus.doctor.probing import ask

    return await ask(Case(setup, wait_secs), pid)
