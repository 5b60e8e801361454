"""What stands between the bus and a subscriber, and decides just before a message is handled.

A message may wait long in a subscriber's queue. What became of it meanwhile (its request was
cancelled, its audio went stale, its runner died) only shows when it is handed over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipecat.bus import BusMessage, BusSubscriber, BusWorkerRegistryMessage


class Gate(BusSubscriber):
    """Hands every message on. Subclasses hand on what they see fit.

    Args:
        subscriber: The subscriber, or another gate before it.
    """

    def __init__(self, subscriber: BusSubscriber) -> None:
        self.subscriber = subscriber

    def __str__(self) -> str:
        return str(self.subscriber)

    @property
    def name(self) -> str:
        """The subscriber's name."""
        return self.subscriber.name

    def accepts_bus_message(self, message: BusMessage) -> bool:
        """Whether the subscriber takes the message; a pipecat without the question takes all."""
        accepts: Any = getattr(self.subscriber, "accepts_bus_message", None)
        return accepts is None or bool(accepts(message))

    async def on_bus_message(self, message: BusMessage) -> None:
        """Hand a message on."""
        await self.subscriber.on_bus_message(message)


class RegistryGate(Gate):
    """Keeps from a runner what another one said of its workers before it went (F3).

    The registry forgets the workers of a runner that goes; registered after that they would stay,
    also beside those of a successor of the same name. So only what each said last is handed on,
    which is always all there is to say.

    Args:
        runner: The runner.
        is_newest: Whether a message is what its runner said last, and the runner is still there.
    """

    def __init__(
        self, runner: BusSubscriber, is_newest: Callable[[BusWorkerRegistryMessage], bool]
    ) -> None:
        super().__init__(runner)
        self._is_newest = is_newest

    async def on_bus_message(self, message: BusMessage) -> None:
        """Hand a message on, unless it is an announcement that does not count any more."""
        if not isinstance(message, BusWorkerRegistryMessage) or self._is_newest(message):
            await super().on_bus_message(message)
