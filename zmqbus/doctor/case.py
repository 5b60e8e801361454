"""All that the checks of one examination know."""

from __future__ import annotations

from dataclasses import dataclass, field

from zmqbus.doctor.observer import Observer, Target
from zmqbus.doctor.setup import Setup
from zmqbus.net.rendezvous import Registered
from zmqbus.packets import ChannelId, channel_id

PROBE_SECS = 2.0
"""How long a port may take to answer."""


@dataclass(slots=True)
class Case:
    """One examination.

    Parameters:
        setup: What a bus here would use.
        wait_secs: How long others may take to answer.
        entries: What is in the directory of this host.
        observer: The node that calls on others; None before it is bound, and if it cannot be.
    """

    setup: Setup
    wait_secs: float
    entries: list[Registered] = field(default_factory=list)
    observer: Observer | None = None

    @property
    def channel(self) -> ChannelId:
        """The channel's id."""
        return channel_id(self.setup.channel)

    @property
    def node(self) -> Observer:
        """The node that calls on others, for the checks that come after it is bound."""
        assert self.observer is not None, "these checks are left out without one"
        return self.observer

    @property
    def local_targets(self) -> list[Target]:
        """The living that are registered on this host."""
        return [
            Target("local", entry.endpoints, entry.node, entry)
            for entry in self.entries
            if entry.is_live and entry.endpoints
        ]
