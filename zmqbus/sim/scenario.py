"""Scenarios: a mesh and its faults as lines of text.

A line is a time in seconds, a command and what it needs; ``#`` starts a comment::

    0.0  add     n1 workers=w1
    0.0  add     n2 seeds=n1
    0.5  publish n1 * msgs=10
    1.0  kill    n2
    3.0  saw     n1 PeerGone.lost n2
    3.0  settled

Commands are the methods of `Sim` named in `_COMMANDS`, and the claims ``saw`` (so many events of a
kind about a node, at one node; ``*`` is any), ``sequence`` (of events at a node) and ``settled``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zmqbus.core.outbox import Event, PeerGone
from zmqbus.packets import Plane
from zmqbus.sim.mesh import Sim


def play(sim: Sim, text: str) -> None:
    """Let everything in a scenario happen.

    Raises:
        AssertionError: A claim does not hold; the message has the line and the seed.
        ValueError: A line cannot be read.
    """
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            sim.run(float(words[0]) - sim.now)
            command, named = _COMMANDS[words[1]], [w for w in words[2:] if "=" in w]
            plain = [w for w in words[2:] if "=" not in w]
            command(sim, *plain, **dict(_setting(*w.split("=")) for w in named))
        except AssertionError as error:
            raise AssertionError(f"line {number}, {line.strip()!r}: {error}") from error
        except (KeyError, IndexError, TypeError) as error:
            raise ValueError(f"line {number}, {line.strip()!r}: {error!r}") from error


def _setting(name: str, value: str) -> tuple[str, Any]:
    if name in ("seeds", "channels", "workers", "ports"):
        return name, tuple(value.split(","))
    if name == "version":
        low, _, high = value.partition("-")
        return name, (int(low), int(high))
    if name == "plane":
        return name, Plane[value.upper()]
    return name, int(value) if value.isdigit() else value


def _publish(sim: Sim, name: str, target: str, **settings: Any) -> None:
    sim.publish(name, None if target == "*" else target, **settings)


def _matches(sim: Sim, event: Event, kind: str, about: str) -> bool:
    name = type(event).__name__
    if isinstance(event, PeerGone):
        name += f".{event.how.value}" if "." in kind else ""
    node = getattr(event, "node", None)
    return name == kind and (about == "*" or (node is not None and sim.names[node] == about))


def _saw(sim: Sim, name: str, kind: str, about: str, times: str = "1") -> None:
    seen = [
        f"{at:.3f} {host}: {event}"
        for at, host, event in sim.history
        if name in ("*", host) and _matches(sim, event, kind, about)
    ]
    assert len(seen) == int(times), f"{sim}: seen {len(seen)} times: {seen}"


def _sequence(sim: Sim, name: str, *kinds_about: str) -> None:
    wanted = list(zip(kinds_about[::2], kinds_about[1::2], strict=True))
    for _, host, event in sim.history:
        if host == name and wanted and _matches(sim, event, *wanted[0]):
            wanted.pop(0)
    assert not wanted, f"{sim}: {name} never saw {wanted[0]} after the others"


def _drop(sim: Sim, share: str) -> None:
    sim.drop = float(share)


def _late(sim: Sim, name: str, secs: str) -> None:
    sim.hosts[name].late_secs = float(secs)


def _blocked(sim: Sim, name: str, *by: str) -> None:
    assert sim.blockers(name) == list(by), f"{sim}: {name} waits for {sim.blockers(name)}"


_COMMANDS: dict[str, Callable[..., object]] = {
    "add": Sim.add,
    "kill": Sim.kill,
    "stop": Sim.stop,
    "restart": Sim.restart,
    "pause": Sim.pause,
    "block": lambda sim, name: sim.pause(name, loop_only=True),
    "resume": Sim.resume,
    "slow": Sim.slow,
    "fast": lambda sim, name: sim.slow(name, False),
    "give_up": Sim.give_up,
    "late": _late,
    "cut": Sim.cut,
    "heal": Sim.heal,
    "reset": Sim.reset,
    "drop": _drop,
    "open": Sim.open,
    "close": Sim.close,
    "publish": _publish,
    "saw": _saw,
    "sequence": _sequence,
    "blocked": _blocked,
    "settled": Sim.assert_settled,
}
