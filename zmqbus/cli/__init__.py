"""The `zmqbus` command: one module per subcommand, assembled here.

Nothing here imports pipecat; a subcommand does when it runs.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from zmqbus.cli.demo import demo
from zmqbus.cli.doctor import doctor
from zmqbus.cli.health import health
from zmqbus.cli.key import app as key_app
from zmqbus.cli.peers import peers
from zmqbus.cli.sim import sim
from zmqbus.errors import ZmqBusError

USAGE_STATUS = 2

app = typer.Typer(
    help="A brokerless mesh for Pipecat: see it work, and look into a running one.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(demo)
app.command()(doctor)
app.command()(health)
app.command()(peers)
app.command()(sim)
app.add_typer(key_app, name="key")


def _show_version(wanted: bool) -> None:
    if wanted:
        packages = ("pipecat-zmqbus", "pipecat-ai", "pyzmq")
        typer.echo(", ".join(f"{package} {version(package)}" for package in packages))
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Say the versions and exit."
        ),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command; an error of ours is one sentence on standard error."""
    try:
        app()
    except ZmqBusError as error:
        sys.stderr.write(f"zmqbus: {error}\n")
        sys.exit(USAGE_STATUS)
