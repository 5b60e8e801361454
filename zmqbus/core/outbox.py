"""What leaves the core: actions to do now, and events that happened. Each is handed out once."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from zmqbus.packets import Batch, ChannelId, Interest, NodeId, Packet, Plane

# -- actions: to be done at once, in order


@dataclass(frozen=True, slots=True)
class Dial:
    """Connect a DEALER to ``endpoint`` and keep it connected until `Hangup`."""

    dial: int
    endpoint: str


@dataclass(frozen=True, slots=True)
class Hangup:
    """Close the DEALER; what was sent on it before should still leave."""

    dial: int


@dataclass(frozen=True, slots=True)
class Send:
    """Send ``packet`` on a DEALER."""

    dial: int
    addressee: NodeId
    packet: Packet


@dataclass(frozen=True, slots=True)
class Publish:
    """Publish ``batch`` on the XPUB, to one reader or to all (None)."""

    reader: NodeId | None
    batch: Batch


@dataclass(frozen=True, slots=True)
class Attach:
    """Connect the SUB to a peer's XPUB."""

    endpoint: str


@dataclass(frozen=True, slots=True)
class Detach:
    """Disconnect the SUB from a peer's XPUB."""

    endpoint: str


@dataclass(frozen=True, slots=True)
class Probe:
    """Find out whether anybody listens on ``endpoint``; answer with `Node.refused` if not."""

    dial: int
    endpoint: str


Action = Dial | Hangup | Send | Publish | Attach | Detach | Probe

# -- events: what happened, in order


class Departure(Enum):
    """How a peer left."""

    LEFT = "left"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class PeerJoined:
    """Both directions of both planes are proven on this channel (R4)."""

    channel: ChannelId
    node: NodeId
    interest: Interest


@dataclass(frozen=True, slots=True)
class PeerGone:
    """A joined peer said goodbye, or was lost."""

    channel: ChannelId
    node: NodeId
    interest: Interest
    how: Departure
    reason: str


@dataclass(frozen=True, slots=True)
class PeerWithdrew:
    """A peer whose messages were delivered has gone before it had joined."""

    channel: ChannelId
    node: NodeId
    interest: Interest
    how: Departure
    reason: str


@dataclass(frozen=True, slots=True)
class PeerBusy:
    """A peer lives, but its event loop does not turn (R20)."""

    channel: ChannelId
    node: NodeId
    interest: Interest
    silent_secs: float


@dataclass(frozen=True, slots=True)
class PeerRefused:
    """Somebody was turned down, by us or we by them; ``channel`` is None for a whole link."""

    channel: ChannelId | None
    node: NodeId | None
    text: str


@dataclass(frozen=True, slots=True)
class DialFailed:
    """Nobody has proven himself in time at an address of which only the address was known."""

    endpoint: str


@dataclass(frozen=True, slots=True)
class SnapshotsArrived:
    """The registry messages of a newcomer, to be delivered before anything else of it (R8)."""

    channel: ChannelId
    node: NodeId
    bodies: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Delivered:
    """Messages of one peer, in order, each once."""

    channel: ChannelId
    node: NodeId
    plane: Plane
    bodies: list[bytes]


@dataclass(frozen=True, slots=True)
class GapOpened:
    """A hole in a peer's stream; it is being repaired."""

    channel: ChannelId
    node: NodeId
    plane: Plane
    cursor: int
    upto: int


@dataclass(frozen=True, slots=True)
class GapRepaired:
    """The hole is closed."""

    channel: ChannelId
    node: NodeId
    plane: Plane


@dataclass(frozen=True, slots=True)
class MessagesLost:
    """Messages that will never arrive here."""

    channel: ChannelId
    node: NodeId
    plane: Plane
    lost_msgs: int
    reason: str


@dataclass(frozen=True, slots=True)
class MessageForgone:
    """A message sent here has left the history, and ``node`` will never get it (R15)."""

    channel: ChannelId
    node: NodeId
    note: object


@dataclass(frozen=True, slots=True)
class NameShared:
    """A subscriber's name is on two runners; ``holder`` is the one that gets what is sent here."""

    channel: ChannelId
    name: str
    holder: NodeId
    other: NodeId


Event = (
    PeerJoined
    | PeerGone
    | PeerWithdrew
    | PeerBusy
    | PeerRefused
    | DialFailed
    | SnapshotsArrived
    | Delivered
    | GapOpened
    | GapRepaired
    | MessagesLost
    | MessageForgone
    | NameShared
)


@dataclass(slots=True)
class Outbox:
    """Collects actions and events of one node until they are taken."""

    actions: list[Action] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def take_actions(self) -> list[Action]:
        """What is to be done, in order; each action is returned once."""
        actions, self.actions = self.actions, []
        return actions

    def take_events(self) -> list[Event]:
        """What happened, in order; each event is returned once."""
        events, self.events = self.events, []
        return events
