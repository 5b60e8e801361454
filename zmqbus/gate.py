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
    """Keeps from a runner what is said of the workers of another one that has gone meanwhile (F3).

    The registry has already forgotten them; registered after that they would stay for ever.

    Args:
        runner: The runner.
        is_known: Whether workers of a runner of this name are known of now.
    """

    def __init__(self, runner: BusSubscriber, is_known: Callable[[str], bool]) -> None:
        super().__init__(runner)
        self._is_known = is_known

    async def on_bus_message(self, message: BusMessage) -> None:
        """Hand a message on, unless its runner has gone."""
        if not isinstance(message, BusWorkerRegistryMessage) or self._is_known(message.runner):
            await super().on_bus_message(message)
