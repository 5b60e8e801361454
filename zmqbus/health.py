"""`Health`: whether a bus lives, whether it is ready for work, and if not, why not, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from zmqbus.views import Peer


@dataclass(frozen=True, slots=True)
class Health:
    """How a bus does; see `ZmqBus.health`.

    Parameters:
        started: Whether it is between `start()` and `stop()`.
        endpoint: Where it is reached; empty before the start.
        peers: How many runners have joined. A bus that is alone is healthy.
        lag_secs: How late its event loop last ran a timer.
        half_dead: The peers of which only some planes or directions work, with those that do not.
        lost_msgs: Messages of others since the start that will never arrive here.
        stalled: Whether its subscribers are so far behind that it takes no data for now.
        faults: What a restart, or another setting, would mend.
        hindrances: What passes by itself, and makes it a bad moment to be given work.
    """

    started: bool = False
    endpoint: str = ""
    peers: int = 0
    lag_secs: float = 0.0
    half_dead: tuple[str, ...] = ()
    lost_msgs: int = 0
    stalled: bool = False
    faults: tuple[str, ...] = ()
    hindrances: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Liveness: nothing is wrong that a restart would mend."""
        return not self.faults

    @property
    def ready(self) -> bool:
        """Readiness: it can be given work now."""
        return not self.reasons

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it is not ready, one clause each."""
        return self.faults + self.hindrances


NOT_STARTED = Health(faults=("the bus is not started",))


def examine(
    *,
    endpoint: str,
    peers: Sequence[Peer],
    admitted: bool,
    stalled: bool,
    lag_secs: float,
    late_secs: float,
    lost_msgs: int,
) -> Health:
    """The health of a bus that is started.

    Args:
        endpoint: Where it is reached.
        peers: Those on its channel.
        admitted: Whether no older runner has its name.
        stalled: Whether it takes no data for now.
        lag_secs: How late its event loop is.
        late_secs: From which on that is too late.
        lost_msgs: How much was lost since the start.
    """
    half_dead = tuple(f"{peer}: {_missing(peer)}" for peer in peers if peer.state == "unreachable")
    faults = () if admitted else ("an older runner on the channel has the same name",)
    hindrances = [f"its event loop is {lag_secs:.1f} s late"] if lag_secs > late_secs else []
    hindrances += ["its subscribers are too far behind to take more"] if stalled else []
    hindrances += [f"half-dead link: {link}" for link in half_dead]
    return Health(
        started=True,
        endpoint=endpoint,
        peers=sum(peer.state in ("joined", "busy") for peer in peers),
        lag_secs=lag_secs,
        half_dead=half_dead,
        lost_msgs=lost_msgs,
        stalled=stalled,
        faults=faults,
        hindrances=tuple(hindrances),
    )


def _missing(peer: Peer) -> str:
    """What does not work of its link."""
    ways = {
        "system plane": peer.system_up,
        "data to it": peer.data_out,
        "data from it": peer.data_in,
    }
    return ", ".join(f"no {way}" for way, works in ways.items() if not works)
