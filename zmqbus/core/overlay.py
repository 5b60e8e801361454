"""What links ask of the channels they serve."""

from __future__ import annotations

from typing import Protocol

from zmqbus.core.outbox import Departure
from zmqbus.packets import Interest, NodeId, StreamState


class Overlay(Protocol):
    """What links serve: the channels."""

    def interests(self) -> tuple[Interest, ...]:
        """Every channel this node takes part in."""

    def share_channel(self, one: NodeId, other: NodeId) -> bool:
        """Whether two peers have a channel in common."""

    def greeted(self, node: NodeId, interests: tuple[Interest, ...], now: float) -> None:
        """A hello came: all channels of ``node``; it may have missed what it was told before."""

    def reachable(self, node: NodeId, now: float) -> None:
        """Packets to ``node`` arrive from now on."""

    def linked(self, node: NodeId, now: float) -> None:
        """Both directions of both planes work."""

    def unlinked(self, node: NodeId, how: Departure, reason: str, now: float) -> None:
        """The peer departed or is lost; what it is owed is kept until `forgotten`."""

    def begin_anew(self, node: NodeId, now: float) -> None:
        """The peer has forgotten all it had with us: nothing of the streams goes on."""

    def forgotten(self, node: NodeId, now: float) -> None:
        """Nothing of ``node`` is remembered any more, here or there."""

    def busy(self, node: NodeId, silent_secs: float) -> None:
        """The peer's event loop does not turn."""

    def take_states(self, node: NodeId) -> tuple[StreamState, ...]:
        """What ``node`` needs to hear of the streams; each piece of news is returned once."""

    def heard_state(self, node: NodeId, state: StreamState, now: float) -> None:
        """What ``node`` says of a pair of streams."""
