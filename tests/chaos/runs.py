"""Runs of chaos one after another, and the table of their verdicts."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from chaos.conductor import Conductor, Network, Outcome
from chaos.namespaces import Namespaces
from chaos.proxies import Proxies
from chaos.schedule import ACTORS, plan
from chaos.verdict import Verdict, judge

TICK_SECS = 0.02
NETWORKS: dict[str, Callable[[], Network]] = {"netns": Namespaces, "loopback": Proxies}
CONFIGS: dict[str, dict[str, Any]] = {
    "default": {},
    # So small that what a 30 s cut or a deaf reader misses leaves the history.
    "tight": {
        "history_msgs": 2_000,
        "window_msgs": 600,
        "early_msgs": 1_200,
        "inbox_msgs": 400,
        "system_hwm_msgs": 600,
    },
}
_COLUMNS = (
    *("delivered", "lost", "announced", "duplicated", "reordered", "overtaken", "refused"),
    *("busy", "jobs_done", "jobs_failed", "jobs_hung"),
)


def best_network() -> str:
    """Namespaces where they are possible, else proxies."""
    return "loopback" if Namespaces.missing() else "netns"


async def run(
    seed: int, secs: float, network: str, config: str, tick_secs: float, folder: Path
) -> tuple[Outcome, Verdict]:
    """One run, judged."""
    lan = NETWORKS[network]()
    try:
        await lan.open()
        conductor = Conductor(lan, folder, CONFIGS[config], tick_secs)
        outcome = await conductor.play(plan(seed, secs), secs)
    finally:
        await lan.close()
    verdict = judge(outcome.lives, outcome.spells)
    verdict.violations += _unsettled(outcome)
    return outcome, verdict


def _unsettled(outcome: Outcome) -> list[str]:
    found = list(outcome.ended)
    if not outcome.complete:
        found.append("in the end not all had met and heard each other out")
    for actor, told in outcome.told.items():
        if told["counters"].get("peers_refused"):
            found.append(f"{actor} took a peer for a liar, or was taken for one")
        others = [n for n in range(ACTORS) if n != actor]
        for what, prefix in (("peers", "runner"), ("workers", "hand")):
            unknown = {f"{prefix}-{n}" for n in others} - set(told[what])
            if unknown:
                found.append(f"in the end {actor} does not know {', '.join(sorted(unknown))}")
    return found


def head() -> str:
    """The head of the table."""
    names = ("seed", "network", "config", "faults", *_COLUMNS, "lost peers", "violations")
    return "| " + " | ".join(names) + " |\n|" + "---|" * len(names)


def row(
    seed: int | str, network: str, config: str, faults: int, tally: Counter[str], violations: int
) -> str:
    """One line of the table."""
    counts = [f"{tally[column]:,}" for column in _COLUMNS]
    shown = [str(seed), network, config, str(faults), *counts, str(tally["lost_peers"])]
    return "| " + " | ".join([*shown, str(violations)]) + " |"


def new_folder(seed: int) -> Path:
    """Where a run leaves its ledgers."""
    return Path(tempfile.mkdtemp(prefix=f"zbchaos-{seed}-"))


def drop_folder(folder: Path) -> None:
    """Delete what a run has left."""
    shutil.rmtree(folder)
