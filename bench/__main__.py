"""``python -m bench`` codec, throughput, join, death, overload or flood; ``--json`` for machines.

Ends with 0 if nothing was lost and every figure is within its limit, else with 1.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import signal
import sys
from importlib.metadata import version
from statistics import median

from loguru import logger

from bench import buses, codec, death, flood, join, overload, throughput
from bench.figures import Row, all_within

_MODULES = {
    "codec": codec,
    "throughput": throughput,
    "join": join,
    "death": death,
    "overload": overload,
    "flood": flood,
}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("what", choices=tuple(_MODULES))
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds")
    parser.add_argument("--trials", type=int, default=20, help="of each kind of death")
    parser.add_argument(
        "--secs",
        type=float,
        help=f"of a blocked loop ({death.BLOCK_SECS:g}), of each overload in all rounds together "
        f"({overload.SECS:g}), of a flood ({flood.SECS:g})",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


def main() -> int:
    """Run one benchmark; 0 if nothing was lost and all is within its limits."""
    args = _arguments()
    logger.remove()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends the children as Ctrl-C does
    try:
        rows, whole = _measure(args)
    except KeyboardInterrupt:
        return 130
    if args.json:
        print(json.dumps({"what": args.what, "on": _where(), "rows": rows}))
    else:
        _print(args.what, rows)
    return 0 if whole else 1


def _measure(args: argparse.Namespace) -> tuple[list[Row], bool]:
    match args.what:
        case "codec":
            return _codec()
        case "throughput":
            return asyncio.run(_throughput(args.rounds))
        case "join":
            return asyncio.run(_join(args.rounds))
        case "death":
            rows = asyncio.run(death.measure(args.trials, args.secs or death.BLOCK_SECS)).rows()
        case "overload":
            rows = asyncio.run(overload.measure(args.rounds, args.secs or overload.SECS))
        case _:
            rows = asyncio.run(flood.measure(args.rounds, args.secs or flood.SECS)).rows()
    return rows, all_within(rows)


def _codec() -> tuple[list[Row], bool]:
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


async def _throughput(rounds: int) -> tuple[list[Row], bool]:
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
        row: Row = {"bus": kind, "msg/s": round(per_sec)}
        if redis:
            row["times RedisBus"] = round(per_sec / redis, 1)
        rows.append(row)
    return rows, all(r.whole for measured in rates.values() for r in measured)


async def _join(rounds: int) -> tuple[list[Row], bool]:
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


_MEDIANS = "medians of one interleaved run"
_HEADS = {
    "codec": f"20 ms of audio is 640 bytes; {_MEDIANS}",
    "throughput": f"20 ms of audio is 640 bytes; {_MEDIANS}",
    "join": _MEDIANS,
    "death": "seconds, and numbers of lost events",
    "overload": "each fault and its absence in turn, in one run",
    "flood": "calm and flood in turn, in one run; how late a system message is",
}


def _where() -> dict[str, str]:
    packages = ("pipecat-zmqbus", "pipecat-ai", "pyzmq", "msgpack")
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        **{package: version(package) for package in packages},
    }


def _print(what: str, rows: list[Row]) -> None:
    print(f"{what}: {_HEADS[what]}")
    print(", ".join(f"{key} {value}" for key, value in _where().items()))
    columns = list(rows[0])
    lines = [columns, *([_cell(row.get(c)) for c in columns] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(cell.rjust(w) for cell, w in zip(line, widths, strict=True)))
    print((_MODULES[what].__doc__ or "").split("\n\n")[1].strip())


def _cell(value: object) -> str:
    return "" if value is None else str(value)


if __name__ == "__main__":
    sys.exit(main())
