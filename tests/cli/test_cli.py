"""The `zmqbus` command: cheap to ask, clear about what is wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from zmqbus import __version__


def run_cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    command = (sys.executable, "-m", "zmqbus.cli", *arguments)
    return subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)


@pytest.mark.parametrize("code", ["import zmqbus.cli", "import zmqbus.cli; zmqbus.cli.main()"])
def test_help_and_import_never_load_pipecat(code: str) -> None:
    """Neither the import nor `--help` costs what pipecat costs (habit 20)."""
    script = (
        "import atexit, sys\n"
        "heavy = {'pipecat', 'numpy', 'zmq', 'loguru'}\n"
        "atexit.register(lambda: sys.stderr.write(repr(sorted(heavy & set(sys.modules)))))\n"
        f"{code}\n"
    )
    command = (sys.executable, "-c", script, "--help")
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)

    assert (done.returncode, done.stderr) == (0, "[]")


def test_package_is_the_command_too() -> None:
    """For where the script is not on the PATH."""
    command = (sys.executable, "-m", "zmqbus", "--version")
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=True)
    assert done.stdout == run_cli("--version").stdout


def test_help_names_every_command() -> None:
    """A newcomer sees what there is."""
    done = run_cli("--help")

    assert done.returncode == 0
    assert "demo" in done.stdout
    assert "peers" in done.stdout


def test_version_names_the_packages_that_matter() -> None:
    """A bug report needs one line."""
    done = run_cli("--version")

    assert done.returncode == 0
    assert done.stdout.startswith(f"pipecat-zmqbus {__version__}, pipecat-ai ")


@pytest.mark.parametrize("arguments", [("nonsense",), ("demo", "--nonsense"), ("demo", "extra")])
def test_wrong_usage_exits_2(arguments: tuple[str, ...]) -> None:
    """What is not understood is refused before anything starts."""
    assert run_cli(*arguments).returncode == 2


def test_demo_with_an_unreadable_file_is_one_sentence(tmp_path: Path) -> None:
    """No traceback, no banner: the file, the reason, the way out; status 2."""
    path = tmp_path / "notes.wav"
    path.write_text("no sound in here")

    done = run_cli("demo", "--json", "--wav", str(path))

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"zmqbus: --wav={str(path)!r}: it is not a WAV file; "
        "give a WAV file with PCM or float samples.\n"
    )
