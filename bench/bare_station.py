"""Blocking sockets in a process of their own, with the orders of `bench.station`: bytes only.

What a bus cannot beat: PUSH and PULL over tcp, one thread for each, no asyncio on the way.
"""

from __future__ import annotations

import asyncio
import struct
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import zmq

_SIZE_BYTES = 640
_STAMP = struct.Struct(f"q{_SIZE_BYTES - 8}x")
_LOOK_SECS = 0.02
Socket = zmq.Socket[bytes]


class BareStation:
    """Senders and receivers; every method is an order."""

    def __init__(self, name: str) -> None:
        self._context: zmq.Context[Socket] = zmq.Context()
        self._delays_ns: list[int] = []
        self._taken_msgs = self._astray_msgs = 0
        self._last_at = 0.0
        self._resting = threading.Event()
        self._flows: list[threading.Thread] = []

    async def open(
        self,
        *,
        channel: str,
        address: str,
        counters: Sequence[str] = (),
        clocks: Sequence[str] = (),
    ) -> None:
        """Bind a socket for each counter and clock; where is in a file of its name."""
        self._directory = Path(address)
        for names, take in ((counters, self._count), (clocks, self._time)):
            for name in names:
                socket = self._context.socket(zmq.PULL)
                port = socket.bind_to_random_port("tcp://127.0.0.1")
                (self._directory / name).write_text(f"tcp://127.0.0.1:{port}")
                threading.Thread(target=take, args=(socket,), daemon=True).start()

    def _count(self, socket: Socket) -> None:
        while True:
            number = _STAMP.unpack(socket.recv())[0]
            self._astray_msgs += number != self._taken_msgs
            self._taken_msgs += 1
            self._last_at = time.monotonic()

    def _time(self, socket: Socket) -> None:
        while True:
            sent_ns = _STAMP.unpack(socket.recv())[0]
            self._delays_ns.append(time.monotonic_ns() - sent_ns)

    def _connect(self, target: str) -> Socket:
        socket = self._context.socket(zmq.PUSH)
        socket.connect((self._directory / target).read_text())
        return socket

    async def greet(self, *, name: str) -> None:
        """Sockets need no greeting: PUSH waits for its PULL."""

    async def hears(self, *, names: Sequence[str]) -> None:
        """See `greet`."""

    async def send(
        self, *, what: str, targets: Sequence[str], secs: float, per_sec: float | None = None
    ) -> tuple[int, float]:
        """Send numbered messages to the first target for a while; how many, and since when."""
        return await asyncio.to_thread(self._send, targets[0], secs, per_sec)

    def _send(self, target: str, secs: float, per_sec: float | None) -> tuple[int, float]:
        socket, number = self._connect(target), 0
        begun_at = due = time.monotonic()
        while time.monotonic() - begun_at < secs:
            socket.send(_STAMP.pack(number))
            number += 1
            if per_sec:
                due += 1 / per_sec
                time.sleep(max(0.0, due - time.monotonic()))
        socket.close()  # what it holds still leaves
        return number, begun_at

    async def arrived(self, *, msgs: int, secs: float) -> tuple[int, int, float]:
        """See `bench.station.Station.arrived`."""
        give_up_at = time.monotonic() + secs
        while self._taken_msgs < msgs and time.monotonic() < give_up_at:  # noqa: ASYNC110 (threads)
            await asyncio.sleep(_LOOK_SECS)
        result = self._taken_msgs, self._astray_msgs, self._last_at
        self._taken_msgs = self._astray_msgs = 0
        return result

    async def flow(
        self, *, source: str, target: str, every_secs: float, urgent: bool = False
    ) -> None:
        """Send dated messages until told to `rest`."""
        self._resting.clear()
        flow = threading.Thread(target=self._flow, args=(target, every_secs), daemon=True)
        self._flows.append(flow)
        flow.start()

    def _flow(self, target: str, every_secs: float) -> None:
        socket, due = self._connect(target), time.monotonic()
        while not self._resting.is_set():
            socket.send(_STAMP.pack(time.monotonic_ns()))
            due += every_secs
            time.sleep(max(0.0, due - time.monotonic()))
        socket.close()

    async def rest(self) -> None:
        """Send no dated messages any more."""
        self._resting.set()
        while self._flows:
            await asyncio.to_thread(self._flows.pop().join)

    async def delays(self, *, clock: str) -> list[int]:
        """How late what came since the last call was, in nanoseconds."""
        taken, self._delays_ns = self._delays_ns, []
        return taken

    async def cpu_secs(self) -> float:
        """What the process has used of the processors so far, all threads together."""
        return time.process_time()
