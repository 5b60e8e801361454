"""zmqbus: a brokerless ZeroMQ mesh for Pipecat.

    from pipecat.workers.runner import WorkerRunner
    from zmqbus import ZmqBus

    bus = ZmqBus(channel="acme")   # every runner on this machine finds it; nothing to start
    runner = WorkerRunner(bus=bus)

The map, arrows pointing down (tests/test_layers.py holds every module to it)::

    bus.py        ZmqBus(WorkerBus): arguments, start and stop, subscribers   knows pipecat
    session.py    one life of a bus: sends, receives, reports; helped by directory (who is
                  there), reception (bytes to messages), gate, jobs, flush, stale, registry
    codec/        BusMessage <-> bytes, a closed table of types               knows pipecat
    node.py       many channels on one set of sockets; incarnation.py one life of it:
                  a core on asyncio with sockets, a clock and one timer
    net/          pyzmq sockets, monitors, discovery                          knows zmq
    core/         membership, liveness, streams, flow: pure decisions
    sim/          a whole mesh in one thread, with a virtual clock
    wire.py       packet <-> bytes; records.py the control packets            know msgpack
    packets.py    what peers say to each other
    config.py     every tunable; settings.py where they come from
    keys/         mesh keys, runner keys, key files
    errors.py     every exception
    views.py      what a bus tells of itself; health.py how it does; bell.py waiting for news;
                  slices.py long work
    cli/, demo/, doctor/, examples/   the `zmqbus` command, its demo, what can be wrong with a
                  mesh, and the handoff

PROTOCOL.md, beside this file, says what peers say to each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zmqbus.bus import ZmqBus as ZmqBus
    from zmqbus.codec import MsgpackSerializer as MsgpackSerializer
    from zmqbus.config import MeshConfig as MeshConfig
    from zmqbus.keys import KeyRing as KeyRing
    from zmqbus.keys import MeshKey as MeshKey
    from zmqbus.keys import RunnerKey as RunnerKey
    from zmqbus.node import MeshNode as MeshNode

__version__ = "0.1.0"

# Importing pipecat takes half a second and prints a banner, so nothing is imported until it is
# asked for: `import zmqbus` stays cheap and silent.
_LAZY = {
    "KeyRing": "zmqbus.keys",
    "MeshConfig": "zmqbus.config",
    "MeshKey": "zmqbus.keys",
    "MeshNode": "zmqbus.node",
    "MsgpackSerializer": "zmqbus.codec",
    "RunnerKey": "zmqbus.keys",
    "ZmqBus": "zmqbus.bus",
}

__all__ = [
    "KeyRing",
    "MeshConfig",
    "MeshKey",
    "MeshNode",
    "MsgpackSerializer",
    "RunnerKey",
    "ZmqBus",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
