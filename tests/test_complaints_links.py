"""What users complain about when links fail: real sockets behind proxies that cut them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

import pytest
from pipecat.bus import BusJobUpdateUrgentMessage
from support.buses import Inbox, Mesh, data, open_mesh, urgent
from support.journal import TIMEOUT_SECS
from support.proxy import Gate, Proxy, gates

from zmqbus import MeshConfig, ZmqBus
from zmqbus.bell import Bell

HASTY = MeshConfig(
    heartbeat_secs=0.1,
    busy_after_secs=1.0,
    link_timeout_secs=0.5,
    grace_secs=0.3,
    hello_retry_secs=0.2,
    linger_secs=0.2,
)


class Link:
    """Two buses that have met through a gate each.

    Parameters:
        buses: Both.
        inboxes: Theirs, "a" and "b".
        events: What each was told of the other, in order.
    """

    def __init__(self, gates: list[Gate]) -> None:
        self.gates = gates
        self.inboxes = [Inbox("a"), Inbox("b")]
        self.buses: list[ZmqBus] = []
        self.events: list[list[str]] = [[], []]
        self._bell = Bell()

    @property
    def proxies(self) -> list[Proxy]:
        """All four."""
        return [proxy for gate in self.gates for proxy in (gate.system, gate.data)]

    async def meet(self, mesh: Mesh) -> None:
        """Start both buses, and wait until they have joined."""
        for gate, inbox, events in zip(self.gates, self.inboxes, self.events, strict=True):
            seeds = [self.gates[0].seed] if self.buses else []
            bus = await mesh.make(
                inbox,
                config=HASTY,
                discovery=(),
                peers=seeds,
                bind=gate.bind,
                advertise=gate.advertise,
            )
            for name in ("joined", "lost"):
                bus.add_event_handler(f"on_peer_{name}", self._noting(events, name))
            self.buses.append(bus)
        await mesh.meet(*self.buses)

    async def send(self, numbers: range) -> None:
        """Let both send numbered messages, on both planes."""
        for number in numbers:
            for bus, source in zip(self.buses, "ab", strict=True):
                await bus.send(data(f"{source}{number}", source=source))
                await bus.send(urgent(number, source=source))

    async def heard(self, count: int) -> None:
        """Wait until both have heard ``count`` messages of the other, on each plane, in order."""
        for inbox, other in zip(self.inboxes, "ba", strict=True):
            own = count * 2
            await inbox.wait(own + count * 2)
            texts = [text for text in inbox.texts if text.startswith(other)]
            assert texts == [f"{other}{n}" for n in range(count)]
            updates = [m for m in inbox.messages if m.source == other and hasattr(m, "update")]
            assert [m.update["n"] for m in updates] == list(range(count))

    async def told(
        self, name: str, times: int, *, by: Callable[[Iterable[bool]], bool] = all
    ) -> None:
        """Wait until all, or any of them, were told so often."""
        async with asyncio.timeout(TIMEOUT_SECS):
            while not by(events.count(name) >= times for events in self.events):
                await self._bell.wait(None)

    def _noting(self, events: list[str], name: str) -> Callable[..., None]:
        def note(*_: object) -> None:
            events.append(name)
            self._bell.ring()

        return note


@pytest.fixture
async def link() -> AsyncIterator[Link]:
    """A link whose buses have joined."""
    async with _link() as opened:
        yield opened


@asynccontextmanager
async def _link() -> AsyncIterator[Link]:
    async with open_mesh() as mesh, gates(2) as opened:
        link = Link(opened)
        await link.meet(mesh)
        yield link
        await asyncio.gather(*(bus.stop() for bus in link.buses))


async def test_reset_connections_leave_nobody_deaf(link: Link) -> None:
    """What is under way in a blip and what follows comes in order, once: no reader dies (F1)."""
    for sent in (0, 40, 80):
        await link.send(range(sent, sent + 20))
        for proxy in link.proxies:
            proxy.reset()
        await link.send(range(sent + 20, sent + 40))
        await link.heard(sent + 40)


async def test_link_that_was_down_recovers_on_both_sides(link: Link) -> None:
    """Down till each has lost the other, then up: both joined, and nothing is missing (F7)."""
    for proxy in link.proxies:
        proxy.cut()
    await link.send(range(20))
    await link.told("lost", 1)
    await link.send(range(20, 40))
    for proxy in link.proxies:
        proxy.heal()
    await link.told("joined", 2)
    await link.heard(40)


@pytest.mark.parametrize("plane", ["system", "data"])
@pytest.mark.parametrize("whose", [0, 1])
async def test_half_dead_link_is_noticed_and_rebuilt(link: Link, plane: str, whose: int) -> None:
    """One plane, one way, works no more: who finds out is told; once it works all arrives (F12)."""
    proxy: Proxy = getattr(link.gates[whose], plane)
    proxy.cut()
    await link.send(range(20))
    await link.told("lost", 1, by=any)
    await link.send(range(20, 40))
    proxy.heal()
    await link.told("joined", 2, by=any)
    await link.heard(40)


async def test_urgent_message_overtakes_images_on_a_slow_link(link: Link) -> None:
    """A cancel does not wait for images that were sent before it (Z32)."""
    for proxy in link.proxies:
        proxy.slow_down(2_000_000)
    a, _ = link.buses
    for _ in range(8):
        await a.send(data("x" * 200_000))
    await a.send(urgent(0))
    first, *others = await link.inboxes[1].wait(9)
    assert isinstance(first, BusJobUpdateUrgentMessage)
    assert len(others) == 8
