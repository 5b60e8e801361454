"""``python -m bench`` and what to measure; ``--json`` for machines.

Ends with 0 if nothing was lost and every figure is within its limit, else with 1.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from loguru import logger

from bench import (
    buses,
    codec,
    compare,
    death,
    flood,
    idle,
    join,
    latency,
    overload,
    scale,
    strangers,
    throughput,
)
from bench.figures import Row, all_within
from bench.tables import as_json, as_text

_MODULES = {
    "codec": codec,
    "throughput": throughput,
    "latency": latency,
    "flood": flood,
    "join": join,
    "idle": idle,
    "death": death,
    "overload": overload,
    "strangers": strangers,
    "scale": scale,
    "compare": compare,
}
_MEDIANS = "medians of one interleaved run"
_HEADS = {
    "codec": f"to encode and decode; 20 ms of audio is 640 bytes; {_MEDIANS}",
    "throughput": f"20 ms of audio is 640 bytes; {_MEDIANS}",
    "latency": f"microseconds since send(); {_MEDIANS}",
    "flood": "calm and flood in turn, in one run; how late a system message is, in ms",
    "join": _MEDIANS,
    "idle": "medians of all runners of a mesh",
    "death": "seconds, and numbers of lost events",
    "overload": "each fault and its absence in turn, in one run",
    "strangers": f"limits: 20 MB, 5 times the quiet p99, nobody dropped; {_MEDIANS}",
    "scale": "one simulated run of each size",
    "compare": f"delays in microseconds; {_MEDIANS}",
}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("what", choices=tuple(_MODULES))
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds")
    parser.add_argument("--trials", type=int, default=20, help="of each kind of death")
    parser.add_argument(
        "--secs",
        type=float,
        help=f"of each throughput ({throughput.SECS:g}), latency ({latency.SECS:g}), flood "
        f"({flood.SECS:g}) or comparison ({compare.SECS:g}), of each look at idle runners "
        f"({idle.SECS:g}), of a blocked loop ({death.BLOCK_SECS:g}), of each overload in all "
        f"rounds together ({overload.SECS:g}), of each flood of strangers ({strangers.SECS:g})",
    )
    parser.add_argument(
        "--bus",
        nargs="+",
        choices=tuple(buses.TITLES),
        help="for throughput, latency and compare: these only",
    )
    parser.add_argument(
        "--runners", nargs="+", type=int, help="for join, idle and scale: meshes of so many"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--plot",
        type=Path,
        metavar="FILE",
        help="for compare: draw FILE-throughput and FILE-latency, of the suffix's kind",
    )
    parser.add_argument(
        "--check", type=Path, metavar="LIMITS", help="for compare: hold its ratios to a file"
    )
    return parser.parse_args()


def main() -> int:
    """Run one benchmark; 0 if nothing was lost and all is within its limits."""
    args = _arguments()
    logger.remove()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends the children as Ctrl-C does
    try:
        tables = asyncio.run(_measure(args))
    except KeyboardInterrupt:
        return 130
    rows = [row for table in tables for row in table]
    if args.json:
        print(as_json(args.what, rows))
    else:
        foot = (_MODULES[args.what].__doc__ or "").split("\n\n")[1].strip()
        print(as_text(args.what, _HEADS[args.what], tables, foot))
    return 0 if all_within(rows) else 1


async def _measure(args: argparse.Namespace) -> list[list[Row]]:
    """The tables; most benchmarks have one."""
    rounds, secs = args.rounds, args.secs
    chosen = {"kinds": args.bus} if args.bus else {}
    sizes = args.runners
    match args.what:
        case "codec":
            rows = [cost.row() for cost in codec.measure()]
        case "throughput":
            rows = await throughput.measure(rounds, secs or throughput.SECS, **chosen)
        case "latency":
            rows = await latency.measure(rounds, secs or latency.SECS, **chosen)
        case "flood":
            rows = (await flood.measure(rounds, secs or flood.SECS)).rows()
        case "join":
            rows = await join.rows(rounds, sizes or join.COUNTS)
        case "idle":
            rows = await idle.measure(secs or idle.SECS, sizes or idle.COUNTS)
        case "death":
            rows = (await death.measure(args.trials, secs or death.BLOCK_SECS)).rows()
        case "overload":
            rows = await overload.measure(rounds, secs or overload.SECS)
        case "strangers":
            rows = await strangers.measure(rounds, secs or strangers.SECS)
        case "scale":
            rows = await scale.measure(sizes or scale.SIZES)
        case _:
            measured = await compare.measure(rounds, secs or compare.SECS, **chosen)
            return _compared(measured, args)
    return [rows]


def _compared(measured: list[compare.Measured], args: argparse.Namespace) -> list[list[Row]]:
    if args.plot:
        from bench.plots import plot

        for path in plot(measured, args.plot):
            print(f"drawn: {path}", file=sys.stderr)
    tables = [[one.row() for one in measured]]
    if args.check:
        tables.append(compare.check(measured, args.check))
    return tables


if __name__ == "__main__":
    sys.exit(main())
