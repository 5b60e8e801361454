"""What this node believes of another node."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from zmqbus.packets import Hello, NodeId


class PeerState(Enum):
    """Where a peer stands; derived from `Peer`'s facts, never stored."""

    CONNECTING = "connecting"
    JOINED = "joined"
    BUSY = "busy"
    UNREACHABLE = "unreachable"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Where a node runs and listens.

    Parameters:
        host: Host name, for people.
        pid: Process id, for people.
        endpoints: Addresses of its ROUTER.
        data_endpoints: Addresses of its XPUB, in the same order.
    """

    host: str
    pid: int
    endpoints: tuple[str, ...]
    data_endpoints: tuple[str, ...]


@dataclass(slots=True)
class Peer:
    """One other node.

    Parameters:
        node: Its id.
        met: Names what is remembered of it here.
        remembers: What it calls its memory of this node; 0 before it said so.
        hello: The last hello heard from it.
        dial: The dial that has proven to lead to it.
        up: Whether the connection of that dial stands.
        data_endpoint: The XPUB address our SUB is attached to.
        reader_seen: Whether its SUB is seen on our XPUB.
        sees_reader: Whether it says that it sees our SUB on its XPUB.
        confirmed: Whether it has heard our hello since the link last came up.
        stands: Whether it was linked when that was last looked at.
        was_linked: Whether it has been linked since it was met or last lost.
        lost_reason: Why it was lost; empty while it is not.
        busy: Whether it was reported busy.
        heard_at: When its last hello or status came.
        down_at: When it was last found that a plane is down.
        clock_us: Its clock as last told, and ``clock_at`` when; to echo.
        rtt_secs: The last round trip measured; None before the first.
        lag_secs: How late its event loop says it is.
        every_secs: How long it says that the time between two heartbeats may be.
        faults: How often it said what cannot be since ``faults_since``.
    """

    node: NodeId
    met: int
    hello: Hello
    heard_at: float
    down_at: float = 0.0
    remembers: int = 0
    dial: int | None = None
    up: bool = False
    data_endpoint: str | None = None
    reader_seen: bool = False
    sees_reader: bool = False
    confirmed: bool = False
    stands: bool = False
    was_linked: bool = False
    lost_reason: str = ""
    busy: bool = False
    clock_us: int = 0
    clock_at: float = 0.0
    rtt_secs: float | None = None
    lag_secs: float = 0.0
    every_secs: float = 0.0
    faults: int = 0
    faults_since: float = 0.0

    @property
    def linked(self) -> bool:
        """Whether both directions of both planes are proven (R4)."""
        return self.confirmed and self.reader_seen and self.sees_reader and not self.lost_reason

    @property
    def live(self) -> bool:
        """Whether both planes stand, as far as it takes no event loop to keep them (R20).

        Nothing but a handshake is missing then: a busy peer is late with it, not dead.
        """
        return self.up and self.reader_seen and self.sees_reader

    @property
    def state(self) -> PeerState:
        """The state people are told."""
        if self.lost_reason:
            return PeerState.LOST
        if not self.linked:
            return PeerState.UNREACHABLE if self.was_linked else PeerState.CONNECTING
        return PeerState.BUSY if self.busy else PeerState.JOINED
