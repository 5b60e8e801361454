"""`zmqbus key`: make keys, and tell the public half of one."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Make the keys of a mesh and of its runners.", no_args_is_help=True)


@app.command()
def new(
    runner: Annotated[
        bool, typer.Option("--runner", help="The key of one runner, not that of the mesh.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Write it to a new file, readable by its owner alone.")
    ] = None,
) -> None:
    """Make a key: `zmqbus key new > mesh.key`; such a file is taken from everybody else."""
    from zmqbus.keys import MeshKey, RunnerKey
    from zmqbus.keys.files import protect, write_secret

    key = RunnerKey.new() if runner else MeshKey.new()
    text = f"{key.reveal()}\n"
    if out is not None:
        write_secret(out, text)
        return
    protect(sys.stdout.fileno())
    os.write(sys.stdout.fileno(), text.encode())


@app.command()
def public(
    file: Annotated[Path, typer.Argument(readable=False, help="The file of a runner's key.")],
) -> None:
    """Print the public half of a runner's key: what others put into their list of admitted."""
    from zmqbus.keys import RunnerKey
    from zmqbus.keys.files import read_secret
    from zmqbus.net.curve import public_key

    key = RunnerKey.parse(read_secret(file, "file"), f"file {file}")
    sys.stdout.write(f"{public_key(key)}\n")
