"""`zmqbus sim`: a whole mesh in one thread, under random faults that a seed repeats."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from zmqbus.packets import Packet
    from zmqbus.sim import Sim
    from zmqbus.sim.storm import Storm

_BROKEN_STATUS = 1


def sim(
    runners: Annotated[int, typer.Option(min=2, max=5_000, help="How many processes.")] = 20,
    seed: Annotated[int, typer.Option(help="Of everything random; the same, the same run.")] = 1,
    secs: Annotated[float, typer.Option(min=0.1, help="Virtual seconds of faults.")] = 20.0,
    faults: Annotated[
        str,
        typer.Option(
            help="Which may happen, with commas between: kill, restart, pause, block, cut, reset, "
            "slow, late, drop; or all, or none."
        ),
    ] = "all",
    settle_secs: Annotated[
        float,
        typer.Option("--settle", min=0, help="Virtual seconds in which all have to agree then."),
    ] = 30.0,
    scenario: Annotated[
        Path | None,
        typer.Option(help="Play this file of commands and claims instead.", show_default=False),
    ] = None,
) -> None:
    """Let a mesh run under faults, with virtual time and a simulated network.

    Checked all the time: order, exactly once, no silent loss, bounded memory, no false death; and
    in the end that everybody agrees. The exit status is 1 if a promise was broken.
    """
    run = (
        _scenario(scenario, seed) if scenario else _storm(runners, seed, secs, faults, settle_secs)
    )
    _print("promises", "kept: order, once, no silent loss, memory, no false death, all agree")
    _print("digest", run.digest())


def _print(what: str, told: str) -> None:
    from rich.console import Console
    from rich.text import Text

    line = Text.assemble((f"{what:>10}", "bold"), f"  {told}")
    Console(highlight=False).print(line, soft_wrap=True)


def _keep(promise: Callable[[], float | None], broken: Sim, again: str) -> float:
    """Do what may break a promise; if it does, say so and how to see it again."""
    try:
        return promise() or 0.0
    except AssertionError as error:
        _print("BROKEN", f"{error}")
        _print("step", f"{broken.steps:,}, {broken.now:.6f} virtual seconds from the start")
        _print("again", again)
        raise typer.Exit(_BROKEN_STATUS) from None


def _scenario(path: Path, seed: int) -> Sim:
    from zmqbus.errors import ConfigError
    from zmqbus.sim import Sim
    from zmqbus.sim.scenario import play

    mesh = Sim(seed)
    try:
        text = path.read_text(encoding="utf-8")
        _keep(lambda: play(mesh, text), mesh, f"zmqbus sim --scenario {path} --seed {seed}")
    except (OSError, ValueError) as error:
        raise ConfigError("--scenario", str(path), str(error), "give a scenario file") from error
    _print("seed", f"{seed}; {mesh.now:g} virtual seconds, {mesh.steps:,} steps")
    return mesh


def _storm(runners: int, seed: int, secs: float, faults: str, settle_secs: float) -> Sim:
    import gc

    from zmqbus.sim.storm import Storm

    kinds = _kinds(faults)
    _print("seed", f"{seed}; {runners:,} runners, {secs:g} virtual seconds, faults: {faults}")
    gc.disable()  # nothing of a mesh is garbage before its end, and looking for it costs the most
    storm = Storm(seed, nodes=runners, faults=kinds, keep_history=False, weigh=_weigher())
    again = (
        f"zmqbus sim --runners {runners} --seed {seed} --secs {secs:g} "
        f"--faults {faults.replace(' ', '')} --settle {settle_secs:g}"
    )
    _keep(lambda: storm.rage(secs), storm.sim, again)
    agreed_secs = _keep(lambda: storm.settle(settle_secs), storm.sim, again)
    _tell(storm, agreed_secs)
    return storm.sim


def _kinds(faults: str) -> tuple[str, ...]:
    from zmqbus.errors import ConfigError
    from zmqbus.sim.storm import FAULTS

    named = {"all": tuple(FAULTS), "none": ()}.get(faults)
    kinds = tuple(f.strip() for f in faults.split(",")) if named is None else named
    for kind in kinds:
        if kind not in FAULTS:
            known = ", ".join(FAULTS)
            raise ConfigError("--faults", faults, f"{kind!r} is none", f"choose from {known}")
    return kinds


def _weigher() -> Callable[[Packet], int]:
    """Gives the size of a packet on the system plane."""
    from zmqbus.packets import NOBODY
    from zmqbus.wire import encode_system

    return lambda packet: len(encode_system(packet, NOBODY, NOBODY))


def _tell(storm: Storm, agreed_secs: float) -> None:
    """Say what happened."""
    import resource

    mesh, messages = storm.sim, storm.sim.ledger.counters
    counted = ", ".join(f"{n:,} {kind}" for kind, n in storm.faults.items() if kind != "drop")
    _print("faults", f"{counted or 'none'}; {storm.drop:.0%} of batches dropped")
    seen = mesh.counters
    _print("joins", f"{seen['PeerJoined']:,} seen, of one by another")
    _print("deaths", f"{seen['lost']:,} losses and {seen['left']:,} goodbyes seen, 0 false")
    _print(
        "messages",
        f"{messages['sent']:,} sent, {messages['published']:,} owed to readers, "
        f"{messages['delivered']:,} delivered, {messages['lost']:,} announced as lost",
    )
    packets = sum(n for n, _ in mesh.traffic.values())
    size_bytes = sum(n * mean for n, mean in mesh.traffic.values())
    kinds = ", ".join(f"{kind} {n:,}" for kind, (n, _) in sorted(mesh.traffic.items()))
    _print("control", f"{packets:,} packets, about {size_bytes / 2**20:,.1f} MiB ({kinds})")
    _print("agreement", f"{agreed_secs:g} s after the last fault was over")
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    _print("run", f"{mesh.now:.2f} virtual seconds, {mesh.steps:,} steps")
    _print("memory", f"{peak_bytes / 2**30:,.2f} GiB at most")
