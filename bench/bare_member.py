"""Bare sockets in a process of their own, with the orders of `bench.member` that `strangers` needs.

One thread polls a ROUTER, whose frames it drops, and a PULL, whose dated messages it times; others
send such messages. So whatever they are late by is due to libzmq, the kernel and the machine.
"""

from __future__ import annotations

import asyncio
import struct
import threading
import time

import zmq

from bench.orders import obey

_DUE = struct.Struct("d")


class BareMember:
    """The sockets; every method is an order."""

    def __init__(self) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._delays: list[tuple[float, float]] = []

    async def open(self) -> tuple[int, int]:
        """Bind; returns the ports of the ROUTER and of the PULL."""
        router, pull = self._context.socket(zmq.ROUTER), self._context.socket(zmq.PULL)
        ports = [socket.bind_to_random_port("tcp://127.0.0.1") for socket in (router, pull)]
        threading.Thread(target=self._take, args=(router, pull), daemon=True).start()
        return ports[0], ports[1]

    def _take(self, router: zmq.Socket[bytes], pull: zmq.Socket[bytes]) -> None:
        poller = zmq.Poller()
        poller.register(router, zmq.POLLIN)
        poller.register(pull, zmq.POLLIN)
        while True:
            ready = dict(poller.poll())
            if pull in ready:
                late = time.monotonic() - _DUE.unpack(pull.recv())[0]
                self._delays.append((late, late))
            if router in ready:
                router.recv_multipart()

    async def flow(self, *, port: int, every_secs: float) -> None:
        """Send dated messages to a PULL for ever."""
        threading.Thread(target=self._flow, args=(port, every_secs), daemon=True).start()

    def _flow(self, port: int, every_secs: float) -> None:
        socket = self._context.socket(zmq.PUSH)
        socket.connect(f"tcp://127.0.0.1:{port}")
        due = time.monotonic()
        while True:
            socket.send(_DUE.pack(due))
            due += every_secs
            time.sleep(max(0.0, due - time.monotonic()))

    async def delays(self) -> dict[str, list[tuple[float, float]]]:
        """How late what came since the last call was, in seconds."""
        taken, self._delays = self._delays, []
        return {"other": taken}


if __name__ == "__main__":
    asyncio.run(obey(BareMember()))
