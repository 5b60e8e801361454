"""The architecture: who may know whom, held to a table that is read with `ast`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.layers import Row, violations

import zmqbus

PACKAGE = Path(zmqbus.__file__).parent
MOST_LINES = 400
"""A module has one idea; beyond this it has two."""


def _row(own: str = "", third: str = "", *, pure: bool = False, **only: str) -> Row:
    return Row(
        frozenset(own.split()),
        frozenset(third.split()),
        pure,
        {place: frozenset(names.split()) for place, names in only.items()},
    )


_IDS = "ID_BYTES MAX_NAME_BYTES NOBODY ChannelId NodeId"
_PIPECAT = "loguru pipecat"
_ANYTHING = "bus codec config core demo doctor errors health keys net node packets sim views wire"

#: By place, the first name below `zmqbus`. Each third party has one door.
ROWS = {
    "": _row("bus codec config keys node"),
    "errors": _row(pure=True),
    "packets": _row(pure=True),
    "config": _row("errors", pure=True),
    "records": _row("errors packets", "msgpack", pure=True),
    "wire": _row("errors packets records", pure=True),
    "core": _row("config errors packets", pure=True),
    "sim": _row("config core errors packets", pure=True),
    "views": _row(pure=True),
    "health": _row("views", pure=True),
    "bell": _row(),
    "settings": _row("errors packets", packets=_IDS),
    "keys": _row("errors"),
    "net": _row(
        "config errors keys packets",
        "ifaddr loguru zeroconf zmq",
        packets=f"{_IDS} MIN_VERSION VERSION",
    ),
    "incarnation": _row("bell config core errors keys net packets wire", "loguru"),
    "node": _row("bell config core errors incarnation keys net packets settings wire", "loguru"),
    "codec": _row("errors", "loguru msgpack numpy pipecat pydantic"),
    "gate": _row("", _PIPECAT),
    "registry": _row("gate", _PIPECAT),
    "flush": _row("", _PIPECAT),
    "jobs": _row("gate packets", _PIPECAT, packets=_IDS),
    "directory": _row("bell core errors packets views", _PIPECAT),
    "reception": _row("codec core errors packets", _PIPECAT),
    "slices": _row(),
    "stale": _row("gate packets", _PIPECAT, packets=_IDS),
    "session": _row(
        "core directory flush jobs node packets reception registry slices stale views", _PIPECAT
    ),
    "bus": _row(
        "bell codec config core errors gate health jobs keys node packets registry session "
        "settings stale views",
        _PIPECAT,
    ),
    "doctor": _row("config core errors incarnation keys net node packets settings wire"),
    "demo": _row(_ANYTHING, f"{_PIPECAT} nltk numpy pocketsphinx rich soxr"),
    "examples": Row(frozenset([""]), frozenset(_PIPECAT.split())),
    "cli": _row(_ANYTHING, f"{_PIPECAT} rich typer"),
    "__main__": _row("cli"),
}


def test_every_module_keeps_to_its_row_and_to_one_idea() -> None:
    """Arrows point down and never back, also inside functions and under TYPE_CHECKING."""
    assert violations(PACKAGE, ROWS, MOST_LINES) == []


def test_third_parties_have_their_doors() -> None:
    """The table itself keeps zmq to net, msgpack to records and codec, pipecat out of the mesh."""
    doors = {
        name: {place for place, row in ROWS.items() if name in row.third}
        for name in ("zmq", "zeroconf", "msgpack", "pipecat")
    }
    above = {
        "gate",
        "registry",
        "flush",
        "jobs",
        "directory",
        "reception",
        "stale",
        "session",
        "bus",
        "demo",
        "examples",
        "cli",
    }
    assert doors == {
        "zmq": {"net"},
        "zeroconf": {"net"},
        "msgpack": {"records", "codec"},
        "pipecat": above | {"codec"},
    }


@pytest.mark.parametrize(
    "statement",
    ["import zmqbus", *(f"import zmqbus.{m}" for m in ("core", "wire", "config", "errors", "sim"))],
)
def test_import_below_the_sockets_loads_neither_pipecat_nor_zmq(statement: str) -> None:
    """Importing pipecat takes half a second and prints a banner; the core needs none of it."""
    check = f"{statement}; import sys; print([m for m in sys.modules if m in ('pipecat', 'zmq')])"
    ran = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert (ran.stdout, ran.stderr) == ("[]\n", "")


# -- the test tested


def _tree(root: Path, files: dict[str, str]) -> Path:
    """A package in ``root`` with these files, and an ``__init__.py`` wherever there is none."""
    package = root / "zmqbus"
    for name, text in files.items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for directory in {p.parent for p in package.rglob("*.py")} | {package}:
        (directory / "__init__.py").touch()
    return package


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"gossip.py": ""}, "zmqbus.gossip: has no row"),
        ({"core/a.py": "from zmqbus.net import x"}, "zmqbus.core.a:1: imports zmqbus.net"),
        ({"core/a.py": "import zmqbus.wire"}, "zmqbus.core.a:1: imports zmqbus.wire"),
        ({"core/a.py": "from zmqbus import ZmqBus"}, "zmqbus.core.a:1: imports zmqbus"),
        (
            {"core/a.py": "from zmqbus import wire", "wire.py": ""},
            "zmqbus.core.a:1: imports zmqbus.wire",
        ),
        ({"core/a.py": "from .. import bus", "bus.py": ""}, "zmqbus.core.a:1: imports zmqbus.bus"),
        ({"core/a.py": "from ..bus import Z", "bus.py": ""}, "zmqbus.core.a:1: imports zmqbus.bus"),
        ({"core/__init__.py": "from ..bus import Z"}, "zmqbus.core:1: imports zmqbus.bus"),
        ({"wire.py": "def f():\n    import zmq"}, "zmqbus.wire:2: imports zmq"),
        (
            {"node.py": "if TYPE_CHECKING:\n    from pipecat.bus import WorkerBus"},
            "zmqbus.node:2: imports pipecat.bus",
        ),
        ({"cli/a.py": "import msgpack"}, "zmqbus.cli.a:1: imports msgpack"),
        ({"bus.py": "import zmq.asyncio"}, "zmqbus.bus:1: imports zmq.asyncio"),
        (
            {"net/a.py": "from zmqbus.packets import Hello"},
            "zmqbus.net.a:1: imports zmqbus.packets",
        ),
        ({"core/a.py": "import asyncio"}, "zmqbus.core.a:1: imports asyncio"),
        ({"core/a.py": "from time import monotonic"}, "zmqbus.core.a:1: imports time"),
        ({"sim/a.py": "import os.path"}, "zmqbus.sim.a:1: imports os.path"),
        ({"core/a.py": "from random import random"}, "zmqbus.core.a:1: imports random"),
        ({"core/a.py": "import random\nrandom.random()"}, "zmqbus.core.a:2: uses random.random"),
        ({"bus.py": "import pickle"}, "zmqbus.bus:1: imports pickle"),
        ({"net/a.py": "socket.recv_pyobj()"}, "zmqbus.net.a:1: uses recv_pyobj"),
        ({"codec/a.py": "eval('1')"}, "zmqbus.codec.a:1: uses eval"),
        ({"bell.py": "\n" * 401}, "zmqbus.bell: 401 lines"),
        (
            {"core/a.py": "from .b import x", "core/b.py": "def f():\n    from . import a"},
            "cycle: zmqbus.core.a < zmqbus.core.b < zmqbus.core.a",
        ),
    ],
)
def test_each_kind_of_violation_is_found(tmp_path: Path, files: dict[str, str], found: str) -> None:
    """The test of the layers fails when it should, and says where."""
    assert violations(_tree(tmp_path, files), ROWS, MOST_LINES) == [found]


def test_what_is_allowed_is_not_found(tmp_path: Path) -> None:
    """And only then."""
    files = {
        "core/a.py": "import random\nfrom zmqbus.core.b import x\ndef f(rng: random.Random): ...",
        "core/b.py": "from random import Random\nfrom zmqbus.packets import Hello",
        "net/a.py": "import zmq, os\nfrom zmqbus.packets import NodeId",
        "bell.py": "\n" * 400,
    }
    assert violations(_tree(tmp_path, files), ROWS, MOST_LINES) == []
