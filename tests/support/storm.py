"""A simulated mesh under random faults, all from one seed."""

from __future__ import annotations

import random
from collections.abc import Callable

from zmqbus.config import DEFAULT, MeshConfig
from zmqbus.packets import Plane
from zmqbus.sim import Sim

_FAULTS = ("kill", "stop", "pause", "block", "cut", "cut", "reset", "slow", "late")


class Storm:
    """Faults and messages at random times.

    Args:
        seed: Of faults, traffic and network.
        nodes: How many processes there are.
        config: Their tunables.
        sim: Makes the simulation.
    """

    def __init__(
        self,
        seed: int,
        *,
        nodes: int = 6,
        config: MeshConfig = DEFAULT,
        sim: Callable[..., Sim] = Sim,
    ) -> None:
        self.rng = random.Random(seed)
        drop, jitter_secs = self.rng.choice((0.0, 0.05, 0.3)), self.rng.choice((0.0005, 0.01))
        self.sim = sim(seed, config=config, drop=drop, jitter_secs=jitter_secs)
        self.names = [f"n{i}" for i in range(nodes)]
        for i, name in enumerate(self.names):
            self.sim.add(name, seeds=self.names[: 2 if i == 0 else 1], workers=(f"w{i}",))

    def run(self, secs: float) -> None:
        """Let it rage, then let everything heal, and see that all are well."""
        while self.sim.now < secs:
            self.sim.run(self.rng.random() * 0.3)
            one, other = self.rng.sample(self.names, 2)
            if self.rng.random() < 0.6:
                self._talk(one, other)
            else:
                getattr(self, "_" + self.rng.choice(_FAULTS))(one, other)
        self.sim.run(25.0)
        self.sim.drop = 0.0
        self.sim.run(8.0)
        self.sim.assert_settled()

    def _is_well(self, name: str) -> bool:
        host = self.sim.hosts[name]
        return host.alive and not host.frozen

    def _later(self, secs: float, name: str, then: Callable[[str], object]) -> None:
        """Do something to the same process, if it still lives."""
        host = self.sim.hosts[name]

        def call() -> None:
            if self.sim.hosts[name] is host and host.alive:
                then(name)

        self.sim.at(self.sim.now + secs, call)

    def _talk(self, one: str, other: str) -> None:
        if self._is_well(one):
            plane = self.rng.choice((Plane.DATA, Plane.DATA, Plane.DATA, Plane.SYSTEM))
            target = self.rng.choice((None, f"w{other[1:]}", "nobody"))
            self.sim.publish(one, target, plane=plane, msgs=self.rng.randint(1, 30))

    def _kill(self, one: str, _: str) -> None:
        if self._is_well(one):
            self.sim.kill(one)
            self._restart_after(self.rng.random() * 2, one)

    def _stop(self, one: str, _: str) -> None:
        if self._is_well(one):
            self.sim.stop(one)
            self._restart_after(4.0 + self.rng.random(), one)

    def _restart_after(self, secs: float, name: str) -> None:
        def call() -> None:
            if not self.sim.hosts[name].alive:
                self.sim.restart(name)

        self.sim.at(self.sim.now + secs, call)

    def _pause(self, one: str, _: str, *, loop_only: bool = False) -> None:
        if self._is_well(one):
            self.sim.pause(one, loop_only=loop_only)
            self._later(self.rng.choice((0.3, 1.5, 3.0, 6.0)), one, self.sim.resume)

    def _block(self, one: str, other: str) -> None:
        self._pause(one, other, loop_only=True)

    def _cut(self, one: str, other: str) -> None:
        if not self.sim.is_cut(one, other):
            self.sim.cut(one, other)
            secs = self.rng.choice((0.1, 0.5, 2.5, 4.0, 8.0))
            self.sim.at(self.sim.now + secs, lambda: self.sim.heal(one, other))

    def _reset(self, one: str, other: str) -> None:
        self.sim.reset(one, other)

    def _slow(self, one: str, _: str) -> None:
        if self._is_well(one):
            self.sim.slow(one)
            self._later(self.rng.random() * 2, one, lambda name: self.sim.slow(name, False))

    def _late(self, one: str, _: str) -> None:
        self.sim.hosts[one].late_secs = self.rng.choice((0.0, 0.05, 0.5))
