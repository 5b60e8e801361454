"""Discovery on the local network: mDNS, through the package `zeroconf` and nowhere else.

It runs on a thread and an event loop of its own, so that a blocked application still answers, and
a flood of datagrams does not stall the mesh: it gets a tenth of a core, and what it cannot read in
time the system drops. All it does for the node is to call ``found``. That it fails ends nothing: it
is said once, and tried again (D02, D04).
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

from loguru import logger
from zeroconf import DNSQuestionType, Error, IPVersion, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from zmqbus.net.addresses import Held, outer
from zmqbus.net.adverts import SERVICE, Advert, Board, make, node_of, read
from zmqbus.net.ration import LOOK_SECS, Ration
from zmqbus.packets import ChannelId, NodeId

_TURN_SECS = 1.0
"""How often interfaces are looked at, and how soon after each other two updates are told."""
ECHO_SECS = 3.0
"""After which our own advert should have come back to us."""
_ALONE_SECS = 5.0
"""After which whoever is not alone should have heard somebody else."""
_CLOSE_SECS = 2.0
_MAX_REQUESTS = 16
"""Nodes that are asked for the rest of their advert, at a time."""
_REQUEST_MS = 2000

_WAY_OUT = "name a runner as a seed instead, `peers=['tcp://host:port']` (its `bus.endpoint`)"


class Mdns:
    """Tells others of this node, and this node of others.

    ``counters``: ``malformed_adverts``, ``forgotten_adverts`` (there were too many), and
    ``failed_mdns``.

    Args:
        found: Called on the loop that called `start`, with addresses and the node said to be there.
    """

    def __init__(self, found: Callable[[tuple[str, ...], NodeId], None]) -> None:
        self._found = found
        self._stopping = self._is_asked = False
        self._wanted: tuple[Advert | None, tuple[ChannelId, ...]] = None, ()
        self._inner: asyncio.AbstractEventLoop | None = None
        # The keys never change, so that another thread may read it at any time.
        self.counters = Counter(malformed_adverts=0, forgotten_adverts=0, failed_mdns=0)

    # -- for the loop of the node

    def start(self) -> None:
        """Listen, from now on."""
        self._outer = asyncio.get_running_loop()
        threading.Thread(target=self._main, name="zmqbus-mdns", daemon=True).start()

    def announce(
        self, node: NodeId, endpoints: tuple[str, ...], channels: tuple[ChannelId, ...]
    ) -> None:
        """Say something, or something else, of this node; look at once for others like it."""
        self._wanted = make(node, endpoints, channels), channels
        self._wake()

    def look_again(self) -> None:
        """Tell the node once more, at once, where the others are."""
        self._is_asked = True
        self._wake()

    @property
    def heard_self(self) -> bool:
        """Whether our own advert has come back: multicast leaves this host, and is heard here."""
        return self._inner is not None and self._heard_self

    @property
    def adverts(self) -> list[Advert]:
        """What others say of themselves, also those of other channels."""
        return self._board.adverts if self._inner is not None else []

    def stop(self) -> None:
        """Say goodbye and end, soon. Returns at once; ``found`` is not called any more."""
        self._stopping = True
        self._wake()

    def _wake(self) -> None:
        if self._inner is not None:
            with suppress(RuntimeError):  # it has ended
                self._inner.call_soon_threadsafe(self._news.set)

    # -- for the loop of its own

    def _main(self) -> None:
        try:
            asyncio.run(self._run())
        except Exception as error:
            self._complain(f"ends: {error!r}")

    async def _run(self) -> None:
        self._news = asyncio.Event()
        self._said: set[str] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._board = Board()
        self._here: frozenset[Held] = frozenset()
        self._zeroconf: AsyncZeroconf | None = None
        self._told: Advert | None = None
        self._told_at = float("-inf")
        self._tellings = 0
        self._channels: tuple[ChannelId, ...] = ()
        self._heard_self = self._heard_others = self._judged = False
        self._moving: asyncio.Task[None] | None = None
        self._inner = asyncio.get_running_loop()
        self._spawn(_hold_back())
        try:
            while not self._stopping and not self._outer.is_closed():
                try:
                    await self._turn()
                except (OSError, RuntimeError, Error) as error:
                    self._complain(f"{error or type(error).__name__}")
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait(), _TURN_SECS)
                self._news.clear()
        finally:
            await self._close()

    async def _turn(self) -> None:
        self._follow_interfaces()
        await self._tell()
        if self._is_asked or self._channels != self._wanted[1]:
            self._is_asked, self._channels = False, self._wanted[1]
            self._board.hasten(self._now())
        self._pass_on()
        self._judge()

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _follow_interfaces(self) -> None:
        """Talk on every interface that others may be on: those that come, no more those that go."""
        here = frozenset(outer())
        if self._zeroconf is None:
            if here:
                self._open(here)
        elif self._moving is None or self._moving.done():
            # Also if none has come or gone: one that was not ready yet may be now.
            self._moving = self._spawn(self._move(here & self._here, here))
        self._here = here

    def _open(self, here: frozenset[Held]) -> None:
        self._zeroconf = AsyncZeroconf(interfaces=_choice(here), ip_version=_version(here))
        self._browser = AsyncServiceBrowser(
            self._zeroconf.zeroconf,
            SERVICE,
            handlers=[self._changed],
            # An answer to one address reaches one process of a host, and not always the right one.
            question_type=DNSQuestionType.QM,
        )

    async def _move(self, kept: frozenset[Held], here: frozenset[Held]) -> None:
        """In two steps: an address that is back on another interface is another one."""
        assert self._zeroconf is not None, "opened before"
        for some in dict.fromkeys((kept, here)):
            await self._zeroconf.async_update_interfaces(_choice(some), _version(some))

    async def _tell(self) -> None:
        """Tell others of this node, if that has changed; not more often than they can bear."""
        advert = self._wanted[0]
        if self._zeroconf is None or advert is None or advert == self._told:
            return
        if self._now() < self._told_at + _TURN_SECS:
            return
        self._tellings += 1
        info = AsyncServiceInfo(
            SERVICE,
            advert.instance,
            port=advert.port,
            properties=advert.txt(),
            # A name of its own each time: under the same one the old addresses would linger.
            server=f"zmqbus-{advert.node.hex()}-{self._tellings}.local.",
            parsed_addresses=list(advert.hosts),
        )
        if self._told is None:
            self._tell_first_at = self._now()
            telling = await self._zeroconf.async_register_service(
                info,
                cooperating_responders=True,  # the name is ours alone: nobody is asked
            )
        else:
            telling = await self._zeroconf.async_update_service(info)
        self._told, self._told_at = advert, self._now()
        self._spawn(_wait_for(telling))

    def _changed(
        self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange
    ) -> None:
        """Something was heard of an instance of the service."""
        node = node_of(name)
        if node is None:
            self.counters["malformed_adverts"] += 1
        elif self._told is not None and node == self._told.node:
            self._heard_self = True
        elif state_change is ServiceStateChange.Removed:
            self._board.drop(node)
        else:
            info = AsyncServiceInfo(SERVICE, name)
            if info.load_from_cache(zeroconf):
                self._take(info)
            elif len(self._tasks) < _MAX_REQUESTS:
                self._spawn(self._ask(zeroconf, info))

    async def _ask(self, zeroconf: Zeroconf, info: AsyncServiceInfo) -> None:
        if await info.async_request(zeroconf, _REQUEST_MS, DNSQuestionType.QM):
            self._take(info)

    def _take(self, info: AsyncServiceInfo) -> None:
        networks = [h.network for h in self._here]
        hosts = info.parsed_scoped_addresses()
        advert = read(info.name, info.port, hosts, info.properties, networks)
        if advert is None:
            self.counters["malformed_adverts"] += 1
            return
        self._heard_others = True
        if not self._board.pin(advert, self._now()):
            self.counters["forgotten_adverts"] += 1
        self._pass_on()

    def _pass_on(self) -> None:
        for advert in self._board.take_due(self._channels, self._now()):
            with suppress(RuntimeError):  # the node's loop is closed
                self._outer.call_soon_threadsafe(self._hand_over, advert)

    def _hand_over(self, advert: Advert) -> None:
        if not self._stopping:
            self._found(advert.endpoints, advert.node)

    def _judge(self) -> None:
        """Say once that multicast does not work here, and what does; to be alone is no fault."""
        if self._told is None or self._heard_others or self._judged:
            return
        told_secs = self._now() - self._tell_first_at
        if told_secs > ECHO_SECS and not self._heard_self:
            self._judged = True
            names = ", ".join(sorted({h.interface for h in self._here})) or "no interface"
            self._complain(
                f"what this host sends by multicast ({names}) does not even come back to it, so "
                f"nobody is found that way; let UDP port 5353 through, or {_WAY_OUT}"
            )
        elif told_secs > _ALONE_SECS:
            self._judged = True
            logger.info(
                f"zmqbus: mDNS: nobody else is heard yet; if there are others, this network "
                f"carries no multicast between you: {_WAY_OUT}"
            )

    def _complain(self, what: str) -> None:
        self.counters["failed_mdns"] += 1
        if what not in self._said:
            self._said.add(what)
            logger.warning(f"zmqbus: mDNS: {what}")

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._complain(f"{error or type(error).__name__}")

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._zeroconf is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_SECS):
                    await self._browser.async_cancel()
                    await self._zeroconf.async_close()


async def _hold_back() -> None:
    """Keep this thread from working, as often as it has had too much of the processor."""
    ration = Ration(time.thread_time(), time.monotonic())
    pause_secs = LOOK_SECS
    while True:
        await asyncio.sleep(pause_secs)
        rest_secs = ration.rest_secs(time.thread_time(), time.monotonic())
        time.sleep(rest_secs)  # noqa: ASYNC251 (nothing here may go on)
        pause_secs = LOOK_SECS / 10 if rest_secs else LOOK_SECS


async def _wait_for(told: Awaitable[Any]) -> None:
    await told


def _choice(here: frozenset[Held]) -> list[str | int]:
    """The interfaces as zeroconf wants them: IPv4 ones by address, IPv6 ones by number."""
    v4 = [str(h.address) for h in here if h.address.version == 4]
    return [*sorted(v4), *sorted({h.index for h in here if h.address.version == 6})]


def _version(here: frozenset[Held]) -> IPVersion:
    """IPv6 only where there is any, since a system may know nothing of it."""
    return IPVersion.All if any(h.address.version == 6 for h in here) else IPVersion.V4Only
