"""The network of a simulation: processes, connections that keep order, and what breaks them.

A connection is made by one side, keeps its order, and is made again when it breaks, which it does
when a process dies, when it is reset, or when it was silent for ``link_timeout_secs`` because of a
cut or a stopped process. Shorter cuts only delay.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from heapq import heappop, heappush
from itertools import count
from math import inf
from typing import Any

from zmqbus.core import Node
from zmqbus.packets import ChannelId, NodeId

_RETRY_SECS = 0.1
EXCUSED_SECS = 10.0
"""How long after a fault a death may still be put down to it."""

Call = Callable[[], object]


@dataclass(eq=False, slots=True)
class Host:
    """A process with one node.

    Parameters:
        name: What the simulation calls it; a restarted one has the same name.
        core: The node.
        endpoints: Where its ROUTER listens.
        settings: How it was started.
        version: The protocol versions it says it speaks, if not the real ones.
        alive: Whether the process exists.
        frozen: Whether its loop stands still; what comes in waits in ``inbox``.
        stopped_at: Since when its I/O thread stands still too; infinite while it does not.
        late_secs: How late its timers fire, at most.
        tick_at: For when its timer is set.
        inbox: What has come in and waits for its loop.
        links: Its connections to others.
        guests: The connections of others to it.
        readers: The guests that read what it publishes.
        snapshots: What it knows of others, as a registry would.
    """

    name: str
    core: Node
    endpoints: tuple[str, ...]
    settings: dict[str, Any]
    version: tuple[int, int] | None = None
    alive: bool = True
    frozen: bool = False
    stopped_at: float = inf
    late_secs: float = 0.0
    tick_at: float | None = None
    inbox: deque[Call] = field(default_factory=deque)
    links: dict[int | str, Connection] = field(default_factory=dict)
    guests: dict[Connection, None] = field(default_factory=dict)
    readers: dict[NodeId, Connection] = field(default_factory=dict)
    snapshots: dict[tuple[ChannelId, NodeId], tuple[bytes, ...]] = field(default_factory=dict)

    def __repr__(self) -> str:
        life = ("stopped" if self.stopped_at < inf else "up") if self.alive else "dead"
        return f"<{self.name} {life}: {self.core!r}>"


@dataclass(eq=False, slots=True)
class Connection:
    """Of a DEALER (``key`` is its dial) or of the SUB (``key`` is an address) of ``host``."""

    host: Host
    key: int | str
    endpoint: str
    to: Host | None = None
    life: int = 0
    clear_at: float = 0.0
    waiting: list[tuple[Host, Call]] | None = None


class Network:
    """Virtual time, and connections between hosts.

    Args:
        rng: For delays.
        delay_secs: How long a packet travels, at least.
        jitter_secs: How much longer, at most.
    """

    def __init__(self, rng: random.Random, delay_secs: float, jitter_secs: float) -> None:
        self.now = 0.0
        self.rng = rng
        self.hosts: dict[str, Host] = {}
        self.delays = delay_secs, jitter_secs
        self.excuses: dict[object, float] = {}
        self.steps = 0
        self.at_address: dict[str, Host] = {}
        self._queue: list[tuple[float, int, Call]] = []
        self._order = count()
        self._cuts: dict[frozenset[str], float] = {}

    def settle(self, host: Host) -> None:
        """Do what the core of ``host`` wants done; called after everything that happens to it."""
        raise NotImplementedError

    # -- time

    def run(self, secs: float) -> None:
        """Let so much time pass.

        Raises:
            AssertionError: Something was raised where nothing may be.
        """
        until, queue = self.now + secs, self._queue
        try:
            while queue and queue[0][0] <= until:
                self.now, _, call = heappop(queue)
                self.steps += 1
                call()
        except AssertionError:
            raise
        except Exception as error:
            raise AssertionError(f"{self}: {error!r}") from error
        self.now = until

    def at(self, time: float, call: Call) -> None:
        """Do something at a time, or at once if that is over."""
        heappush(self._queue, (max(time, self.now), next(self._order), call))

    # -- faults

    def cut(self, one: str, other: str) -> None:
        """Let nothing through between two processes."""
        self._cuts[frozenset((one, other))] = self.now
        for connection in self._between(one, other):
            self.fear(connection)

    def is_cut(self, one: str, other: str) -> bool:
        """Whether nothing gets through between two processes."""
        return frozenset((one, other)) in self._cuts

    def heal(self, one: str, other: str) -> None:
        """End a `cut`."""
        del self._cuts[frozenset((one, other))]
        for connection in self._between(one, other):
            waiting, connection.waiting = connection.waiting, None
            for host, call in waiting or ():
                self.carry(connection, host, call)

    def reset(self, one: str, other: str) -> None:
        """Break all connections between two processes; what is under way is lost."""
        for connection in self._between(one, other):
            if connection.to and self._silent_since(connection, connection.to) < inf:
                self.excuses[frozenset((one, other))] = self.now + EXCUSED_SECS
            self.break_off(connection)

    def _between(self, one: str, other: str) -> list[Connection]:
        a, b = self.hosts[one], self.hosts[other]
        links = (*a.links.values(), *b.links.values())
        return [c for c in links if c.to in (a, b) and c.to is not c.host]

    def _silent_since(self, connection: Connection, to: Host) -> float:
        cut_at = self._cuts.get(frozenset((connection.host.name, to.name)), inf)
        return min(cut_at, connection.host.stopped_at, to.stopped_at)

    def fear(self, connection: Connection) -> None:
        """Break the connection unless it is heard from before its time is over."""
        secs = connection.host.core.config.link_timeout_secs
        self.at(self.now + secs, partial(self._time_out, connection, connection.life, self.now))

    def _time_out(self, connection: Connection, life: int, since: float) -> None:
        to = connection.to
        if connection.life == life and to and self._silent_since(connection, to) <= since:
            pair = frozenset((connection.host.name, to.name))
            self.excuses[pair] = self.now + EXCUSED_SECS
            self.break_off(connection)

    def connect(self, connection: Connection) -> None:
        """Make a connection, as soon as somebody listens."""
        host, key = connection.host, connection.key
        if host.links.get(key) is not connection:
            return
        to = self.at_address.get(connection.endpoint.removesuffix("/data"))
        is_silent = to is not None and self._silent_since(connection, to) < inf
        if to is None or is_silent:
            if to:
                self.excuses[frozenset((host.name, to.name))] = self.now + EXCUSED_SECS
            self.at(self.now + _RETRY_SECS, partial(self.connect, connection))
            return
        connection.to = to
        connection.life += 1
        to.guests[connection] = None
        if isinstance(key, str):
            to.readers[host.core.id] = connection
            self.carry(connection, to, lambda: to.core.reader(host.core.id, True, self.now))
        else:
            self.carry(connection, host, lambda: host.core.link_up(key, self.now))

    def _part(self, connection: Connection) -> None:
        host, to = connection.host, connection.to
        assert to, "only a connection that stands breaks"
        connection.to = None
        del to.guests[connection]
        if isinstance(connection.key, str):
            del to.readers[host.core.id]
            gone = partial(self._unread, to, host.core.id)
            self.at(max(connection.clear_at, self.now + self.delays[0]), gone)

    def _unread(self, to: Host, reader: NodeId) -> None:
        """A subscription ends; as with an XPUB that is no news while another one of it stands."""
        other = to.readers.get(reader)
        if other is None or other.waiting is not None or other.clear_at > self.now:
            self.feed(to, lambda: to.core.reader(reader, False, self.now))

    def break_off(self, connection: Connection) -> None:
        """Break a connection; its host makes it again if it can."""
        host, key = connection.host, connection.key
        connection.life += 1
        connection.waiting = None
        self._part(connection)
        if isinstance(key, int):
            down = partial(self.feed, host, lambda: host.core.link_down(key, self.now))
            self.at(self.now + self.delays[0], down)
        self.at(self.now + _RETRY_SECS, partial(self.connect, connection))

    def hang_up(self, host: Host, key: int | str) -> None:
        """Close a connection; what was sent on it still arrives."""
        connection = host.links.pop(key)
        if connection.to:
            self._part(connection)

    def carry(self, connection: Connection, host: Host, call: Call) -> None:
        """Let ``call`` happen at ``host`` when all before it on this connection have."""
        to = connection.to
        if to and self.is_cut(connection.host.name, to.name):
            connection.waiting = connection.waiting or []
            connection.waiting.append((host, call))
            return
        delay_secs, jitter_secs = self.delays
        time = max(connection.clear_at, self.now + delay_secs + self.rng.random() * jitter_secs)
        connection.clear_at = time
        self.at(time, partial(self._arrive, connection, connection.life, host, call))

    def _arrive(self, connection: Connection, life: int, host: Host, call: Call) -> None:
        if connection.life == life:
            self.feed(host, call)

    def feed(self, host: Host, call: Call) -> None:
        """Let something happen to a host, once its loop turns."""
        if host.frozen:
            host.inbox.append(call)
        elif host.alive:
            call()
            self.settle(host)
