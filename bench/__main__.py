"""``python -m bench codec``, ``throughput`` or ``join``; ``--json`` for machines."""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import sys
from importlib.metadata import version
from statistics import median
from typing import Any

from loguru import logger

from bench import buses, codec, join, throughput

_MODULES = {"codec": codec, "throughput": throughput, "join": join}


def main() -> int:
    """Run one benchmark; 0 if nothing was lost."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("what", choices=tuple(_MODULES))
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds (all but codec)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    logger.remove()
    if args.what == "codec":
        rows, whole = _codec()
    else:
        measure = _join if args.what == "join" else _throughput
        rows, whole = asyncio.run(measure(args.rounds))
    if args.json:
        print(json.dumps({"what": args.what, "on": _where(), "rows": rows}))
    else:
        _print(args.what, rows)
    return 0 if whole else 1


def _codec() -> tuple[list[dict[str, Any]], bool]:
    rows = [
        {
            "message": cost.what,
            "us": round(cost.micros, 1),
            "JSON us": round(cost.json_micros, 1),
            "times as fast": round(cost.ratio, 1),
            "bytes": cost.size_bytes,
            "JSON bytes": cost.json_bytes,
        }
        for cost in codec.measure()
    ]
    return rows, True


async def _throughput(rounds: int) -> tuple[list[dict[str, Any]], bool]:
    counts = {"queue": 50_000, "zmqbus": 50_000, "redis": 5_000}
    rates: dict[str, list[throughput.Rate]] = {kind: [] for kind in buses.KINDS}
    for _ in range(rounds):
        for kind in list(rates):
            try:
                rates[kind].append(await throughput.measure(kind, counts[kind]))
            except (buses.MissingError, ImportError) as error:
                print(f"{kind} is skipped: {error}", file=sys.stderr)
                del rates[kind]
    redis = median(r.per_sec for r in rates["redis"]) if "redis" in rates else None
    rows = []
    for kind, measured in rates.items():
        if not all(r.whole for r in measured):
            rows.append({"bus": kind, "msg/s": "messages were lost or out of order"})
            continue
        per_sec = median(r.per_sec for r in measured)
        row: dict[str, Any] = {"bus": kind, "msg/s": round(per_sec)}
        if redis:
            row["times RedisBus"] = round(per_sec / redis, 1)
        rows.append(row)
    return rows, all(r.whole for measured in rates.values() for r in measured)


async def _join(rounds: int) -> tuple[list[dict[str, Any]], bool]:
    cases = [(way, count) for count in join.COUNTS for way in join.WAYS]
    secs: dict[tuple[str, int], list[float]] = {case: [] for case in cases}
    for _ in range(rounds):
        for case in cases:
            secs[case].append(await join.measure(*case))
    rows = [
        {
            "discovery": way,
            "runners": count,
            "ms": round(median(measured) * 1e3),
            "worst ms": round(max(measured) * 1e3),
        }
        for (way, count), measured in secs.items()
    ]
    return rows, True


def _where() -> dict[str, str]:
    packages = ("pipecat-zmqbus", "pipecat-ai", "pyzmq", "msgpack")
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        **{package: version(package) for package in packages},
    }


def _print(what: str, rows: list[dict[str, Any]]) -> None:
    units = "" if what == "join" else "20 ms of audio is 640 bytes; "
    print(f"{what}: {units}medians of one interleaved run")
    print(", ".join(f"{key} {value}" for key, value in _where().items()))
    columns = list(rows[0])
    widths = [max(len(str(row.get(c, ""))) for row in [*rows, {c: c}]) for c in columns]
    for row in ({c: c for c in columns}, *rows):
        print("  ".join(str(row.get(c, "")).rjust(w) for c, w in zip(columns, widths, strict=True)))
    print((_MODULES[what].__doc__ or "").split("\n\n")[1].strip())


if __name__ == "__main__":
    sys.exit(main())
