"""Where to look for other nodes: seeds, the rendezvous directory of this host, and mDNS.

Discovery only says where somebody may listen, again and again; whether anybody does, and who, is
found out by dialling (R31). So nothing here gives up, and nothing here can be wrong for long.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from loguru import logger

from zmqbus.errors import ConfigError
from zmqbus.net.binding import Told
from zmqbus.net.endpoint import Endpoint, parse_seed
from zmqbus.net.rendezvous import LOOK_SECS, Rendezvous
from zmqbus.net.seeds import resolve
from zmqbus.packets import ChannelId, NodeId

if TYPE_CHECKING:
    from zmqbus.net.mdns import Mdns

METHODS = ("local", "lan")
_SEED_FIRST_SECS = 0.25
_SEED_MAX_SECS = 5.0


class Found(Protocol):
    """Whom a `Discovery` tells."""

    def __call__(self, endpoints: tuple[str, ...], node: NodeId | None, hearsay: bool) -> None:
        """There may be a node at these addresses.

        Args:
            endpoints: Alternatives.
            node: Its id, if it is known.
            hearsay: Whether anybody on the network could have said so.
        """


class Discovery:
    """Calls ``found`` with every address that may be a node's, while it runs.

    Args:
        seeds: Addresses the user gave; asked again for ever, with a pause that doubles up to 5 s.
        methods: Any of `METHODS`.
        found: Whom to tell.

    Raises:
        ConfigError: A seed does not parse, a method is unknown, or the package that "lan" needs is
            not installed.
    """

    def __init__(
        self,
        *,
        seeds: Sequence[str],
        methods: Sequence[str],
        found: Found,
    ) -> None:
        if isinstance(seeds, str | bytes) or not isinstance(seeds, Iterable):
            reason = f"a {type(seeds).__name__}, not a list of them"
            raise ConfigError("peers", seeds, reason, "write it in brackets")
        are_many = isinstance(methods, Iterable) and not isinstance(methods, str | bytes)
        wanted: tuple[Any, ...] = tuple(methods) if are_many else (methods,)
        for method in wanted:
            if method not in METHODS:
                known = ", ".join(map(repr, METHODS))
                raise ConfigError(
                    "discovery", method, "no way of discovery", f"use any of {known}, or ()"
                )
        self._counters: Counter[str] = Counter()
        self._seeds = [parse_seed(seed) for seed in seeds]
        self._found = found
        self._rendezvous = Rendezvous() if "local" in wanted else None
        self._mdns = _mdns_class() if "lan" in wanted else None
        self._lan: Mdns | None = None
        self._channels: set[ChannelId] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._said: set[str] = set()

    @property
    def counters(self) -> Counter[str]:
        """``seeds_unresolved``, ``failed_looks``, and those of `Rendezvous` and `Mdns`."""
        parts = [part.counters for part in (self._rendezvous, self._lan) if part]
        return sum(parts, self._counters.copy())

    @property
    def wants_lan(self) -> bool:
        """Whether other hosts are to find this node."""
        return self._mdns is not None

    @property
    def remote_seed(self) -> str | None:
        """A seed that is an address of another host, if there is one; names may be anything."""
        remote = (s for s in self._seeds if s.address is not None and not s.is_local)
        return next(map(str, remote), None)

    # -- life

    def start(self) -> None:
        """Look, from now on."""
        loop = asyncio.get_running_loop()
        work = [self._ask_seed(seed) for seed in self._seeds]
        if self._rendezvous:
            work.append(self._look_around())
        if self._mdns:
            self._lan = self._mdns(self._heard)
            self._lan.start()
        self._tasks = [loop.create_task(w) for w in work]

    def stop(self) -> None:
        """Look no more, and leave no trace on this host."""
        for task in self._tasks:
            task.cancel()
        self._tasks = []
        self._channels.clear()
        if self._rendezvous:
            self._rendezvous.close()
        if self._lan:
            self._lan.stop()

    def join(self, channel: ChannelId, node: NodeId, told: Told) -> None:
        """Let others find this node on ``channel``, and look for them at once."""
        self._channels.add(channel)
        if self._rendezvous:
            self._rendezvous.register(channel, node, told.endpoints)
            self._look(channel)
        self._announce(node, told)

    def moved(self, node: NodeId, told: Told) -> None:
        """Let others find the node where it is now, on all channels it has joined."""
        if self._rendezvous:
            try:
                for channel in self._channels:
                    self._rendezvous.register(channel, node, told.endpoints)
            except ConfigError as error:
                self._complain("failed_looks", "this host", str(error))
        self._announce(node, told)

    def _announce(self, node: NodeId, told: Told) -> None:
        if self._lan:
            endpoints = told.endpoints + told.scoped_endpoints
            self._lan.announce(node, endpoints, tuple(sorted(self._channels)))

    def leave(self, channel: ChannelId, node: NodeId, told: Told) -> None:
        """Undo `join`."""
        self._channels.discard(channel)
        if self._rendezvous:
            self._rendezvous.unregister(channel, node)
        self._announce(node, told)

    # -- looking

    def look_again(self) -> None:
        """Say at once what is known of others on the network: a link to one of them has broken."""
        if self._lan:
            self._lan.look_again()

    def _look(self, channel: ChannelId) -> None:
        assert self._rendezvous is not None, "only called with local discovery"
        for node, endpoints in self._rendezvous.find(channel):
            self._found(endpoints, node, False)

    def _heard(self, endpoints: tuple[str, ...], node: NodeId) -> None:
        self._found(endpoints, node, True)

    async def _look_around(self) -> None:
        """Look again now and then: two that started at once may have missed each other."""
        while True:
            await asyncio.sleep(LOOK_SECS)
            for channel in sorted(self._channels):
                try:
                    self._look(channel)
                except (OSError, ConfigError) as error:
                    self._complain("failed_looks", "this host", str(error))

    async def _ask_seed(self, seed: Endpoint) -> None:
        pause_secs = _SEED_FIRST_SECS
        while True:
            resolution = await resolve(seed)
            for endpoint in resolution.endpoints:
                self._found((endpoint,), None, False)
            if resolution.reason:
                self._complain("seeds_unresolved", f"seed {seed}", resolution.reason)
            await asyncio.sleep(pause_secs)
            pause_secs = min(2 * pause_secs, _SEED_MAX_SECS)

    def _complain(self, counter: str, where: str, reason: str) -> None:
        self._counters[counter] += 1
        if where not in self._said:
            self._said.add(where)
            logger.warning(f"zmqbus: {where}: {reason}; trying on")


def _mdns_class() -> type[Mdns]:
    """`Mdns`, if it can be had.

    Raises:
        ConfigError: The package that it needs is not installed.
    """
    try:
        from zmqbus.net.mdns import Mdns
    except ImportError as error:
        remedy = "`pip install 'pipecat-zmqbus[lan]'`, or name seeds, `peers=['tcp://host:port']`"
        raise ConfigError("discovery", "lan", f"needs zeroconf ({error})", remedy) from error
    return Mdns
