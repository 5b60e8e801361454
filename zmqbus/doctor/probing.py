"""How the runners on this host do: the checks of others, confined to those."""

from __future__ import annotations

from zmqbus.doctor.case import PROBE_SECS, Case
from zmqbus.doctor.findings import Finding, Level
from zmqbus.doctor.observer import Observer, Target
from zmqbus.doctor.others import check_names, judge_all
from zmqbus.net.probe import probe
from zmqbus.net.rendezvous import Rendezvous


async def ask(case: Case, pid: int | None) -> list[Finding]:
    """One finding for each runner on the channel, and one for each that has a name too many.

    Args:
        case: An examination that has not begun.
        pid: Ask only the runner of this process; None: all.
    """
    case.entries = [
        entry
        for entry in Rendezvous().survey()
        if case.channel in entry.channels and pid in (None, entry.pid)
    ]
    targets = case.local_targets or await _bound(case, pid)
    if not targets:
        return []
    case.observer = Observer(case.setup, "tcp://127.0.0.1:*", None)
    await case.observer.start()
    try:
        for target in targets:
            case.observer.call(target)
        findings = await judge_all(case)
        return findings + [f for f in await check_names(case) if f.level is Level.FAIL]
    finally:
        await case.observer.stop()


async def _bound(case: Case, pid: int | None) -> list[Target]:
    """Whoever listens where the environment tells a bus to: without "local" there is no entry."""
    at = case.setup.at
    if pid is not None or not (at.port or at.path):
        return []
    endpoint = f"tcp://127.0.0.1:{at.port}" if at.is_wildcard else str(at)
    if await probe(endpoint, PROBE_SECS) != "open":
        return []
    return [Target("bind", (endpoint,))]
