"""A site: one runner with its bus, its workers and its journal, in this process."""

from __future__ import annotations

import asyncio
import inspect
from functools import partial
from typing import Any

from pipecat.bus import AsyncQueueBus, WorkerBus
from pipecat.workers.base_worker import BaseWorker
from pipecat.workers.runner import WorkerRunner

from support.journal import TIMEOUT_SECS, Journal
from support.pipelines import PIPELINES
from support.workers import WORKERS
from zmqbus import KeyRing, MeshConfig, MeshKey, MeshNode, RunnerKey, ZmqBus

_KINDS: dict[str, Any] = {**WORKERS, **PIPELINES}


def make_bus(transport: str, options: dict[str, Any], node: MeshNode | None = None) -> WorkerBus:
    """Make the bus of a site: ``"queue"`` for `AsyncQueueBus`, ``"zmq"`` for `ZmqBus`.

    The options are those of the bus; ``config`` is a dictionary, and so may ``key`` be: one of
    texts, for a `KeyRing` with a runner's key and a list of those admitted.
    """
    if transport == "queue":
        return AsyncQueueBus()
    config = MeshConfig(**options["config"]) if "config" in options else None
    key = options.get("key")
    return ZmqBus(
        node=node,
        **{**options, "config": config, "key": _ring(**key) if isinstance(key, dict) else key},
    )


def _ring(use: str, runner: str, admit: list[str]) -> KeyRing:
    return KeyRing(MeshKey.parse(use), runner=RunnerKey.parse(runner), admit=admit)


class Site:
    """One runner, running from `open` until it ends or `close` is called."""

    def __init__(self, bus: WorkerBus, journal: Journal, runner: str, **options: Any) -> None:
        """Make a site that is not open yet.

        Args:
            bus: The bus of its runner.
            journal: Where its workers note what happens.
            runner: The name of its runner.
            **options: To `WorkerRunner`.
        """
        self.bus = bus
        self.journal = journal
        self.runner = WorkerRunner(name=runner, bus=bus, **{"handle_sigint": False, **options})
        self.workers: dict[str, BaseWorker] = {}
        if isinstance(bus, ZmqBus):
            for event in ("joined", "left", "lost", "busy", "refused"):
                bus.add_event_handler(f"on_peer_{event}", partial(self._note_peer, event))
            bus.add_event_handler("on_messages_lost", self._note_loss)
        self._run: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Start the runner, and return when it is ready."""
        ready = asyncio.Event()
        self.runner.add_event_handler("on_ready", lambda _runner: ready.set())
        self._run = asyncio.create_task(self.runner.run())
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait({self._run, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if not ready.is_set():
            waiting.cancel()
            self._run.result()

    async def host(self, kind: str, name: str, **options: Any) -> Any:
        """Add a worker of a kind that this package knows, and return it when it is ready."""
        worker = self.workers[name] = _KINDS[kind](
            name, journal=self.journal, bus=self.bus, **options
        )
        await self.runner.add_workers(worker)
        await self.knows(name)
        return worker

    async def call(self, worker: str, method: str, **arguments: Any) -> Any:
        """Call a method of one of the workers here, or of the site's bus (``worker=""``)."""
        owner: object = self.workers[worker] if worker else self.bus
        result = getattr(owner, method)
        result = result(**arguments) if callable(result) else result
        return await result if inspect.isawaitable(result) else result

    def rekey(self, change: str, key: str) -> None:
        """Make a change to the keys of the bus, while it runs."""
        assert isinstance(self.bus, ZmqBus)
        ring = self.bus._node._ring
        assert ring is not None, "the site has a key"
        is_public = change in ("admit", "revoke")
        getattr(ring, change)(key if is_public else MeshKey.parse(key))

    async def knows(self, *names: str) -> None:
        """Wait until workers of these names are in the registry here."""
        for name in names:
            registered = asyncio.Event()

            async def note(_data: Any, registered: asyncio.Event = registered) -> None:
                registered.set()

            await self.runner.registry.watch(name, note)
            try:
                await asyncio.wait_for(registered.wait(), TIMEOUT_SECS)
            except TimeoutError:
                known = self.runner.registry.local_workers + self.runner.registry.remote_workers
                raise AssertionError(
                    f"{self.runner.name} never heard of worker {name!r}; it knows {known}."
                ) from None

    async def finished(self) -> None:
        """Wait until the runner has ended by itself."""
        assert self._run is not None, "open() comes first"
        await asyncio.wait_for(asyncio.shield(self._run), TIMEOUT_SECS)

    async def close(self) -> None:
        """Cancel the runner where it still runs, and wait for its end."""
        await self.runner.cancel("the test is over")
        await self.finished()

    async def _note_peer(self, event: str, _bus: WorkerBus, peer: object, *_rest: object) -> None:
        self.journal.add("bus", event, str(peer))

    async def _note_loss(self, _bus: WorkerBus, _peer: object, lost_msgs: int, *_: object) -> None:
        self.journal.add("bus", "messages lost", lost_msgs)
