"""What pipecat's runner and registry must be told, and cannot be told through their public API.

`WorkerRunner` never forgets a runner name it has seen, and `WorkerRegistry` has no removal, so the
workers of a dead runner would be listed for ever and a watch on them would not fire when they come
back (P01, P02). The two private attributes that cure it, and the queues that subscribers read, are
touched here and nowhere else; where a pipecat lacks them, one warning says what does not work.
"""

from __future__ import annotations

from typing import Any

from loguru import logger
from pipecat.bus import BusMessage, WorkerBus
from pipecat.workers.runner import WorkerRunner

from zmqbus.gate import Gate

_warned: set[str] = set()


def runner_of(bus: WorkerBus) -> WorkerRunner | None:
    """The runner that has subscribed to the bus."""
    for subscription in _subscriptions(bus):
        subscriber = subscription.subscriber
        if isinstance(subscriber, Gate):
            subscriber = subscriber.subscriber
        if isinstance(subscriber, WorkerRunner):
            return subscriber
    return None


def forget_runner(bus: WorkerBus, name: str) -> None:
    """Let the workers of a departed runner leave the registry, so that watches can fire again."""
    runner = runner_of(bus)
    if runner is None or name == runner.name:
        return
    known: set[str] | None = getattr(runner, "_known_runners", None)
    remote: dict[str, Any] | None = getattr(runner.registry, "_remote_workers", None)
    if known is None or remote is None:
        _warn_once("the workers of departed runners stay in the registry")
        return
    known.discard(name)
    remote.pop(name, None)


def hand_over(bus: WorkerBus, message: BusMessage) -> bool:
    """Put a data message into all inboxes, past the routers that wait; False if it cannot be done.

    A subscriber's router task takes system messages out of one queue, handles them, and moves data
    on to another. While it waits for work, data may go there at once, and the order is the same.
    """
    subscriptions = getattr(bus, "_subscriptions", None)
    if subscriptions is None:
        return False
    for subscription in subscriptions.values():
        waits = getattr(subscription.queue, "_getters", None)
        (subscription.data_queue if waits else subscription.queue).put_nowait(message)
    return True


def backlog(bus: WorkerBus) -> int:
    """How many messages the slowest subscriber has not taken yet."""
    return max(
        (s.queue.qsize() + s.data_queue.qsize() for s in _subscriptions(bus)),
        default=0,
    )


def is_dispatching(bus: WorkerBus, task: object) -> bool:
    """Whether ``task`` is the one that hands messages to a subscriber."""
    return any(task in (s.router_task, s.data_task) for s in _subscriptions(bus))


def _subscriptions(bus: WorkerBus) -> list[Any]:
    subscriptions = getattr(bus, "_subscriptions", None)
    if subscriptions is None:
        _warn_once("slow subscribers do not slow down their senders")
        return []
    return list(subscriptions.values())


def _warn_once(what: str) -> None:
    if what not in _warned:
        _warned.add(what)
        logger.warning(f"zmqbus: this version of pipecat lacks an attribute: {what}")
