"""Who takes part in a channel: coming, going, and names."""

from __future__ import annotations

from support.scripted import ANNE, ME, ROOM, Scripted, hello, interest

from zmqbus.core.outbox import NameShared, PeerGone, PeerJoined, SnapshotsArrived
from zmqbus.packets import Plane, Status, Welcome


def test_name_taken_up_here_that_a_peer_has_is_reported_once() -> None:
    """The holder of what is sent here is this node (R6, F10)."""
    s = Scripted()
    s.meet(ANNE, "anne", interest("anne", "x", age=1))
    for subscribers in (("w", "x"), ("w", "x", "y")):
        s.node.alter_channel(interest("mine", *subscribers, age=100))
        s.step()

    assert s.seen(NameShared) == [NameShared(ROOM, "x", ME, ANNE)]


def test_peer_that_was_lost_and_returns_brings_its_snapshots_again() -> None:
    """Its workers left the registry with it, and come back with it (R8, R24, F2)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.link_down("tcp://anne")
    s.wait(1.1)
    assert len(s.seen(PeerGone)) == 1

    s.link_up("tcp://anne")
    s.say(hello("anne", interest("anne"), heard=s.token()))
    s.reader(ANNE, True)
    s.say(Status(0, True))
    s.say(Welcome(ROOM, 0, 0, (b"snapshot",)))
    s.state(ANNE, Plane.SYSTEM, cursor=0)
    s.say(Welcome(ROOM, 0, 0, (b"said again",)))

    assert s.seen(SnapshotsArrived) == [SnapshotsArrived(ROOM, ANNE, (b"snapshot",))]
    assert len(s.seen(PeerJoined)) == 1
