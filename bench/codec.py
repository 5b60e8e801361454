"""What encoding and decoding cost, beside pipecat's JSON serializer, in one interleaved run.

What it does not show: what the messages cost around the codec, and other kinds of message. JSON
leaves out what it cannot encode, such as the size of an image, and is that much faster.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import median

from pipecat.bus import BusMessage
from pipecat.bus.serializers import JSONMessageSerializer
from pipecat.bus.serializers.base import MessageSerializer

from bench.figures import Row, shown, verdict
from bench.messages import MESSAGES
from zmqbus import MsgpackSerializer

LIMITS = {"audio 20 ms": 8.0, "audio 32 kB": 30.0, "text": 6.0, "job": 6.0}
"""How many times as fast as JSON it has to be."""
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

    def row(self) -> Row:
        """One line of the table."""
        least = LIMITS.get(self.what)
        return {
            "message": self.what,
            "us": shown(self.micros, 1),
            "JSON us": shown(self.json_micros, 1),
            "times as fast": shown(self.ratio, 1),
            "limit": least,
            "bytes": self.size_bytes,
            "JSON bytes": self.json_bytes,
            "verdict": verdict(-self.ratio, least and -least),
        }


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
