"""The subscribers of a station: one counts what comes, one looks at how late it is."""

from __future__ import annotations

import time

from pipecat.bus import (
    BusFrameMessage,
    BusJobRequestMessage,
    BusJobUpdateMessage,
    BusJobUpdateUrgentMessage,
    BusMessage,
    BusSubscriber,
    WorkerBus,
)

from bench import messages


class Ear(BusSubscriber):
    """Hears greetings, and whatever is for everybody or for it.

    Args:
        name: What it can be targeted by.

    Attributes:
        heard: The stations that have greeted.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self.heard = set[str]()

    @property
    def name(self) -> str:
        """What it can be targeted by."""
        return self._name

    def accepts_bus_message(self, message: BusMessage) -> bool:
        """Whether it is for everybody or for this one."""
        return message.target is None or message.target == self._name

    async def on_bus_message(self, message: BusMessage) -> None:
        """Take one message; an older pipecat does not ask before whether it is accepted."""
        if self.accepts_bus_message(message):
            await self.take(message)

    async def take(self, message: BusMessage) -> None:
        """Take one message that is accepted."""
        if isinstance(message, BusJobUpdateMessage):
            self.heard.add(message.source)


def greeting(source: str) -> BusMessage:
    """What tells everybody that a station can be heard."""
    return BusJobUpdateMessage(source=source, job_id="greeting")


class Counter(Ear):
    """Counts numbered messages, and those that did not follow the one before.

    Attributes:
        taken_msgs: How many have come.
        astray_msgs: How many were not the next of their sender's.
        last_at: When the last came.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.restart()

    def restart(self) -> None:
        """Count from nothing again."""
        self.taken_msgs = self.astray_msgs = 0
        self.last_at = 0.0
        self._next: dict[str, int] = {}

    async def take(self, message: BusMessage) -> None:
        """Take one message that is accepted."""
        if isinstance(message, BusFrameMessage):
            number = message.frame.pts
        elif isinstance(message, BusJobRequestMessage):
            number = (message.payload or {})["number"]
        else:
            await super().take(message)
            return
        assert number is not None, "what is counted has a number"
        self.taken_msgs += 1
        self.astray_msgs += number != self._next.get(message.source, 0)
        self._next[message.source] = number + 1
        self.last_at = time.monotonic()


class Clock(Ear):
    """Looks at how old dated messages are; for a round trip, sends them back.

    Args:
        name: What it can be targeted by.
        bus: Where to send them.

    Attributes:
        delays_ns: How late they were.
        echoes: Whether it sends them back instead.
    """

    def __init__(self, name: str, bus: WorkerBus) -> None:
        super().__init__(name)
        self.delays_ns: list[int] = []
        self.echoes = False
        self._bus = bus

    async def take(self, message: BusMessage) -> None:
        """Take one message that is accepted."""
        if isinstance(message, BusFrameMessage):
            await self._look(message.source, message.frame.pts or 0)
        elif isinstance(message, BusJobUpdateUrgentMessage):
            await self._look(message.source, (message.update or {})["sent_ns"])
        else:
            await super().take(message)

    async def _look(self, source: str, sent_ns: int) -> None:
        if self.echoes:
            await self._bus.send(dated(self.name, source, sent_ns))
        else:
            self.delays_ns.append(time.monotonic_ns() - sent_ns)


def dated(source: str, target: str, sent_ns: int, *, urgent: bool = False) -> BusMessage:
    """20 ms of audio, or a system message, that says when it was sent."""
    if urgent:
        update = {"sent_ns": sent_ns}
        return BusJobUpdateUrgentMessage(
            source=source, target=target, job_id="dated", update=update
        )
    message = messages.audio()
    message.source, message.target, message.frame.pts = source, target, sent_ns
    return message


def numbered(what: str, source: str, target: str | None, number: int) -> BusMessage:
    """An audio frame, a text frame or a job request, with a number."""
    if what == "job":
        request = messages.job()
        request.source, request.target, request.job_id = source, target, f"job-{number}"
        request.payload = {"city": "Oslo", "number": number}
        return request
    frame = messages.audio() if what == "audio" else messages.text()
    frame.source, frame.target, frame.frame.pts = source, target, number
    return frame
