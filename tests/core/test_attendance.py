"""Who takes part in a channel: coming, going, and names."""

from __future__ import annotations

from support.scripted import ANNE, ME, ROOM, Scripted, interest

from zmqbus.core.outbox import NameShared


def test_name_taken_up_here_that_a_peer_has_is_reported_once() -> None:
    """The holder of what is sent here is this node (R6, F10)."""
    s = Scripted()
    s.meet(ANNE, "anne", interest("anne", "x", age=1))
    for subscribers in (("w", "x"), ("w", "x", "y")):
        s.node.alter_channel(interest("mine", *subscribers, age=100))
        s.step()

    assert s.seen(NameShared) == [NameShared(ROOM, "x", ME, ANNE)]
