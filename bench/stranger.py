"""A process that is no member and knocks at a port of one, as often as it can up to a rate."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections import deque
from collections.abc import Callable

import zmq

from bench.orders import obey
from zmqbus import wire
from zmqbus.packets import MIN_VERSION, NOBODY, VERSION, Hello, NodeId

_MOST_HELD = 2_000
_PAUSE_SECS = 0.001
_SENDERS = 8
_ROUND_PORTS = 20_000


def _greeting(mechanism: bytes) -> bytes:
    return b"\xff" + bytes(8) + b"\x7f\x03\x00" + mechanism.ljust(20, b"\0") + bytes(32)


def _command(name: bytes, body: bytes) -> bytes:
    command = bytes([len(name)]) + name + body
    return b"\x04" + bytes([len(command)]) + command


SAYINGS = {
    "nothing": b"",
    "noise": bytes(range(1, 65)),
    "plain ZeroMQ": _greeting(b"NULL")
    + _command(b"READY", b"\x0bSocket-Type\x00\x00\x00\x06DEALER"),
    "another key": _greeting(b"CURVE")
    + _command(b"HELLO", b"\x01\x00" + bytes(72) + bytes(range(32)) + bytes(8) + bytes(80)),
}
"""What is said by who connects: ZMTP 3.0 where that makes sense."""


class Stranger:
    """Every method is an order."""

    async def connect(
        self, *, port: int, says: str, holds: bool, per_sec: float, secs: float
    ) -> float:
        """Connect and say something; returns how many times a second.

        Args:
            port: Of this host.
            says: One of `SAYINGS`.
            holds: Whether to keep the newest connections, rather than to close each at once.
            per_sec: How many times a second at most.
            secs: For how long.
        """
        held = deque[socket.socket]()
        said, most = SAYINGS[says], _MOST_HELD if holds else 0

        def one() -> int:
            if len(held) > most:
                held.popleft().close()
            new = socket.socket()
            held.append(new)
            new.setblocking(False)
            new.connect_ex(("127.0.0.1", port))
            try:
                new.getpeername()  # over loopback it is done at once, or the port's queue is full
                new.send(said)
            except OSError:
                return 0
            return 1

        try:
            return await asyncio.to_thread(_paced, one, per_sec, secs)
        finally:
            for each in held:
                each.close()

    async def hello(self, *, port: int, per_sec: float, secs: float) -> float:
        """Introduce nodes that do not exist, each once; returns how many a second."""
        with zmq.Context() as context:
            senders = [context.socket(zmq.DEALER) for _ in range(_SENDERS)]
            for sender in senders:
                sender.connect(f"tcp://127.0.0.1:{port}")
            said = 0

            def one() -> int:
                nonlocal said
                said += 1
                try:
                    senders[said % _SENDERS].send(_hello(said), zmq.DONTWAIT)
                except zmq.Again:
                    time.sleep(_PAUSE_SECS)
                    return 0
                return 1

            try:
                return await asyncio.to_thread(_paced, one, per_sec, secs)
            finally:
                context.destroy(linger=0)


def _hello(number: int) -> bytes:
    at = f"tcp://127.0.0.1:{1024 + number % _ROUND_PORTS}"
    hello = Hello(
        min_version=MIN_VERSION,
        max_version=VERSION,
        token=number,
        heard=0,
        host="nowhere",
        pid=number,
        endpoints=(at,),
        data_endpoints=(at,),
        interests=(),
        known=0,
        met=0,
    )
    return wire.encode_system(hello, NodeId(os.urandom(8)), NOBODY)


def _paced(one: Callable[[], int], per_sec: float, secs: float) -> float:
    begun_at, done = time.monotonic(), 0
    while (passed_secs := time.monotonic() - begun_at) < secs:
        if done > passed_secs * per_sec:
            time.sleep(_PAUSE_SECS)
        else:
            done += one()
    return done / secs


if __name__ == "__main__":
    asyncio.run(obey(Stranger()))
