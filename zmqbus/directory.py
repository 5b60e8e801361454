"""Who is on a channel: runners and their announced workers, for views and for those who wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from pipecat.bus import BusWorkerRegistryMessage

from zmqbus.bell import Bell
from zmqbus.core import Node
from zmqbus.core.channel import Channel
from zmqbus.errors import BusStateError
from zmqbus.packets import Interest, NodeId, Plane
from zmqbus.views import Peer

T = TypeVar("T")


class Directory:
    """The runners and workers of one open channel.

    Args:
        core: The node's core.
        channel: The channel.
    """

    def __init__(self, core: Node, channel: Channel) -> None:
        self._core = core
        self._channel = channel
        self._announced: dict[str, BusWorkerRegistryMessage] = {}
        self._last: dict[NodeId, Peer] = {}
        self._bell = Bell()
        self._closed = False

    # -- news

    def note_registry(self, message: BusWorkerRegistryMessage) -> None:
        """A runner, perhaps our own, has announced its workers."""
        self._announced[message.runner] = message
        self._bell.ring()

    def note_joined(self, node: NodeId, interest: Interest) -> Peer:
        """A peer has joined."""
        self._last[node] = peer = self.peer(node, interest)
        self._bell.ring()
        return peer

    def note_gone(self, node: NodeId, interest: Interest, state: str) -> Peer:
        """A peer that had joined has gone; as it was last seen."""
        last, workers = self._last.pop(node), self._workers_of(interest.runner)
        return replace(last, state=state, subscribers=interest.subscribers, workers=workers)

    def forget(self, runner: str) -> tuple[str, ...]:
        """A runner's workers are gone; returns the root workers among them."""
        message = self._announced.pop(runner, None)
        self._bell.ring()
        return tuple(e.name for e in message.workers if e.parent is None) if message else ()

    def close(self) -> list[str]:
        """End all waiting; returns the runners whose workers were known."""
        self._closed = True
        self._bell.ring()
        return list(self._announced)

    # -- views

    def is_newest(self, message: BusWorkerRegistryMessage) -> bool:
        """Whether it is what its runner announced last; no more so once the runner has gone."""
        return self._announced.get(message.runner) is message

    def _workers_of(self, runner: str) -> tuple[str, ...]:
        message = self._announced.get(runner)
        return tuple(entry.name for entry in message.workers) if message else ()

    @property
    def peers(self) -> list[Peer]:
        """The runners on the channel, joined or on their way in or out."""
        return [self.peer(n, m.interest) for n, m in self._channel.members.items() if m.present]

    @property
    def joined(self) -> list[Peer]:
        """The runners that can be reached, both ways, on both planes."""
        return [self.peer(n, m.interest) for n, m in self._channel.members.items() if m.joined]

    def peer(self, node: NodeId, interest: Interest) -> Peer:
        """What is known of one peer."""
        known = self._core.peers.get(node)
        member = self._channel.members.get(node)
        inlets = member.inlets or () if member else ()
        is_refused = member is not None and member.present and not member.admitted
        state = "refused" if is_refused else known.state.value if known else "lost"
        return Peer(
            name=interest.runner,
            node=node.hex(),
            state=state,
            host=known.hello.host if known else "",
            pid=known.hello.pid if known else 0,
            endpoint=self._core.endpoint_of(known) if known else "",
            subscribers=interest.subscribers,
            workers=self._workers_of(interest.runner),
            rtt_secs=known.rtt_secs if known else None,
            lag_secs=known.lag_secs if known else 0.0,
            behind_msgs=self._channel.outlets[Plane.DATA].behind_msgs(node),
            system_up=known is not None and known.up and known.confirmed,
            data_out=known is not None and known.reader_seen,
            data_in=known is not None and known.sees_reader,
            open_gaps=sum(inlet.hole > 0 for inlet in inlets),
            closed_gaps=sum(inlet.closed_gaps for inlet in inlets),
        )

    def seen(self, node: NodeId) -> Peer:
        """A peer as it is, or, once it has gone, as it was."""
        member = self._channel.members.get(node)
        if member is None and node in self._last:
            return self._last[node]
        own = self._channel.interest
        return self.peer(
            node, member.interest if member else replace(own, runner="", subscribers=())
        )

    # -- waiting

    async def wait_for_peers(self, count: int, timeout_secs: float | None) -> list[Peer]:
        """See `ZmqBus.wait_for_peers`."""

        def enough() -> list[Peer] | None:
            joined = self.joined
            return joined if len(joined) >= count else None

        return await self._wait_for(enough, f"{count} peers", timeout_secs)

    async def wait_for_worker(self, name: str, timeout_secs: float | None) -> str:
        """See `ZmqBus.wait_for_worker`."""

        def announced() -> str | None:
            return next((r for r in self._announced if name in self._workers_of(r)), None)

        return await self._wait_for(announced, f"worker {name!r}", timeout_secs)

    async def _wait_for(
        self, find: Callable[[], T | None], what: str, timeout_secs: float | None
    ) -> T:
        try:
            async with asyncio.timeout(timeout_secs):
                while not self._closed:
                    found = find()
                    if found is not None:
                        return found
                    await self._bell.wait(None)
        except TimeoutError:
            where = f"on channel {self._channel.interest.name!r} within {timeout_secs} s"
            raise TimeoutError(f"No {what} {where}; {self._known()}.") from None
        raise BusStateError(f"The bus was stopped while {what} were waited for.")

    def _known(self) -> str:
        peers = ", ".join(map(str, self.peers)) or "none"
        workers = (
            ", ".join(sorted(w for r in self._announced for w in self._workers_of(r))) or "none"
        )
        return f"peers: {peers}; workers: {workers}"
