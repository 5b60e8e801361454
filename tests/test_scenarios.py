"""Every scenario under tests/scenarios, with three seeds each."""

from pathlib import Path

import pytest

from zmqbus.sim import Sim
from zmqbus.sim.scenario import play

SCENARIOS = sorted((Path(__file__).parent / "scenarios").glob("*.txt"))


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_scenario_holds(path: Path, seed: int) -> None:
    """What the first line of the scenario says."""
    sim = Sim(seed)

    play(sim, path.read_text())

    assert sim.now > 0.0
