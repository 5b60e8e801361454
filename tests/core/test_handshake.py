"""The handshake: hellos, the proof of dials, and liars."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.scripted import ANNE, BERT, ME, Scripted, hello, interest

from zmqbus.config import DEFAULT
from zmqbus.core.handshake import NAMED_EVERY_SECS
from zmqbus.core.outbox import (
    Attach,
    Departure,
    Dial,
    Hangup,
    PeerGone,
    PeerRefused,
    Send,
)
from zmqbus.core.peers import PeerState
from zmqbus.packets import (
    NOBODY,
    Hello,
    NodeId,
    Refusal,
    Status,
)


def test_whoever_says_hello_is_dialled_and_told_its_token() -> None:
    """One hello is enough to learn of a node (R3, R9)."""
    s = Scripted()
    s.say(hello("anne", interest("anne"), token=42), ANNE, NOBODY)
    assert s.did(Dial) == [Dial(1, "tcp://anne")]

    s.link_up("tcp://anne")

    (said,) = s.sent(Hello)
    assert said.heard == 42
    assert said.interests == (s.channel.interest,)
    assert s.node.peers[ANNE].state is PeerState.CONNECTING


def test_peer_is_linked_when_both_directions_of_both_planes_are_proven() -> None:
    """The token came back, its SUB is seen here, and ours there (R4)."""
    s = Scripted()
    s.greet(ANNE, "anne", interest("anne"))
    peer = s.node.peers[ANNE]
    assert s.did(Attach) == [Attach("tcp://anne/data")]
    assert not peer.linked
    s.reader(ANNE, True)
    assert not peer.linked

    s.say(Status(0, True))

    assert peer.linked
    assert peer.state is PeerState.JOINED


def test_reader_that_came_before_the_hello_is_remembered() -> None:
    """The planes may come up in any order (R4)."""
    s = Scripted()
    s.reader(ANNE, True)
    s.greet(ANNE, "anne")

    assert s.node.peers[ANNE].reader_seen


def test_status_proves_a_dial_as_well_as_a_hello() -> None:
    """Any packet may bring the token back (R4)."""
    s = Scripted()
    s.say(hello("anne", interest("anne")), ANNE, NOBODY)
    s.link_up("tcp://anne")
    assert not s.node.peers[ANNE].confirmed

    s.say(Status(s.token(), False, met=5))

    assert s.node.peers[ANNE].confirmed


def test_unanswered_hello_is_said_again_with_the_same_token() -> None:
    """Hellos that cross would else answer each other for ever (R5)."""
    s = Scripted()
    s.node.discovered(("tcp://anne",), s.now)
    s.step()
    s.link_up("tcp://anne")
    s.wait(2.5)

    tokens = {h.token for h in s.sent(Hello)}
    assert len(s.sent(Hello)) == 3
    assert len(tokens) == 1


def test_of_two_addresses_of_a_node_one_dial_stays() -> None:
    """The first that proves itself; the other is left alone then (R5)."""
    s = Scripted()
    both = ("tcp://a", "tcp://b")
    data = ("tcp://a/data", "tcp://b/data")
    s.say(hello("anne", endpoints=both, data_endpoints=data), ANNE, NOBODY)
    s.link_up("tcp://b")
    s.say(hello("anne", endpoints=both, data_endpoints=data, heard=s.token()), ANNE)

    assert s.did(Hangup) == [Hangup(s.dials["tcp://a"])]
    assert s.did(Attach) == [Attach("tcp://b/data")]
    s.clear()
    s.node.discovered(both, s.now)
    s.step()
    assert s.actions == []


def test_first_proven_dial_stays_when_the_second_answers() -> None:
    """Both may be under way: the later proof loses its dial, not its peer (R5)."""
    s = Scripted()
    s.greet(ANNE, "anne")
    s.node.link_down(1, s.now)
    s.clear()
    s.node.discovered(("tcp://anne",), s.now)
    s.step()
    s.node.link_up(1, s.now)
    s.step()
    first = s.token()
    s.node.link_up(2, s.now)
    s.step()
    s.say(hello("anne", heard=s.token()))
    assert s.did(Hangup) == [Hangup(1)]

    s.say(hello("anne", heard=first))

    assert s.node.peers[ANNE].dial == 2


def test_node_does_not_meet_itself() -> None:
    """A dial that leads back is hung up, and its address left alone (R5)."""
    s = Scripted()
    s.node.discovered(("tcp://me", "tcp://alias"), s.now)
    s.step()
    assert s.did(Dial) == [Dial(1, "tcp://alias")]
    s.link_up("tcp://alias")

    s.say(s.sent(Hello)[-1], ME, NOBODY)
    s.say(hello("me", token=3), ME, NOBODY)

    assert s.did(Hangup) == [Hangup(1)]
    assert s.node.peers == {}
    s.clear()
    s.node.discovered(("tcp://alias",), s.now, ME)
    s.node.discovered(("tcp://alias",), s.now)
    s.step()
    assert s.actions == []
    s.wait(DEFAULT.tombstone_secs + 1)
    s.node.discovered(("tcp://alias",), s.now)
    s.step()
    assert s.did(Dial) == [Dial(2, "tcp://alias")]


def test_other_protocol_version_is_refused_in_words_and_reported_once() -> None:
    """No common version: the stranger is told, and so are we, once (R3, F24)."""
    s = Scripted()
    refuses = [s.say(hello("anne", versions=(7, 9)), ANNE, NOBODY) for _ in range(2)]

    assert [r.reason for r in refuses if r] == [Refusal.VERSION] * 2
    (event,) = s.seen(PeerRefused)
    assert "7 to 9 there, 1 to 1 here" in event.text
    assert s.say(hello("anne", versions=(0, 0)), ANNE, NOBODY)
    assert s.node.peers == {}


def test_one_peer_too_many_is_refused() -> None:
    """At most ``max_peers`` are linked; those there are stay (R25)."""
    s = Scripted(replace(DEFAULT, max_peers=1))
    s.greet(ANNE, "anne")

    refuse = s.say(hello("bert"), BERT, NOBODY)

    assert refuse
    assert refuse.reason is Refusal.FULL
    assert s.say(hello("anne")) is None


def refused(s: Scripted, number: int) -> None:
    """A stranger of another protocol version says hello."""
    assert s.say(hello("x", versions=(7, 9)), NodeId(b"%08d" % number), NOBODY)


def test_memory_of_the_refused_is_bounded() -> None:
    """Strangers with ever new ids leave a bounded trace (R26)."""
    s = Scripted(replace(DEFAULT, max_peers=2))
    for number in (*range(50), 0):
        s.wait(NAMED_EVERY_SECS)
        refused(s, number)

    assert s.node.counters["hello_refused"] == 51
    assert len(s.seen(PeerRefused)) == 51


def test_flood_of_refused_strangers_is_reported_in_part() -> None:
    """All are turned down, few are reported; an honest one is when it says hello again (R30a)."""
    s = Scripted()
    for number in range(1_000):
        refused(s, number)
    assert len(s.seen(PeerRefused)) == 1
    for reports in (2, 2):
        s.wait(NAMED_EVERY_SECS)
        refused(s, 999)
        assert len(s.seen(PeerRefused)) == reports
    assert s.node.counters["hello_refused"] == 1_002


def test_hello_that_crosses_ours_is_answered_at_once() -> None:
    """The token of the other side is told without waiting for the next try (R5)."""
    s = Scripted()
    s.node.discovered(("tcp://anne",), s.now)
    s.step()
    s.link_up("tcp://anne")
    s.say(hello("anne", token=42), ANNE, NOBODY)

    assert [h.heard for h in s.sent(Hello)] == [0, 42]


def test_second_address_that_proves_to_be_a_linked_peer_is_hung_up() -> None:
    """A peer that is linked keeps its dial (R5)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.node.discovered(("tcp://alias",), s.now)
    s.step()
    s.link_up("tcp://alias")

    s.say(Status(s.token(), True, met=5))

    assert s.did(Hangup) == [Hangup(2)]
    assert s.node.peers[ANNE].dial == 1
    assert s.node.peers[ANNE].linked


