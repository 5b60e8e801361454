"""`zmqbus doctor`: what is wrong with the mesh, seen from this host, and what to do about it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zmqbus.cli.findings import dump, show, status

if TYPE_CHECKING:
    from zmqbus.doctor.findings import Finding
    from zmqbus.doctor.setup import Setup


def doctor(
    channel: Annotated[str | None, typer.Option(help="As of the bus; else ZMQBUS_CHANNEL.")] = None,
    bind: Annotated[str | None, typer.Option(help="tcp://host:port or ipc://path.")] = None,
    advertise: Annotated[str | None, typer.Option(help="host:port, if not what is bound.")] = None,
    peers: Annotated[str | None, typer.Option(help="Seeds, with commas between.")] = None,
    discovery: Annotated[str | None, typer.Option(help="local, lan, or local,lan.")] = None,
    key_file: Annotated[
        Path | None, typer.Option(readable=False, help="A file of mesh keys.")
    ] = None,
    insecure: Annotated[
        bool | None,
        typer.Option("--insecure", help="Leave loopback without a key.", show_default=False),
    ] = None,
    wait_secs: Annotated[
        float, typer.Option("--wait", min=0, help="Seconds that others may take to answer.")
    ] = 5.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array of findings.")] = False,
) -> None:
    """Find out why runners do not meet, and say what to do.

    Give it what the bus is given: options, or the same environment. The exit status is 1 if
    something is wrong, and 2 for settings with which no bus would start.
    """
    from loguru import logger

    from zmqbus.doctor.setup import Options, read_setup

    logger.disable("zmqbus")  # all that it says is in the findings
    options = Options(channel, bind, advertise, peers, discovery, key_file, insecure)
    findings = asyncio.run(_examine(read_setup(options), wait_secs, as_json))
    if as_json:
        dump(findings)
    raise typer.Exit(status(findings))


async def _examine(setup: Setup, wait_secs: float, as_json: bool) -> list[Finding]:
    from zmqbus.doctor.case import Case
    from zmqbus.doctor.examination import examine

    findings = []
    async for finding in examine(Case(setup, wait_secs)):
        findings.append(finding)
        if not as_json:
            show(finding)
    return findings
