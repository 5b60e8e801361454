"""Links: what becomes of dials and connections."""

from __future__ import annotations

from dataclasses import replace

from support.scripted import ANNE, BERT, Scripted, hello, interest

from zmqbus.config import DEFAULT
from zmqbus.core.outbox import (
    Detach,
    Dial,
    DialFailed,
    Hangup,
    PeerGone,
    PeerRefused,
    Probe,
    Send,
)
from zmqbus.core.peers import PeerState, Whereabouts
from zmqbus.packets import NOBODY, Bye, Hello, Refusal, Refuse, Status


def test_silent_address_is_hung_up() -> None:
    """An address proves itself in time or is given up."""
    s = Scripted()
    s.node.discovered(("tcp://anne",), s.now)
    s.wait(DEFAULT.dial_timeout_secs + 0.1)

    assert s.did(Hangup) == [Hangup(1)]
    assert s.seen(DialFailed) == [DialFailed("tcp://anne")]
    assert s.node.counters["dials_unanswered"] == 1
    s.node.link_up(1, s.now)
    s.node.link_down(1, s.now)
    s.node.refused(1, s.now)
    assert s.node.take_actions() == []


def test_silent_address_that_was_hearsay_is_hung_up_without_a_word() -> None:
    """Who gossip or the directory of this host named may be gone by now (R9)."""
    s = Scripted()
    s.node.discovered(("tcp://anne",), s.now, ANNE)
    s.wait(DEFAULT.dial_timeout_secs + 0.1)

    assert s.did(Hangup) == [Hangup(1)]
    assert s.events == []


def test_connection_of_an_unproven_dial_may_break() -> None:
    """A stranger's connection that comes and goes concerns no peer."""
    s = Scripted()
    s.node.discovered(("tcp://anne",), s.now)
    s.step()
    s.link_up("tcp://anne")
    s.link_down("tcp://anne")
    s.node.refused(1, s.now)
    s.step()

    assert s.did(Probe) == []
    assert s.events == []


def test_refusal_of_a_dialled_node_is_reported_and_heeded() -> None:
    """Who is turned down does not ask again at once (R3)."""
    s = Scripted()
    s.node.discovered(("tcp://anne",), s.now)
    s.step()
    s.link_up("tcp://anne")
    s.node.refusal(1, Refuse(Refusal.FULL, "full"), s.now)
    s.node.refusal(1, Refuse(Refusal.FULL, "full"), s.now)
    s.node.discovered(("tcp://anne",), s.now)
    s.step()

    assert s.did(Hangup) == [Hangup(1)]
    (event,) = s.seen(PeerRefused)
    assert event.text == "tcp://anne refuses this node: full"
    assert len(s.did(Dial)) == 1


def test_refusal_on_a_link_and_other_packets_back_are_ignored() -> None:
    """Only a stranger is turned down; nothing else comes back on a dial (R2)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.node.refusal(1, Refuse(Refusal.FULL, "full"), s.now)
    s.node.refusal(1, Bye(), s.now)
    s.step()

    assert s.events == []
    assert s.actions == []


def test_broken_link_is_probed_and_forgiven_within_the_grace() -> None:
    """A short interruption is no event (R20)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.link_down("tcp://anne")
    assert s.did(Probe) == [Probe(1, "tcp://anne")]
    assert s.node.peers[ANNE].state is PeerState.UNREACHABLE

    s.wait(0.5)
    s.link_up("tcp://anne")
    s.say(hello("anne", interest("anne"), heard=s.token()))
    s.wait(5.0)

    assert s.seen(PeerGone) == []
    assert s.node.peers[ANNE].linked


def test_address_that_refuses_makes_the_peer_lost_at_once() -> None:
    """Its host says that nobody listens there any more (R20, R22)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.link_down("tcp://anne")

    s.node.refused(1, s.now)
    s.step()

    (gone,) = s.seen(PeerGone)
    assert gone.reason == "nobody listens on its port any more"
    assert ANNE not in s.node.peers
    assert s.did(Hangup) == [Hangup(1)]


def test_late_refusal_of_a_link_that_is_up_again_is_ignored() -> None:
    """The news is older than the link (R20)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.link_down("tcp://anne")
    s.link_up("tcp://anne")

    s.node.refused(1, s.now)

    assert ANNE in s.node.peers


def test_leaving_says_goodbye_to_all_and_hangs_up() -> None:
    """After that nothing is due and nobody is known (R23)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.node.discovered(("tcp://seed",), s.now)
    s.clear()

    s.node.leave("bye now")
    s.step()

    assert [type(a) for a in s.actions] == [Send, Hangup, Hangup, Detach]
    assert s.sent(Bye) == [Bye("bye now")]
    assert s.node.peers == {}
    assert s.node.deadline() is None


def test_expelled_peer_is_lost_and_not_called_again() -> None:
    """Who is turned out is gone at once, whatever gossip says of it; a stranger cannot be."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.node.expel(ANNE, "its key is not admitted here any more", s.now)
    s.node.expel(BERT, "nobody knows it", s.now)
    s.step()

    (gone,) = s.seen(PeerGone)
    assert (gone.node, gone.reason) == (ANNE, "its key is not admitted here any more")
    assert ANNE not in s.node.peers
    s.node.discovered(("tcp://anne",), s.now, ANNE)
    assert s.node.take_actions() == []


def test_hello_after_a_reconnect_is_for_whoever_listens_until_the_peer_has_answered() -> None:
    """Another node may have the port now: it answers, and the dead is found out (R5, R5a)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.clear()
    s.link_down("tcp://anne")
    s.link_up("tcp://anne")
    assert len(s.sent(Hello, NOBODY)) == len(s.sent(Hello)) == 1
    s.say(Status(s.token(), True, met=5))
    s.clear()

    s.node.moved(Whereabouts("host", 1, ("tcp://new",), ("tcp://new/data",)), s.now)
    s.step()
    assert len(s.sent(Hello, ANNE)) == len(s.sent(Hello)) == 1


def test_peer_is_shown_where_it_is_reached() -> None:
    """Which need not be the first address that it names: that may not lead here (R31)."""
    s = Scripted()
    introduction = hello("anne", endpoints=("tcp://best", "tcp://anne"))
    s.say(introduction, ANNE, NOBODY)
    peer = s.node.peers[ANNE]
    assert s.node.endpoint_of(peer) == "tcp://best"
    s.link_up("tcp://anne")

    s.say(replace(introduction, heard=s.token()))

    assert s.node.endpoint_of(peer) == "tcp://anne"