@pytest.mark.parametrize("nowhere", [hello("anne", endpoints=()), hello("anne", data_endpoints=())])
def test_hello_without_addresses_is_counted(nowhere: Hello) -> None:
    """Nobody can be reached nowhere (R26)."""
    s = Scripted()
    s.say(nowhere, ANNE, NOBODY)

    assert s.node.counters["hello_unsound"] == 1
    assert s.node.peers == {}


def test_somebody_with_a_peers_id_at_another_address_is_counted() -> None:
    """An incarnation never moves, so this one is not the peer (R26)."""
    s = Scripted()
    s.meet(ANNE, "anne")

    s.say(hello("liar", heard=0))

    assert s.node.counters["hello_unsound"] == 1
    assert s.node.peers[ANNE].linked
    assert s.seen(PeerGone) == []


def test_claimed_address_of_a_peer_does_not_kill_it() -> None:
    """Only proof takes an address over, however the owner's link is at the moment (R5, R26)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.link_down("tcp://anne")

    s.say(hello("bert", interest("bert"), endpoints=("tcp://anne",)), BERT, NOBODY)

    assert ANNE in s.node.peers
    assert s.seen(PeerGone) == []


def test_proven_successor_at_an_address_declares_its_former_owner_lost() -> None:
    """First the old is gone, then the new joins (R5, D06)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.link_down("tcp://anne")
    new = hello("bert", interest("bert"), endpoints=("tcp://anne",))
    s.say(new, BERT, NOBODY)
    s.link_up("tcp://anne")

    s.say(replace(new, heard=s.token()), BERT)

    assert ANNE not in s.node.peers
    (gone,) = s.seen(PeerGone)
    assert (gone.node, gone.how) == (ANNE, Departure.LOST)
    assert "took over its address" in gone.reason
    assert s.node.peers[BERT].confirmed


def test_claimed_address_does_not_keep_its_owner_from_being_met() -> None:
    """Whoever answers at an address owns it, not who was said to (R26)."""
    s = Scripted()
    s.node.discovered(("tcp://anne",), s.now)
    s.say(hello("bert", endpoints=("tcp://bert", "tcp://anne")), BERT, NOBODY)
    s.link_up("tcp://anne")
    assert s.actions[-1] == Send(s.dials["tcp://anne"], NOBODY, s.sent(Hello)[-1])

    s.say(hello("anne", heard=s.token()), ANNE, NOBODY)

    assert s.node.peers[ANNE].confirmed
    assert not s.node.peers[BERT].confirmed


def test_what_changed_between_hello_and_proof_is_told_with_the_proof() -> None:
    """An announcement has no link to travel on before; the next hello says everything (R11)."""
    s = Scripted()
    s.say(hello("anne", interest("anne")), ANNE, NOBODY)
    s.link_up("tcp://anne")
    token = s.token()
    altered = interest("mine", "w", "x", age=100)
    s.node.alter_channel(altered)
    s.clear()

    s.say(Status(token, False, met=5))

    assert [h.interests for h in s.sent(Hello)] == [(altered,)]
