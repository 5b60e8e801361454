"""Transports under test, and a handler that writes down what it is told."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

import zmq

from zmqbus.config import DEFAULT, MeshConfig
from zmqbus.keys import Keys
from zmqbus.net.transport import Transport

TIMEOUT_SECS = 15.0
"""How long anything may take on a busy machine. Only a failing test waits for it."""

Raw = zmq.Socket[bytes]


class Recorder:
    """Everything a transport has told, in order. `until` lets a test wait for it."""

    def __init__(self) -> None:
        self.system: list[bytes] = []
        self.strangers: list[bytes] = []
        self.users: list[str] = []
        self.turned_away_texts: list[tuple[str, str | None]] = []
        self.refusals: list[tuple[int, bytes]] = []
        self.data: list[bytes] = []
        self.links: list[tuple[int, bool]] = []
        self.reasons: list[str] = []
        self.readers: list[tuple[bytes, bool]] = []
        self.turns = 0
        self.on_system: Callable[[bytes], object] = lambda _frame: None
        self._news = asyncio.Event()

    def __repr__(self) -> str:
        return (
            f"<Recorder [{len(self.system)} system, {len(self.data)} data, "
            f"links {self.links[-5:]}, readers {self.readers[-5:]}, refusals {self.refusals[-5:]}]>"
        )

    def system_frame(self, frame: bytes, stranger: bytes, user: str) -> None:
        """Note it."""
        self.system.append(frame)
        self.strangers.append(stranger)
        self.users.append(user)
        self.on_system(frame)

    def refusal_frame(self, dial: int, frame: bytes) -> None:
        """Note it."""
        self.refusals.append((dial, frame))

    def data_frame(self, frame: bytes) -> None:
        """Note it."""
        self.data.append(frame)

    def link_up(self, dial: int) -> None:
        """Note it."""
        self.links.append((dial, True))

    def link_down(self, dial: int, reason: str) -> None:
        """Note it."""
        self.links.append((dial, False))
        self.reasons.append(reason)

    def reader(self, topic: bytes, present: bool) -> None:
        """Note it."""
        self.readers.append((topic, present))

    def turned_away(self, text: str, endpoint: str | None) -> None:
        """Note it."""
        self.turned_away_texts.append((text, endpoint))

    def turn_done(self) -> None:
        """Let who waits look again."""
        self.turns += 1
        self._news.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something holds; it is asked after every turn."""
        try:
            async with asyncio.timeout(TIMEOUT_SECS):
                while not condition():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"It did not happen; told so far: {self}.") from None


class End:
    """One transport with its recorder."""

    def __init__(
        self,
        bind: str,
        advertise: str | None,
        config: MeshConfig,
        insecure: bool,
        keys: Keys | None = None,
    ) -> None:
        self.told = Recorder()
        self.transport = Transport(
            self.told, bind=bind, advertise=advertise, config=config, insecure=insecure, keys=keys
        )

    @property
    def endpoint(self) -> str:
        """Where to dial it."""
        return self.transport.endpoints[0]

    @property
    def data_endpoint(self) -> str:
        """Where to read it."""
        return self.transport.data_endpoints[0]

    async def dial(self, number: int, other: End) -> None:
        """Dial another end, and return when the link is up."""
        self.transport.dial(number, other.endpoint)
        await self.told.until(lambda: (number, True) in self.told.links)

    async def read(self, other: End, topic: bytes) -> None:
        """Read a topic of another end, and return when that end knows."""
        self.transport.subscribe(topic)
        self.transport.attach(other.data_endpoint)
        await other.told.until(lambda: (topic, True) in other.told.readers)


class Ends:
    """All ends of one test, and its plain sockets for what no transport would send."""

    def __init__(self) -> None:
        self._ends: list[End] = []
        self._context: zmq.Context[Raw] = zmq.Context()
        self._raws: list[Raw] = []

    async def open(
        self,
        bind: str = "tcp://127.0.0.1:*",
        *,
        advertise: str | None = None,
        config: MeshConfig = DEFAULT,
        insecure: bool = False,
        keys: Keys | None = None,
    ) -> End:
        """Open a transport."""
        end = End(bind, advertise, config, insecure, keys)
        await end.transport.open()
        self._ends.append(end)
        return end

    def raw(self, kind: int) -> Raw:
        """Make a plain socket."""
        socket = self._context.socket(kind)
        self._raws.append(socket)
        return socket

    async def close(self) -> None:
        """Close everything."""
        for socket in self._raws:
            socket.close(linger=0)
        self._context.term()
        for end in self._ends:
            await end.transport.close(0)
            assert not end.transport.counters["abandoned_contexts"]


def descriptors() -> dict[int, str]:
    """The open descriptors of this process, with what they are; none where nothing tells."""
    found: dict[int, str] = {}
    for name in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else ():
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            continue  # the one that lists the directory
    return found
