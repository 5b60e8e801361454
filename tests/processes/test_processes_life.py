"""One bus through its life: loops, stops, messages that cannot travel, garbage on its ports."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import zmq
from pipecat.bus import BusMessage
from pipecat.bus.subscriber import BusSubscriber
from pipecat.bus.ui.messages import BusUIEventMessage
from support.journal import TIMEOUT_SECS, Journal
from support.site import Site

from zmqbus import ZmqBus
from zmqbus.errors import CodecError

# A TCP state in /proc/net/tcp.
LISTEN = "0A"


def new_channel() -> str:
    """A name that nobody else uses."""
    return f"life-{uuid.uuid4().hex}"


def event(payload: Any) -> BusUIEventMessage:
    """A message with that payload."""
    return BusUIEventMessage(source="sender", event_name="say", payload=payload)


@asynccontextmanager
async def two_sites(**near: Any) -> AsyncIterator[tuple[Site, Site]]:
    """A near site, and a far one with a listener that the near one knows."""
    channel = new_channel()
    sites = [
        Site(ZmqBus(channel=channel, **options), Journal(), name)
        for name, options in (("near", near), ("far", {}))
    ]
    for site in sites:
        await site.open()
    await sites[1].host("listener", "listener", hears=["BusUIEventMessage"])
    await sites[0].knows("listener")
    try:
        yield sites[0], sites[1]
    finally:
        await asyncio.gather(*(site.close() for site in sites))


def test_stop_in_a_fork_takes_nothing_from_its_parent() -> None:
    """What the child has copies of is the parent's, which stays on the mesh and is found."""
    channel = new_channel()
    bus, newcomer = ZmqBus(channel=channel), ZmqBus(channel=channel)
    with asyncio.Runner() as runner:
        runner.run(bus.start())
        child = os.fork()
        if child == 0:
            with suppress(BaseException):
                asyncio.run(bus.stop())
            os._exit(0)
        os.waitpid(child, 0)
        runner.run(newcomer.start())
        runner.run(newcomer.wait_for_peers(1, timeout_secs=TIMEOUT_SECS))
        for started in (newcomer, bus):
            runner.run(started.stop())


def test_bus_works_in_three_consecutive_loops() -> None:
    """A bus made outside of any loop starts and stops in one loop after the other (Z38)."""
    channel = new_channel()
    bus, other = ZmqBus(channel=channel), ZmqBus(channel=channel)

    async def meet(number: int) -> list[Any]:
        sites = [
            Site(bus, Journal(), f"near {number}"),
            Site(other, Journal(), f"far {number}"),
        ]
        for site in sites:
            await site.open()
        await sites[1].host("listener", f"listener {number}", hears=["BusUIEventMessage"])
        await sites[0].knows(f"listener {number}")
        await bus.send(event(number))
        heard = await sites[1].journal.wait(f"listener {number}", "heard")
        for site in sites:
            await site.close()
        return heard

    assert [asyncio.run(meet(number)) for number in range(3)] == [[0], [1], [2]]


class Stopper(BusSubscriber):
    """Stops its bus from inside its handler, twice."""

    def __init__(self, bus: ZmqBus) -> None:
        self._bus = bus
        self.stopped = asyncio.Event()

    @property
    def name(self) -> str:
        """Its name on the bus."""
        return "stopper"

    async def on_bus_message(self, message: BusMessage) -> None:
        """Stop at the first event."""
        if isinstance(message, BusUIEventMessage):
            await self._bus.stop()
            await self._bus.stop()
            self.stopped.set()


async def test_stop_from_inside_a_handler_returns_and_again() -> None:
    """`stop()` in a message handler does not wait for that handler, nor does a second (F26)."""
    channel = new_channel()
    near, far = Site(ZmqBus(channel=channel), Journal(), "near"), ZmqBus(channel=channel)
    await near.open()
    await far.setup(near.runner.task_manager)
    stopper = Stopper(far)
    await far.subscribe(stopper)
    await far.start()
    await near.journal.wait("bus", "joined")

    await near.bus.send(event("stop"))

    await asyncio.wait_for(stopper.stopped.wait(), TIMEOUT_SECS)
    await near.journal.wait("bus", "left")
    await far.stop()
    await near.close()


async def test_message_that_cannot_travel_raises_at_send_and_the_next_arrives() -> None:
    """The sender learns which value it is, nobody gets the message, the bus goes on (S30)."""
    async with two_sites() as (near, far):
        cyclic: dict[str, Any] = {}
        cyclic["self"] = cyclic
        for payload in ({"handle": object()}, cyclic):
            with pytest.raises(CodecError, match="payload"):
                await near.bus.send(event(payload))

        await near.bus.send(event("after them"))

        assert await far.journal.wait("listener", "heard") == ["after them"]


def listening_ports() -> set[int]:
    """The ports that this process listens on."""
    links = (f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd"))
    mine = {os.readlink(link) for link in links if os.path.lexists(link)}
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {
        int(address.rsplit(":", 1)[1], 16)
        for _, address, _, state, *_, inode in (row[:10] for row in rows)
        if state == LISTEN and f"socket:[{inode}]" in mine
    }


GARBAGE = {
    "an HTTP request": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "random bytes": bytes((i * 131 + 17) % 256 for i in range(4096)),
    # length 1, flags 0: an anonymous ZMTP/1.0 greeting; then one message of 4 bytes.
    "a ZMTP/1.0 greeting": b"\x01\x00" + b"\x05\x00junk" * 50,
}


#: What garbage is counted as: by our parser, by libzmq, and by the sockets between them.
REASONS = {"wire_magic", "failed_handshakes", "multipart", "foreign"}


async def test_garbage_on_the_ports_is_counted_and_the_bus_serves_on() -> None:
    """HTTP, noise, ZMTP/1.0 and junk from raw sockets change nothing but counters (R26, Z36)."""
    async with two_sites() as (near, far):
        assert isinstance(far.bus, ZmqBus)
        assert REASONS.isdisjoint(far.bus.stats().counters)
        for port in listening_ports():
            for noise in GARBAGE.values():
                _reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(noise)
                writer.close()
            await speak_junk(port)

        await near.bus.send(event("still there"))

        assert await far.journal.wait("listener", "heard") == ["still there"]
        assert far.journal.of("bus", "lost") == []
        assert far.bus.stats().counters.keys() >= REASONS


async def speak_junk(port: int) -> None:
    """Junk from sockets that speak ZeroMQ, in packets of several sizes and part counts."""
    context = zmq.Context()
    dealer, subscriber = context.socket(zmq.DEALER), context.socket(zmq.SUB)
    upstream = context.socket(zmq.XSUB)
    for raw in (dealer, subscriber, upstream):
        raw.linger = int(TIMEOUT_SECS * 1000)
        raw.connect(f"tcp://127.0.0.1:{port}")
    for parts in ([b""], [b"junk"], [b"", b"", b"\xff" * 100], [b"\xc1"], [b"\x00" * 70_000]):
        dealer.send_multipart(parts)
        upstream.send_multipart(parts)
    for topic in (b"", b"junk", b"\xff" * 300):
        subscriber.subscribe(topic)
    await asyncio.to_thread(context.destroy, 200)
