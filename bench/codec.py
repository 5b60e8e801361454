"""What encoding and decoding cost, beside pipecat's JSON serializer, in one interleaved run.

What it does not show: what the messages cost around the codec, and other kinds of message.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import median

from pipecat.bus import BusMessage
from pipecat.bus.serializers import JSONMessageSerializer
from pipecat.bus.serializers.base import MessageSerializer

from bench.messages import MESSAGES
from zmqbus import MsgpackSerializer

_ROUNDS = 15
_ROUND_SECS = 0.02


@dataclass(frozen=True)
class Cost:
    """Medians for one kind of message.

    Parameters:
        what: The message.
        micros: Microseconds to encode and decode, with ours.
        json_micros: The same with JSON.
        size_bytes: Encoded, with ours.
        json_bytes: The same with JSON.
    """

    what: str
    micros: float
    json_micros: float
    size_bytes: int
    json_bytes: int

    @property
    def ratio(self) -> float:
        """How many times as fast as JSON."""
        return self.json_micros / self.micros


def measure() -> list[Cost]:
    """Encode and decode each message of `MESSAGES`, ours and JSON in turn."""
    return [_cost(what, make()) for what, make in MESSAGES.items()]


def _cost(what: str, message: BusMessage) -> Cost:
    ours, json = MsgpackSerializer(), JSONMessageSerializer()
    pairs = [(_round(ours, message), _round(json, message)) for _ in range(_ROUNDS)]
    return Cost(
        what,
        micros=median(mine for mine, _ in pairs),
        json_micros=median(theirs for _, theirs in pairs),
        size_bytes=len(ours.serialize(message)),
        json_bytes=len(json.serialize(message)),
    )


def _round(serializer: MessageSerializer, message: BusMessage) -> float:
    """Microseconds for one message there and back, over at least `_ROUND_SECS`."""
    count, begun_at = 0, time.perf_counter()
    while (secs := time.perf_counter() - begun_at) < _ROUND_SECS:
        for _ in range(10):
            serializer.deserialize(serializer.serialize(message))
        count += 10
    return secs / count * 1e6
