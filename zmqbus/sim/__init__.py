"""A whole mesh in one thread; `Sim` is the door."""

from zmqbus.sim.mesh import Sim as Sim
