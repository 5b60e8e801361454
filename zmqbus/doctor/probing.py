"""How the runners on this host do: the checks of others, confined to those."""

from __future__ import annotations

from zmqbus.doctor.case import PROBE_SECS, Case
from zmqbus.doctor.findings import Finding, ok
from zmqbus.doctor.observer import Observer, Target
from zmqbus.doctor.others import judge_targets, taken_names
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
    case.observer = Observer(case.setup, "tcp://127.0.0.1:*", None, takes_part=False)
    await case.observer.start()
    try:
        for target in targets:
            case.observer.call(target)
        await case.observer.wait(case.wait_secs, lambda: True)
        findings = [_excused(finding) for finding in await judge_targets(case)]
        nodes = {peer.node for target in targets if (peer := case.observer.peer_at(target))}
        return findings + [f for node, f in taken_names(case).items() if node in nodes]
    finally:
        await case.observer.stop()


def _excused(finding: Finding) -> Finding:
    """Who has all the peers it can have takes no observer, and is well."""
    return ok("peers", finding.what) if finding.check == "peers: limit" else finding


async def _bound(case: Case, pid: int | None) -> list[Target]:
    """Whoever listens where the environment tells a bus to: without "local" there is no entry."""
    at = case.setup.at
    if pid is not None or not (at.port or at.path):
        return []
    endpoint = f"tcp://127.0.0.1:{at.port}" if at.is_wildcard else str(at)
    if await probe(endpoint, PROBE_SECS) != "open":
        return []
    return [Target("bind", (endpoint,))]
