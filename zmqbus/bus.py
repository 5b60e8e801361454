"""`ZmqBus`: pipecat's `WorkerBus` over the mesh.

A thin shell: arguments, start and stop, and the names that others can target. Between start and
stop a `Session` does the work.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from inspect import signature
from typing import Any

from pipecat.bus import (
    BusMessage,
    BusSubscriber,
    BusSystemMessage,
    BusWorkerRegistryMessage,
    WorkerBus,
)
from pipecat.bus.serializers.base import MessageSerializer
from pipecat.utils.base_object import BaseObject
from pipecat.workers.base_worker import BaseWorker
from pipecat.workers.runner import WorkerRunner

from zmqbus import registry
from zmqbus.bell import Bell, Turnstile
from zmqbus.codec import MsgpackSerializer
from zmqbus.config import MeshConfig
from zmqbus.core.channel import Channel
from zmqbus.errors import BusStateError, ConfigError
from zmqbus.gate import RegistryGate
from zmqbus.health import NOT_STARTED, Health, examine
from zmqbus.jobs import JobGate
from zmqbus.keys import KeyArgument, hide
from zmqbus.node import MeshNode
from zmqbus.packets import MAX_NAME_BYTES, Interest, channel_id
from zmqbus.session import Session
from zmqbus.settings import check_kind, check_name, choose, switch, text
from zmqbus.stale import AudioGate
from zmqbus.views import BusStats, Peer

_BASE_ARGUMENTS = frozenset(signature(BaseObject.__init__).parameters) - {"self", "kwargs"}


def _check_known(arguments: dict[str, Any]) -> None:
    """Refuse what nobody takes: pipecat swallows it, and a misspelt channel would go unnoticed."""
    for name, value in arguments.items():
        if name not in _BASE_ARGUMENTS:
            known = [*signature(ZmqBus.__init__).parameters, *_BASE_ARGUMENTS]
            meant = get_close_matches(name, known, n=1)
            remedy = f"did you mean {meant[0]}=" if meant else "leave it out"
            shown = hide(value) if meant == ["key"] else value
            raise ConfigError(name, shown, "ZmqBus takes no such argument", remedy)


class ZmqBus(WorkerBus):
    """A worker bus without a server: runners find each other and talk directly.

    Event handlers available:

    - on_peer_joined(bus, peer): Another runner on the channel can be reached, both ways.
    - on_peer_left(bus, peer, reason): It said goodbye.
    - on_peer_lost(bus, peer, reason): It died or was cut off.
    - on_peer_busy(bus, peer, silent_secs): It lives, but its event loop does not turn.
    - on_messages_lost(bus, peer, lost_msgs, plane, reason): So many of its messages will never
      arrive; plane is "system" or "data".
    - on_peer_refused(bus, text): Somebody was turned down, or we were: key, version,
      name or limit.

    Example::

        bus = ZmqBus(channel="acme")
        runner = WorkerRunner(bus=bus)
    """

    def __init__(
        self,
        *,
        channel: str | None = None,
        bind: str | None = None,
        advertise: str | None = None,
        peers: Sequence[str] | None = None,
        discovery: Sequence[str] | None = None,
        key: KeyArgument = None,
        insecure: bool | None = None,
        observe_all: bool | None = None,
        node: MeshNode | None = None,
        config: MeshConfig | None = None,
        serializer: MessageSerializer | None = None,
        **kwargs: Any,
    ) -> None:
        """Check the arguments. Touches no socket and no loop before `start`.

        Each may come from the environment instead, as ``ZMQBUS_CHANNEL`` and so on; an argument
        wins.

        Args:
            channel: Who hears whom; matched exactly. Default "pipecat:bus".
            bind: See `MeshNode`; default "tcp://127.0.0.1:*", or "tcp://*:*" with "lan".
            advertise: See `MeshNode`.
            peers: See `MeshNode`.
            discovery: See `MeshNode`; default ("local",).
            key: See `MeshNode`; default none.
            insecure: See `MeshNode`.
            observe_all: Whether to receive also what is targeted at other runners' workers.
            node: A node to share with other buses of this process, instead of the transport
                arguments above.
            config: See `MeshConfig`; that of ``node`` if one is given.
            serializer: Default `MsgpackSerializer`. Every runner of a channel needs the same.
            **kwargs: Additional arguments passed to `WorkerBus`.

        Raises:
            ConfigError: A setting cannot be used.
            InsecureBindError: ``bind`` can be reached by others, and there is no key.
        """
        key = hide(key)  # from here on no traceback can show it
        _check_known(kwargs)
        super().__init__(**kwargs)
        self._channel_name = check_name("channel", choose("channel", channel, "pipecat:bus", text))
        self._observe_all = choose("observe_all", observe_all, False, switch)
        transport = {
            "bind": bind,
            "advertise": advertise,
            "peers": peers,
            "discovery": discovery,
            "key": key,
            "insecure": insecure,
            "config": config,
        }
        for name, value in transport.items():
            if node is not None and value is not None:
                raise ConfigError(name, value, "a shared node is given too", "give it to the node")
        self._node = check_kind("node", node, MeshNode) or MeshNode(**transport)  # type: ignore[arg-type]
        limit = self._node.config.max_message_bytes
        self._serializer = check_kind("serializer", serializer, MessageSerializer) or (
            MsgpackSerializer(max_message_bytes=limit)
        )
        self._session: Session | None = None
        self._starts = Bell()
        self._names: dict[str, None] = {}
        self._turnstile = Turnstile()
        self._stopping: tuple[asyncio.Task[None], asyncio.Event] | None = None
        for event in ("joined", "left", "lost", "busy", "refused"):
            self._register_event_handler(f"on_peer_{event}")
        self._register_event_handler("on_messages_lost")

    def __repr__(self) -> str:
        stats = self.stats()
        state = f"{stats.peers} joined" if self._session else "not started"
        return (
            f"<{self} {self._channel_name!r} [{state} | {stats.sent_msgs:,} sent, "
            f"{stats.received_msgs:,} received, {stats.lost_msgs:,} lost]>"
        )

    # -- views

    @property
    def channel(self) -> str:
        """The channel's name."""
        return self._channel_name

    @property
    def endpoint(self) -> str:
        """Where other nodes reach this one: a seed for them.

        Raises:
            BusStateError: The bus is not started.
        """
        self._started()
        return self._node.endpoint

    @property
    def peers(self) -> list[Peer]:
        """The runners on this channel, joined or on their way in or out."""
        return self._session.directory.peers if self._session else []

    def stats(self) -> BusStats:
        """Counts since `start`, and what is held now."""
        return self._session.stats() if self._session else BusStats()

    def health(self) -> Health:
        """Whether this bus lives (``ok``), whether it is ready for work, and if not, why not."""
        if self._session is None:
            return NOT_STARTED
        channel = self._session.channel
        return examine(
            endpoint=self.endpoint,
            peers=self.peers,
            admitted=channel.admitted,
            stalled=channel.stalled,
            lag_secs=self._node.core.lag_secs,
            late_secs=self._node.config.busy_after_secs,
            lost_msgs=self.stats().lost_msgs,
        )

    # -- life

    async def start(self) -> None:
        """Start local dispatch, bind, and look for peers. Does not wait for any.

        Raises:
            BindError: The address is taken or not one of this machine.
        """
        if self._stopping and not self._stopping[0].done():
            await asyncio.wait([self._stopping[0]])
        async with self._turnstile():
            if self._session is None:
                await super().start()
                await self._enter()

    async def _enter(self) -> None:
        try:
            runner = registry.runner_of(self)
            interest = Interest(
                channel=channel_id(self._channel_name),
                name=self._channel_name,
                runner=check_name("name of the runner", runner.name) if runner else "",
                started_at_ns=time.time_ns(),
                subscribers=self._announced(),
                observe_all=self._observe_all,
            )
            self._session = await self._node.open_channel(interest, self._begin)
            self._pid = os.getpid()
            self._starts.ring()
        except BaseException:
            await super().stop()
            raise

    def _begin(self, channel: Channel) -> Session:
        return Session(self, self._node, channel, self._serializer)

    async def stop(self) -> None:
        """Let the last messages leave, say goodbye, close; returns within ``linger_secs`` + 1 s.

        May be called twice, and from a handler: that goes on until it awaits something.
        """
        if self._stopping is None or self._stopping[0].done():
            left = asyncio.Event()
            self._stopping = asyncio.get_running_loop().create_task(self._leave(left)), left
        leaving, left = self._stopping
        if registry.is_dispatching(self, asyncio.current_task()):
            await left.wait()
        else:
            await asyncio.shield(leaving)

    async def _leave(self, left: asyncio.Event) -> None:
        async with self._turnstile():
            try:
                if self._session is not None:
                    if os.getpid() == self._pid:  # a fork holds copies of what is its parent's
                        await self._node.close_channel(self._session.channel.interest.channel)
                    self._session.close()
                    self._session = None
            finally:
                left.set()
            await asyncio.sleep(0)  # a handler that waits goes on first: it is cancelled next
            await super().stop()

    # -- subscribers

    async def subscribe(self, subscriber: BusSubscriber) -> None:
        """Register a subscriber; messages can be targeted at its name from everywhere."""
        config, gated = self._node.config, subscriber
        if isinstance(subscriber, BaseWorker):
            gated = JobGate(subscriber, self.send, time.monotonic, config.tombstone_secs)
        elif isinstance(subscriber, WorkerRunner):
            gated = RegistryGate(subscriber, self._is_newest)
        if config.max_audio_age_secs is not None and not isinstance(subscriber, WorkerRunner):
            gated = AudioGate(gated)
        await super().subscribe(gated)
        self._names[subscriber.name] = None
        self._announce()

    def _is_newest(self, message: BusWorkerRegistryMessage) -> bool:
        """Whether what a runner said of its workers still counts; all does without a mesh."""
        return self._session is None or self._session.directory.is_newest(message)

    async def unsubscribe(self, subscriber: BusSubscriber) -> None:
        """Remove a subscriber."""
        await super().unsubscribe(subscriber)
        self._names.pop(subscriber.name, None)
        self._announce()

    def _announced(self) -> tuple[str, ...]:
        """Names others may target. One that is too long is left out and reached by broadcast."""
        fit = [n for n in self._names if len(n.encode("utf-8", "replace")) <= MAX_NAME_BYTES]
        return tuple(fit[: self._node.config.max_subscribers])

    def _announce(self) -> None:
        if self._session is not None:
            interest = replace(self._session.channel.interest, subscribers=self._announced())
            self._node.alter_channel(interest)

    # -- messages

    def on_message_received(self, message: BusMessage) -> None:
        """Put a message, sent here or elsewhere, into the inboxes of all subscribers."""
        if isinstance(message, BusSystemMessage) or not registry.hand_over(self, message):
            super().on_message_received(message)

    async def publish(self, message: BusMessage) -> None:
        """Deliver to local subscribers at once, and to whoever else can receive it.

        Waits only for a receiver a window behind: up to ``slow_peer_timeout_secs`` for data,
        ``system_timeout_secs`` for system messages; also gives the loop a turn once in a batch.

        Args:
            message: The bus message to publish.

        Raises:
            CodecError: The message cannot travel and somebody elsewhere would receive it; nobody
                was given it.
            MessageTooLargeError: It is larger than ``max_message_bytes``.
        """
        if self._session is None:
            self.on_message_received(message)
        else:
            await self._session.publish(message)

    # -- waiting

    async def wait_for_peers(self, count: int, *, timeout_secs: float | None = None) -> list[Peer]:
        """Wait until at least ``count`` other runners have joined; returns all that have.

        A bus that is not started yet is waited for as well.

        Raises:
            TimeoutError: They have not within ``timeout_secs``; names those that are there.
            BusStateError: The bus was stopped meanwhile.
        """
        session, remaining_secs = await self._wait_for_start(timeout_secs)
        return await session.directory.wait_for_peers(count, remaining_secs)

    async def wait_for_worker(self, name: str, *, timeout_secs: float | None = None) -> str:
        """Wait until a worker is announced, here or elsewhere; returns its runner's name.

        A bus that is not started yet is waited for as well.

        Raises:
            TimeoutError: It is not within ``timeout_secs``; names the workers that are.
            BusStateError: The bus was stopped meanwhile.
        """
        session, remaining_secs = await self._wait_for_start(timeout_secs)
        return await session.directory.wait_for_worker(name, remaining_secs)

    async def _wait_for_start(self, timeout_secs: float | None) -> tuple[Session, float | None]:
        """The session, and how much of the time is left."""
        loop = asyncio.get_running_loop()
        begun_at, remaining_secs = loop.time(), timeout_secs
        while self._session is None:
            if not await self._starts.wait(remaining_secs):
                raise TimeoutError(
                    f"The bus is not started, and was not within {timeout_secs} s: run its "
                    f"runner, or call `start()`."
                )
            if timeout_secs is not None:
                remaining_secs = max(0.0, begun_at + timeout_secs - loop.time())
        return self._session, remaining_secs

    def _started(self) -> Session:
        if self._session is None:
            raise BusStateError("The bus is not started: call `start()`, or run its runner, first.")
        return self._session
