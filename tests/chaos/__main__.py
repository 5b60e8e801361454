"""``python -m tests.chaos --seed 3 --secs 60 --runs 20``: chaos by hand, one line a run."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from chaos import runs  # noqa: E402
from chaos.schedule import plan  # noqa: E402

MOST_SHOWN = 12


def main() -> int:
    """Parse, run, and say with the exit status whether every promise was kept."""
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the first run")
    parser.add_argument("--runs", type=int, default=1, help="with the seeds that follow")
    parser.add_argument("--secs", type=float, default=60.0, help="how long each run is")
    parser.add_argument("--loopback", action="store_true", help="proxies, not namespaces")
    parser.add_argument("--config", choices=[*runs.CONFIGS, "mixed"], default="mixed")
    parser.add_argument("--tick-secs", type=float, default=runs.TICK_SECS, help="less: faster")
    parser.add_argument("--keep", action="store_true", help="keep the ledgers of good runs too")
    parser.add_argument("--plan", action="store_true", help="show what goes wrong when")
    parser.add_argument("--lanes", action="store_true", help="show every pair and lane")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    return asyncio.run(_all(arguments))


async def _all(arguments: argparse.Namespace) -> int:
    network = "loopback" if arguments.loopback else runs.best_network()
    total: Counter[str] = Counter()
    faults = violations = 0
    _say(runs.head())
    for seed in range(arguments.seed, arguments.seed + arguments.runs):
        config = arguments.config
        if config == "mixed":
            config = ("default", "tight")[seed // 2 % 2]
        found, played, tally = await _one(arguments, seed, network, config)
        faults, violations, total = faults + played, violations + found, total + tally
    if arguments.runs > 1:
        _say(runs.row("sum", network, arguments.config, faults, total, violations))
    return int(violations > 0)


async def _one(
    arguments: argparse.Namespace, seed: int, network: str, config: str
) -> tuple[int, int, Counter[str]]:
    folder, faults = runs.new_folder(seed), plan(seed, arguments.secs)
    _, verdict = await runs.run(seed, arguments.secs, network, config, arguments.tick_secs, folder)
    bad = verdict.violations
    if arguments.plan or bad:
        _say("\n".join([f"seed {seed}:", *(f"  {fault}" for fault in faults)]))
    _say(runs.row(seed, network, config, len(faults), verdict.tally, len(bad)))
    if arguments.lanes:
        for (sender, reader, lane, what), count in sorted(verdict.lanes.items()):
            _say(f"    {sender} to {reader} {lane.name.lower():<14} {what:<10} {count:,}")
    if bad:
        _say("\n".join([f"  VIOLATION {v}" for v in bad[:MOST_SHOWN]]))
        _say(f"  {len(bad)} in all; ledgers and logs in {folder}")
    elif not arguments.keep:
        runs.drop_folder(folder)
    return len(bad), len(faults), verdict.tally


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
