"""A simulated mesh under random faults, all from one seed: storms that end in agreement or not."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

from zmqbus.config import DEFAULT, MeshConfig
from zmqbus.packets import Plane
from zmqbus.sim.mesh import Sim

FAULTS = {
    "kill": "SIGKILL, and a restart within 2 s",
    "restart": "a goodbye, and a restart after 4 s",
    "pause": "SIGSTOP for up to 6 s",
    "block": "an event loop that stands still for up to 6 s",
    "cut": "nothing gets through between two for up to 8 s",
    "reset": "all connections between two break",
    "slow": "subscribers that take no data for up to 2 s",
    "late": "timers that fire up to 0.5 s late: the observer's own loop lags",
    "drop": "up to 30 % of all batches are lost at the publishers' mark",
}
"""The kinds of faults, and what they are."""

_OFTEN = ("cut",)
_START_SECS = 0.005
_STEP_SECS = 0.3
_FAULTS_ARE_RARE_TO = 100
_LOOK_EVERY_SECS = 0.25
SETTLE_SECS = 30.0
"""How long after the last fault all have to agree, unless said otherwise."""


def roomy(config: MeshConfig, nodes: int) -> MeshConfig:
    """``config`` with room for so many peers, each restarted now and then."""
    peers, dials = max(config.max_peers, 2 * nodes), max(config.max_dials, 8 * nodes)
    return replace(config, max_peers=peers, max_dials=dials)


class Storm:
    """Faults and messages at random times; the more nodes, the more of both.

    Args:
        seed: Of faults, traffic and network.
        nodes: How many processes there are, at least two.
        faults: Which kinds of `FAULTS` may happen.
        config: The tunables of all, whose limits are raised where the nodes are too many.
        sim: Makes the simulation.
        settings: Of the simulation.

    Attributes:
        drop: Which share of batches is lost while it rages.
        faults: How often each kind has happened.
        calm_at: When the last fault was, or will be, over.
    """

    def __init__(
        self,
        seed: int,
        *,
        nodes: int = 6,
        faults: Collection[str] = tuple(FAULTS),
        config: MeshConfig = DEFAULT,
        sim: Callable[..., Sim] = Sim,
        **settings: Any,
    ) -> None:
        self.rng = random.Random(seed)
        drop, jitter_secs = self.rng.choice((0.0, 0.05, 0.3)), self.rng.choice((0.0005, 0.01))
        drop = drop if "drop" in faults else 0.0
        self.sim = sim(
            seed, config=roomy(config, nodes), drop=drop, jitter_secs=jitter_secs, **settings
        )
        self.drop = drop
        self.names = [f"n{i}" for i in range(nodes)]
        self.faults = dict.fromkeys(faults, 0)
        self.calm_at = 0.0
        kinds = [f for f in FAULTS if f in faults and f != "drop"]
        self._kinds = kinds + [f for f in _OFTEN if f in kinds]
        self._pace_secs = _STEP_SECS / max(1.0, nodes / _FAULTS_ARE_RARE_TO)

    def run(self, secs: float, *, settle_secs: float = SETTLE_SECS) -> float:
        """Let it rage, then let everything heal, and see that all are well.

        Returns:
            How long after the last fault all agreed.

        Raises:
            AssertionError: A promise was broken, or not all agree ``settle_secs`` later.
        """
        self.rage(secs)
        return self.settle(settle_secs)

    def rage(self, secs: float) -> None:
        """Start all processes, and let things happen until so many seconds are over."""
        for i, name in enumerate(self.names):
            self.sim.add(name, seeds=self.names[: 2 if i == 0 else 1], workers=(f"w{i}",))
            self.sim.run(_START_SECS)
        while self.sim.now < secs:
            self.sim.run(self.rng.random() * self._pace_secs)
            one, other = self.rng.sample(self.names, 2)
            if not self._kinds or self.rng.random() < 0.6:
                self._talk(one, other)
            else:
                self._strike(self.rng.choice(self._kinds), one, other)

    def settle(self, settle_secs: float = SETTLE_SECS) -> float:
        """Wait until all that was broken is whole again and all agree; returns how long they took.

        Raises:
            AssertionError: They do not in ``settle_secs``.
        """
        sim = self.sim
        self.calm_at = max(self.calm_at, sim.now)
        sim.drop = 0.0
        for host in sim.hosts.values():
            host.late_secs = 0.0
        sim.run(self.calm_at - sim.now)
        while True:
            try:
                sim.assert_settled()
            except AssertionError:
                if sim.now >= self.calm_at + settle_secs:
                    raise
                sim.run(_LOOK_EVERY_SECS)
            else:
                return sim.now - self.calm_at

    # -- what happens

    def _is_well(self, name: str) -> bool:
        host = self.sim.hosts[name]
        return host.alive and not host.frozen

    def _talk(self, one: str, other: str) -> None:
        if self._is_well(one):
            plane = self.rng.choice((Plane.DATA, Plane.DATA, Plane.DATA, Plane.SYSTEM))
            target = self.rng.choice((None, f"w{other[1:]}", "nobody"))
            self.sim.publish(one, target, plane=plane, msgs=self.rng.randint(1, 30))

    def _strike(self, kind: str, one: str, other: str) -> None:
        if kind in ("cut", "reset"):
            may_strike = not self.sim.is_cut(one, other)
        else:
            may_strike = self._is_well(one)
        if may_strike:
            self.faults[kind] += 1
            secs = getattr(self, "_" + kind)(one, other) or 0.0
            self.calm_at = max(self.calm_at, self.sim.now + secs)

    def _later(self, secs: float, name: str, then: Callable[[str], object]) -> float:
        """Do something to the same process, if it still lives."""
        host = self.sim.hosts[name]

        def call() -> None:
            if self.sim.hosts[name] is host and host.alive:
                then(name)

        self.sim.at(self.sim.now + secs, call)
        return secs

    def _restart_after(self, secs: float, name: str) -> float:
        def call() -> None:
            if not self.sim.hosts[name].alive:
                self.sim.restart(name)

        self.sim.at(self.sim.now + secs, call)
        return secs

    def _kill(self, one: str, _: str) -> float:
        self.sim.kill(one)
        return self._restart_after(self.rng.random() * 2, one)

    def _restart(self, one: str, _: str) -> float:
        self.sim.stop(one)
        return self._restart_after(4.0 + self.rng.random(), one)

    def _pause(self, one: str, _: str, *, loop_only: bool = False) -> float:
        self.sim.pause(one, loop_only=loop_only)
        return self._later(self.rng.choice((0.3, 1.5, 3.0, 6.0)), one, self.sim.resume)

    def _block(self, one: str, other: str) -> float:
        return self._pause(one, other, loop_only=True)

    def _cut(self, one: str, other: str) -> float:
        self.sim.cut(one, other)
        secs = self.rng.choice((0.1, 0.5, 2.5, 4.0, 8.0))
        self.sim.at(self.sim.now + secs, lambda: self.sim.heal(one, other))
        return secs

    def _reset(self, one: str, other: str) -> None:
        self.sim.reset(one, other)

    def _slow(self, one: str, _: str) -> float:
        self.sim.slow(one)
        secs = self.rng.random() * 2
        return self._later(secs, one, lambda name: self.sim.slow(name, False))

    def _late(self, one: str, _: str) -> None:
        self.sim.hosts[one].late_secs = self.rng.choice((0.0, 0.05, 0.5))
