"""How many messages a second go from one process to another, flat out, through the whole bus.

What it does not show: latency (flat out, queues are full), and what more than two cores would give.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import uuid
from dataclasses import dataclass

from loguru import logger
from pipecat.bus import BusFrameMessage, BusMessage, BusSubscriber, WorkerBus

from bench import buses, messages

_MOST_SECS = 120.0
_TURN_MSGS = 64
"""After how many messages every sender gives its loop a turn; one bus does so by itself."""


class Sink(BusSubscriber):
    """Counts what comes, and whether it is in order; done when the last number has come."""

    def __init__(self, expected_msgs: int) -> None:
        self.received_msgs = 0
        self.in_order = True
        self.done = asyncio.Event()
        self.done_at = 0.0
        self._last = expected_msgs - 1
        self._next = 0

    @property
    def name(self) -> str:
        """The target of what is sent."""
        return messages.SINK

    async def on_bus_message(self, message: BusMessage) -> None:
        """Take one message."""
        number = message.frame.pts if isinstance(message, BusFrameMessage) else None
        if number is None:
            return
        self.received_msgs += 1
        self.in_order = self.in_order and number == self._next
        self._next = number + 1
        if number == self._last:
            self.done_at = time.monotonic()
            self.done.set()


@dataclass(frozen=True)
class Rate:
    """One measurement.

    Parameters:
        kind: The bus.
        sent_msgs: Messages sent.
        received_msgs: Messages received.
        in_order: Whether they came in the order sent.
        secs: From the first `send()` to the last arrival.
    """

    kind: str
    sent_msgs: int
    received_msgs: int
    in_order: bool
    secs: float

    @property
    def whole(self) -> bool:
        """Whether nothing was lost or reordered."""
        return self.received_msgs == self.sent_msgs and self.in_order

    @property
    def per_sec(self) -> float:
        """Messages a second."""
        return self.sent_msgs / self.secs


async def _send(bus: WorkerBus, count: int) -> float:
    """Send ``count`` numbered frames; returns when the first was sent."""
    begun_at = time.monotonic()
    for number in range(count):
        message = messages.audio()
        message.frame.pts = number
        await bus.send(message)
        if number % _TURN_MSGS == 0:
            await asyncio.sleep(0)
    return begun_at


async def measure(kind: str, count: int) -> Rate:
    """Send ``count`` frames from this process to another one (for the queue: within this one).

    Raises:
        MissingError: The bus cannot be measured here.
    """
    if kind == "queue":
        return await _measure_queue(count)
    with buses.server(kind) as address:
        channel = f"bench-{uuid.uuid4().hex[:8]}"
        command = (sys.executable, "-m", "bench.throughput", kind, channel, address, str(count))
        child = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        try:
            return await _measure_pair(kind, channel, address, count, child)
        finally:
            if child.returncode is None:
                child.kill()
            await child.wait()


async def _measure_queue(count: int) -> Rate:
    bus, sink = buses.make("queue", "", ""), Sink(count)
    async with buses.started(bus):
        await bus.subscribe(sink)
        begun_at = await _send(bus, count)
        await asyncio.wait_for(sink.done.wait(), _MOST_SECS)
    return Rate("queue", count, sink.received_msgs, sink.in_order, sink.done_at - begun_at)


async def _measure_pair(
    kind: str, channel: str, address: str, count: int, child: asyncio.subprocess.Process
) -> Rate:
    assert child.stdin is not None
    assert child.stdout is not None
    bus = buses.make(kind, channel, address)
    async with buses.started(bus):
        assert (await child.stdout.readline()).strip() == b"ready", "the receiver did not start"
        begun_at = await _send(bus, count)
        report = json.loads(await asyncio.wait_for(child.stdout.readline(), _MOST_SECS))
        child.stdin.close()
    secs = report["done_at"] - begun_at
    return Rate(kind, count, report["received_msgs"], report["in_order"], secs)


async def _receive(kind: str, channel: str, address: str, count: int) -> None:
    bus, sink = buses.make(kind, channel, address), Sink(count)
    async with buses.started(bus):
        await bus.subscribe(sink)
        if kind == "zmqbus":
            await bus.wait_for_peers(1, timeout_secs=10)  # type: ignore[attr-defined]
        print("ready", flush=True)
        try:
            await asyncio.wait_for(sink.done.wait(), _MOST_SECS)
        except TimeoutError:
            sink.done_at = time.monotonic()
        report = {
            "received_msgs": sink.received_msgs,
            "in_order": sink.in_order,
            "done_at": sink.done_at,
        }
        print(json.dumps(report), flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    logger.remove()
    _, kind, channel, address, count = sys.argv
    asyncio.run(_receive(kind, channel, address, int(count)))
