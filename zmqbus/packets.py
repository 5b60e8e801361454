"""What peers say to each other: plain immutable data, no bytes.

This is the one vocabulary of the mesh. Tags and fields are append-only: a tag never changes its
meaning, a field is added at the end with a default, so that versions can mix (PROTOCOL.md lists
the layouts). `wire` turns packets into bytes; `core` decides with them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from hashlib import blake2b
from typing import NewType

NodeId = NewType("NodeId", bytes)
"""8 random bytes, fresh for every start: one incarnation of one node (R1)."""

ChannelId = NewType("ChannelId", bytes)
"""8 bytes derived from a channel's name by `channel_id`."""

NOBODY = NodeId(bytes(8))
"""The addressee of a `Hello` to whoever listens on an endpoint."""

NO_CHANNEL = ChannelId(bytes(8))
"""What a `Refuse` of a whole link names."""

ID_BYTES = 8
MAX_NAME_BYTES = 255
"""The longest name of a channel, runner or subscriber, and the longest address, as UTF-8 (R25)."""
VERSION = 1
"""The highest protocol version this code speaks."""
MIN_VERSION = 1
"""The lowest protocol version this code speaks."""


def channel_id(name: str) -> ChannelId:
    """The id that stands for a channel's name in every packet but `Interest`.

    Names are compared in full when two nodes meet, so two names with one id are noticed.
    """
    return ChannelId(blake2b(name.encode("utf-8", "surrogatepass"), digest_size=ID_BYTES).digest())


class Plane(IntEnum):
    """Which of the two planes a stream runs on."""

    SYSTEM = 0
    DATA = 1


@dataclass(frozen=True, slots=True)
class Interest:
    """A node takes part in a channel; says nothing about streams yet.

    Parameters:
        channel: The channel's id.
        name: The channel's name, to tell two names with one id apart.
        runner: The name of the runner, at most 255 bytes; empty for a mere observer.
        started_at_ns: Wall clock at the runner's start. Only orders two runners of one name (R6).
        subscribers: Names of the bus' subscribers there: the routing table.
        observe_all: Whether it also wants what is targeted elsewhere.
    """

    channel: ChannelId
    name: str
    runner: str
    started_at_ns: int
    subscribers: tuple[str, ...] = ()
    observe_all: bool = False


@dataclass(frozen=True, slots=True)
class Member:
    """Where a node can be reached: what gossip passes on.

    Parameters:
        node: The node's id.
        endpoints: Addresses of its ROUTER, best first; any of them will do.
    """

    node: NodeId
    endpoints: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Hello:
    """The first packet each way on a link, and again after each reconnect (R3): all of a node.

    Parameters:
        min_version: Lowest protocol version spoken.
        max_version: Highest protocol version spoken.
        token: Names the dial and the occasion; the other side repeats it as ``heard``.
        heard: The token of the last hello heard from the addressee; 0 for none.
        host: Host name, for people.
        pid: Process id, for people.
        endpoints: Addresses of the sender's ROUTER.
        data_endpoints: Addresses of the sender's XPUB.
        interests: Every channel it takes part in.
        known: How many nodes the sender is linked with or dials; who knows more tells (R9).
        met: Names the sender's memory of the addressee; 0 for none. Another number than before
            means that the sender has forgotten all it had with the addressee, its streams too.
    """

    min_version: int
    max_version: int
    token: int
    heard: int
    host: str
    pid: int
    endpoints: tuple[str, ...]
    data_endpoints: tuple[str, ...]
    interests: tuple[Interest, ...] = ()
    known: int = 0
    met: int = 0


@dataclass(frozen=True, slots=True)
class Announce:
    """What changed since the last hello: channels opened or altered, and channels closed."""

    interests: tuple[Interest, ...] = ()
    closed: tuple[ChannelId, ...] = ()


@dataclass(frozen=True, slots=True)
class Welcome:
    """The answer to an interest in a channel that the sender has open too: where its streams stand.

    From here on the sender owes the addressee every message after the two numbers.

    Parameters:
        channel: The channel.
        system: Number of the last system message the addressee is not owed.
        data: Number of the last data message the addressee is not owed.
        snapshots: Encoded registry messages, the newest of each runner the sender speaks for (R7).
        heard: Whether the sender has the addressee's welcome; if not, it is answered with one.
    """

    channel: ChannelId
    system: int
    data: int
    snapshots: tuple[bytes, ...] = ()
    heard: bool = False


