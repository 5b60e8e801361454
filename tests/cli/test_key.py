"""`zmqbus key`: keys reach their files, and nobody else."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import get_type_hints

import pytest

from zmqbus.cli.doctor import doctor
from zmqbus.cli.health import health
from zmqbus.cli.key import public
from zmqbus.keys import MeshKey, PublicKey, RunnerKey
from zmqbus.keys.files import read_ring
from zmqbus.net.curve import public_key

posix = pytest.mark.skipif(os.name != "posix", reason="modes are those of POSIX")


def run_key(*arguments: str, stdout: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    """Run the command in a process with an umask that shows everything to everybody."""
    command = (sys.executable, "-m", "zmqbus.cli", "key", *arguments)
    return subprocess.run(
        command, stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=50, umask=0, check=False
    )


def mode(path: Path) -> int:
    """The permissions of a file."""
    return stat.S_IMODE(path.stat().st_mode)


@posix
def test_key_redirected_to_a_file_is_its_owners_alone(tmp_path: Path) -> None:
    """`zmqbus key new > mesh.key`, as the README says, makes a file that can be used at once."""
    path = tmp_path / "mesh.key"
    with path.open("w") as file:
        done = run_key("new", stdout=file.fileno())
    assert (done.returncode, done.stderr) == (0, "")
    assert mode(path) == 0o600
    assert read_ring(path).keys.mesh == (MeshKey.parse(path.read_text()),)


@posix
def test_out_writes_a_new_file_and_never_over_an_old_one(tmp_path: Path) -> None:
    """A key that is overwritten is gone."""
    path = tmp_path / "mesh.key"
    assert run_key("new", "--out", str(path)).stdout == ""
    first = path.read_text()
    again = run_key("new", "--out", str(path))
    assert again.returncode == 2
    assert again.stderr == (
        f"zmqbus: out='{path}': it exists, and a key that is overwritten is gone; "
        "choose another file.\n"
    )
    assert (mode(path), path.read_text()) == (0o600, first)


def test_each_key_is_another(tmp_path: Path) -> None:
    """Through a pipe it is one line."""
    lines = [run_key("new").stdout, run_key("new").stdout]
    assert MeshKey.parse(lines[0]) != MeshKey.parse(lines[1])
    assert all(line.count("\n") == 1 for line in lines)


def test_public_half_is_told_without_the_secret(tmp_path: Path) -> None:
    """What is printed is what `admit` takes."""
    path = tmp_path / "desk.key"
    run_key("new", "--runner", "--out", str(path))
    done = run_key("public", str(path))
    assert PublicKey.parse(done.stdout.strip()) == public_key(RunnerKey.parse(path.read_text()))
    assert path.read_text().strip()[15:] not in done.stdout


def test_mesh_key_has_no_public_half_to_admit(tmp_path: Path) -> None:
    """The wrong kind of file is named as such."""
    path = tmp_path / "mesh.key"
    run_key("new", "--out", str(path))
    done = run_key("public", str(path))
    assert (done.returncode, done.stdout) == (2, "")
    assert "a key that begins with zmqbusmesh_, where one with zmqbusrunner_" in done.stderr


@pytest.mark.parametrize(
    ("command", "argument"), [(doctor, "key_file"), (health, "key_file"), (public, "file")]
)
def test_key_file_that_cannot_be_read_is_for_us_to_explain(
    command: Callable[..., None], argument: str
) -> None:
    """Whose it should be matters, and is not said where it is taken for a wrong argument."""
    hint = get_type_hints(command, include_extras=True)[argument]
    [taken] = hint.__metadata__
    assert not taken.readable
