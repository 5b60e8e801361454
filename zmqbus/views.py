"""What a bus tells about itself: read-only views for people, logs and dashboards."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Peer:
    """Another runner on the same channel.

    Parameters:
        name: The runner's name; empty for a bus without a runner.
        node: The incarnation, 16 hex digits.
        state: "connecting", "joined", "busy", "unreachable", "lost" or "left"; "refused" while an
            older runner has its name, or ours.
        host: Host name it says it runs on.
        pid: Its process id there.
        endpoint: Address it is reached at.
        subscribers: Names that messages can be targeted at.
        workers: Workers of its last registry message.
        rtt_secs: Last round trip between the two event loops; None before the first.
        lag_secs: How late its event loop runs its timers, as it last said.
        behind_msgs: How far it is behind the last data message for it, counting those for others.
        system_up: Whether the system plane works: our link to it stands, and it answers there.
        data_out: Whether it reads our data plane: its subscription is there.
        data_in: Whether we read its data plane: it last said that our subscription is there.
        open_gaps: Holes in its streams to us that are being repaired, at most one a plane.
        closed_gaps: Holes closed since it came, by a repair or as an announced loss.
    """

    name: str
    node: str
    state: str
    host: str
    pid: int
    endpoint: str
    subscribers: tuple[str, ...]
    workers: tuple[str, ...]
    rtt_secs: float | None
    lag_secs: float
    behind_msgs: int
    system_up: bool
    data_out: bool
    data_in: bool
    open_gaps: int
    closed_gaps: int

    def __str__(self) -> str:
        return f"{self.name or 'observer'} ({self.node[:4]}, pid {self.pid} on {self.host})"


@dataclass(frozen=True, slots=True)
class BusStats:
    """Counts since `start()`, and what is held right now.

    Parameters:
        peers: Runners joined now.
        sent_msgs: Messages handed to the mesh, each once however many receive it.
        sent_bytes: Their size, encoded.
        received_msgs: Messages that came and were taken in, also late answers and audio that then
            became stale, which no subscriber gets.
        received_bytes: Their size, encoded.
        lost_msgs: Messages of others that will never arrive here (announced, never silent).
        waits: How often `send()` waited for a slow peer.
        history_msgs: Unacknowledged messages kept for repair now.
        history_bytes: Their size.
        dropped: Messages that came and were not delivered, by reason.
        counters: What the node's parts count, by reason; all channels of the node together.
    """

    peers: int = 0
    sent_msgs: int = 0
    sent_bytes: int = 0
    received_msgs: int = 0
    received_bytes: int = 0
    lost_msgs: int = 0
    waits: int = 0
    history_msgs: int = 0
    history_bytes: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)
