"""How results are printed: for people, with what they were measured with, or as JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from bench.figures import Row

_PACKAGES = (
    *("pipecat-zmqbus", "pipecat-ai", "pyzmq", "msgpack"),
    *("redis", "nats-py", "eclipse-zenoh", "uvloop"),
)


def where() -> dict[str, str]:
    """The machine, and the versions of what is installed."""
    found = {"python": platform.python_version(), "CPU": f"{_cpu()} x {os.cpu_count()}"}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _cpu() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as info:
            names = [line.split(":", 1)[1].strip() for line in info if "model name" in line]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def as_json(what: str, rows: Sequence[Row]) -> str:
    """One object."""
    return json.dumps({"what": what, "on": where(), "rows": rows})


def as_text(what: str, head: str, tables: Sequence[Sequence[Row]], foot: str) -> str:
    """Tables with a head and what they do not show."""
    on = ", ".join(f"{key} {value}" for key, value in where().items())
    return "\n".join([f"{what}: {head}", on, *map(_table, tables), foot])


def _table(rows: Sequence[Row]) -> str:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    lines = [columns, *([_cell(row.get(c)) for c in columns] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(w) for cell, w in zip(line, widths, strict=True)) for line in lines
    )


def _cell(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return "" if value is None else str(value)
