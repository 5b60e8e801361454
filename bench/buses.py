"""The buses that are measured: what each is called, needs, and is made of."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib.util import find_spec

from pipecat.bus import AsyncQueueBus, WorkerBus
from pipecat.bus.serializers import JSONMessageSerializer
from pipecat.bus.serializers.base import MessageSerializer

TITLES = {
    "queue": "AsyncQueueBus, one process",
    "ipc": "zmqbus, ipc",
    "tcp": "zmqbus, tcp",
    "tcp-uvloop": "zmqbus, tcp, uvloop",
    "curve": "zmqbus, tcp, CURVE",
    "redis": "RedisBus",
    "nats-json": "NATS, JSON",
    "nats": "NATS, our serializer",
    "zenoh-json": "Zenoh, JSON",
    "zenoh": "Zenoh, our serializer",
    "bare": "bare pyzmq, bytes only",
}
"""By kind, how tables call it."""
OURS = ("ipc", "tcp", "tcp-uvloop", "curve")

_MODULES = {"redis": "redis", "nats": "nats", "zenoh": "zenoh"}
_START_SECS = 10.0


class MissingError(Exception):
    """A bus cannot be measured here; says what is missing."""


@contextlib.contextmanager
def server(kind: str) -> Iterator[str]:
    """What the bus needs besides the processes; gives the address of it.

    Raises:
        MissingError: It is not installed.
    """
    name, _, way = kind.partition("-")
    module = "uvloop" if way == "uvloop" else _MODULES.get(name)
    if module and find_spec(module) is None:
        raise MissingError(f"the Python package {module} is not installed")
    with tempfile.TemporaryDirectory() as directory:
        match name:
            case "redis":
                command = ("redis-server", "--save", "", "--dir", directory, "--port")
                with _running(command) as port:
                    yield f"redis://127.0.0.1:{port}"
            case "nats":
                with _running(("nats-server", "-a", "127.0.0.1", "-p")) as port:
                    yield f"nats://127.0.0.1:{port}"
            case "zenoh":
                yield f"tcp/127.0.0.1:{_free_port()}"
            case "curve":
                from zmqbus import MeshKey

                yield MeshKey.new().reveal()
            case _:
                yield directory


def available(kinds: Sequence[str]) -> list[str]:
    """Those that can be measured here; the others are named on stderr, with what is missing."""
    there = []
    for kind in kinds:
        try:
            with server(kind):
                there.append(kind)
        except MissingError as error:
            print(f"{TITLES[kind]} is skipped: {error}", file=sys.stderr)
    return there


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


@contextlib.contextmanager
def _running(command: Sequence[str]) -> Iterator[int]:
    """A server, for as long as the block lasts; gives the port, which ends its command."""
    program = shutil.which(command[0])
    if program is None:
        raise MissingError(f"{command[0]} is not installed")
    port, quiet = _free_port(), subprocess.DEVNULL
    process = subprocess.Popen([program, *command[1:], str(port)], stdout=quiet, stderr=quiet)
    try:
        _wait_for(command[0], port)
        yield port
    finally:
        process.terminate()
        process.wait()


def _wait_for(program: str, port: int) -> None:
    give_up_at = time.monotonic() + _START_SECS
    while time.monotonic() < give_up_at:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.01)
    raise MissingError(f"{program} does not answer on port {port} within {_START_SECS:g} s")


def make(kind: str, name: str, channel: str, address: str) -> WorkerBus:
    """A bus of one kind, in the process that is to use it.

    Args:
        kind: One of `TITLES`, but not "bare".
        name: Of the process, unlike all others.
        channel: The channel's name.
        address: As `server` gave it.
    """
    match kind:
        case "queue":
            return AsyncQueueBus()
        case "redis":
            from pipecat.bus.network.redis import RedisBus
            from redis.asyncio import Redis

            return RedisBus(redis=Redis.from_url(address), channel=channel)
        case "nats" | "nats-json" | "zenoh" | "zenoh-json":
            from bench import rivals

            rival = rivals.NatsBus if kind.startswith("nats") else rivals.ZenohBus
            return rival(address, channel, _serializer(kind))
    from zmqbus import ZmqBus

    bind = f"ipc://{address}/{name}" if kind == "ipc" else None
    return ZmqBus(channel=channel, bind=bind, key=address if kind == "curve" else None)


def _serializer(kind: str) -> MessageSerializer:
    if kind.endswith("json"):
        return JSONMessageSerializer()
    from zmqbus import MsgpackSerializer

    return MsgpackSerializer()