@dataclass(frozen=True, slots=True)
class StreamState:
    """What one side knows of a pair of streams, as far as the other side needs to hear of it.

    Parameters:
        channel: The channel.
        plane: The plane.
        head: The last number the sender owes the addressee, or -1 if it has been acknowledged.
        cursor: The last number of the addressee's stream delivered in order, or -1 for no news.
    """

    channel: ChannelId
    plane: Plane
    head: int = -1
    cursor: int = -1


@dataclass(frozen=True, slots=True)
class Status:
    """Heartbeat, acknowledgement and tail detection in one (R13, R17, R20).

    Parameters:
        heard: The token of the last hello heard from the addressee; 0 for none.
        sees_reader: Whether the addressee's SUB is seen on the sender's XPUB (R4).
        sent_at_us: The sender's monotonic clock in microseconds.
        echo_us: The ``sent_at_us`` last heard from the addressee, plus the time it was held here;
            0 for none. The addressee gets the round trip by one subtraction.
        lag_us: How late the sender's event loop runs its timers, in microseconds.
        states: Only streams with news.
        met: See `Hello`.
        every_ms: How long the next status may take, in milliseconds; 0 if that was not said.
    """

    heard: int
    sees_reader: bool
    sent_at_us: int = 0
    echo_us: int = 0
    lag_us: int = 0
    states: tuple[StreamState, ...] = ()
    met: int = 0
    every_ms: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """Messages of one stream, consecutively numbered, on either plane (R12).

    A receiver may take the batch when everything owed to it up to ``previous`` has arrived, and
    everything of the sender's system stream up to ``after``. For a broadcast these numbers are the
    last broadcasts before it, except for the receivers in ``exceptions``, which were sent something
    of their own in between.

    Parameters:
        channel: The channel.
        plane: The plane.
        first: Number of the first message.
        previous: Number of the message before it, for this receiver.
        bodies: The encoded messages.
        exceptions: (receiver, its ``previous``, its ``after``) where either differs.
        after: Number of the system message before it, for this receiver (R13a); 0 for none.
    """

    channel: ChannelId
    plane: Plane
    first: int
    previous: int
    bodies: tuple[bytes, ...]
    exceptions: tuple[tuple[NodeId, int, int], ...] = ()
    after: int = 0


@dataclass(frozen=True, slots=True)
class Nack:
    """A hole: everything owed after ``cursor`` up to ``upto`` is missing (R14).

    Parameters:
        channel: The channel.
        plane: The plane.
        cursor: The last number delivered in order.
        upto: The last number known to be owed.
    """

    channel: ChannelId
    plane: Plane
    cursor: int
    upto: int


@dataclass(frozen=True, slots=True)
class Gone:
    """All up to ``upto`` has left the history (R15).

    Parameters:
        channel: The channel.
        plane: The plane.
        upto: The last number that has left the history.
        owed_msgs: How many messages the addressee was owed up to there since the welcome. The
            addressee, who knows how many it took, gets the exact loss by one subtraction,
            whatever has arrived in the meantime.
    """

    channel: ChannelId
    plane: Plane
    upto: int
    owed_msgs: int


@dataclass(frozen=True, slots=True)
class Members:
    """Gossip: nodes the sender is linked with (R9)."""

    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class Bye:
    """The sender is leaving; nothing comes after it (R23)."""

    reason: str = ""


class Refusal(IntEnum):
    """Why a node turns another one down."""

    VERSION = 1
    RUNNER_NAME = 2
    CHANNEL_ID = 3
    FULL = 4
    MISCONDUCT = 5


@dataclass(frozen=True, slots=True)
class Refuse:
    """The sender wants nothing to do with the addressee, on one channel or at all.

    Parameters:
        reason: The kind.
        text: The reason in words, for the log of the other side.
        channel: The channel meant; all zeros for the whole link.
    """

    reason: Refusal
    text: str
    channel: ChannelId = NO_CHANNEL


Packet = Hello | Announce | Welcome | Status | Batch | Nack | Gone | Members | Bye | Refuse
