"""Links: the handshake, gossip of members, and who is alive."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.scripted import ANNE, BERT, ME, ROOM, Scripted, hello, interest

from zmqbus.config import DEFAULT
from zmqbus.core.outbox import (
    Attach,
    Departure,
    Detach,
    Dial,
    Hangup,
    PeerBusy,
    PeerGone,
    PeerJoined,
    PeerRefused,
    Probe,
    Send,
)
from zmqbus.core.peers import PeerState
from zmqbus.packets import (
    NOBODY,
    Announce,
    Bye,
    Hello,
    Member,
    Members,
    NodeId,
    Plane,
    Refusal,
    Refuse,
    Status,
    Welcome,
)

# -- the handshake


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


def test_silent_address_is_hung_up() -> None:
    """An address proves itself in time or is given up."""
    s = Scripted()
    s.node.discovered(("tcp://anne",), s.now)
    s.wait(DEFAULT.dial_timeout_secs + 0.1)

    assert s.did(Hangup) == [Hangup(1)]
    s.node.link_up(1, s.now)
    s.node.link_down(1, s.now)
    s.node.refused(1, s.now)
    assert s.node.take_actions() == []


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


def test_address_without_a_data_address_of_its_own_takes_the_first() -> None:
    """Any XPUB address will do where there is no pair."""
    s = Scripted()
    both = ("tcp://a", "tcp://b")
    s.say(hello("anne", endpoints=both, data_endpoints=("tcp://d",)), ANNE, NOBODY)
    s.link_up("tcp://b")
    s.say(hello("anne", endpoints=both, data_endpoints=("tcp://d",), heard=s.token()))

    assert s.did(Attach) == [Attach("tcp://d")]


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


def test_memory_of_the_refused_is_bounded() -> None:
    """A flood of strangers with ever new ids leaves a bounded trace (R26)."""
    s = Scripted(replace(DEFAULT, max_peers=2))
    for number in range(50):
        s.say(hello("x", versions=(7, 9)), NodeId(b"%08d" % number), NOBODY)

    assert len(s.seen(PeerRefused)) == 50
    assert s.node.counters["hello_refused"] == 50
    s.say(hello("x", versions=(7, 9)), NodeId(b"%08d" % 0), NOBODY)
    assert len(s.seen(PeerRefused)) == 51


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


# -- liars


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


def test_claimed_data_address_of_a_peer_does_not_detach_from_it() -> None:
    """An address that two claim is attached once and detached with the last (R26)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    liar = hello("bert", data_endpoints=("tcp://anne/data",))
    s.say(liar, BERT, NOBODY)
    s.link_up("tcp://bert")
    s.say(replace(liar, heard=s.token()), BERT)
    s.say(Bye(), BERT)

    assert s.did(Attach) == []
    assert s.did(Detach) == []
    s.say(Bye())
    assert s.did(Detach) == [Detach("tcp://anne/data")]


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


def test_a_thousand_members_in_one_gossip_take_half_of_the_dials() -> None:
    """Hearsay cannot use up what discovery and hellos need (R25)."""
    s = Scripted(replace(DEFAULT, max_dials=10))
    s.meet(ANNE, "anne")
    rumours = [Member(NodeId(b"%08d" % i), (f"tcp://{i}",)) for i in range(1000)]
    s.say(Members(tuple(rumours)))

    assert len(s.did(Dial)) == 4
    assert s.node.counters["dials_over_limit"] == 996
    s.node.discovered(("tcp://seed",), s.now)
    s.step()
    assert s.did(Dial)[-1].endpoint == "tcp://seed"


# -- gossip


def test_newcomer_that_knows_less_is_told_who_shares_a_channel() -> None:
    """One seed is enough to meet everybody, on the same channel (R9, F18)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.meet(BERT, "bert")
    other = NodeId(b"peeroff1")
    s.greet(other, "off", interest("off", name="elsewhere"))
    s.reader(other, True)
    s.say(Status(0, True), other)
    assert s.sent(Members, other) == []
    new = NodeId(b"peernew1")
    s.greet(new, "new", interest("new"))
    s.reader(new, True)
    s.clear()

    s.say(Status(0, True), new)

    (told,) = s.sent(Members, new)
    assert {m.node for m in told.members} == {ANNE, BERT}


def test_peer_that_opens_a_channel_is_told_who_is_there() -> None:
    """What was no matter at the first meeting is told when it is (R9)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.greet(BERT, "bert", interest("bert", name="elsewhere"))
    s.clear()

    s.say(Announce((interest("bert"),)), BERT)

    (told,) = s.sent(Members, BERT)
    assert told.members == (Member(ANNE, ("tcp://anne",)),)


def test_gossip_tells_a_random_linked_peer_now_and_then() -> None:
    """What the first meeting missed heals (R9)."""
    s = Scripted()
    s.wait(DEFAULT.gossip_secs)
    assert s.sent(Members) == []
    s.meet(ANNE, "anne")
    s.meet(BERT, "bert")

    s.wait(DEFAULT.gossip_secs)

    assert len(s.sent(Members)) == 1


def test_member_that_is_known_or_buried_is_not_dialled() -> None:
    """Rumours revive nobody, and lead to nobody twice (R10, F8)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.meet(BERT, "bert")
    s.say(Bye(), BERT)
    s.clear()

    s.say(Members((Member(BERT, ("tcp://bert",)), Member(ANNE, ("tcp://elsewhere",)))))

    assert s.did(Dial) == []
    s.wait(DEFAULT.tombstone_secs + 1)
    s.say(Members((Member(BERT, ("tcp://bert",)),)))
    assert s.did(Dial) == [Dial(3, "tcp://bert")]


def test_member_that_was_met_but_never_reached_is_tried_again() -> None:
    """Gossip helps where the first dial found nobody."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.say(hello("bert"), BERT, NOBODY)
    s.wait(DEFAULT.dial_timeout_secs + 1)
    s.clear()

    s.say(Members((Member(BERT, ("tcp://bert",)),)))

    assert s.did(Dial) == [Dial(3, "tcp://bert")]


# -- liveness


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


def test_link_that_stays_down_makes_the_peer_lost() -> None:
    """After ``grace_secs``, with the reason in words (R20, R22)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.link_down("tcp://anne")
    s.wait(1.1)

    (gone,) = s.seen(PeerGone)
    assert (gone.how, gone.reason) == (Departure.LOST, "its link was down for 1 s")
    assert s.node.peers[ANNE].state is PeerState.LOST
    assert s.did(Detach) == [Detach("tcp://anne/data")]


def test_data_plane_that_stays_down_makes_the_peer_lost_and_is_rebuilt() -> None:
    """Half dead is noticed, and both planes are made anew (F12, R4)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.reader(ANNE, False)
    s.wait(1.1)

    (gone,) = s.seen(PeerGone)
    assert gone.reason == "its data plane was down for 1 s"
    s.say(hello("anne", interest("anne"), heard=s.token()))
    assert s.did(Attach) == [Attach("tcp://anne/data")]
    s.reader(ANNE, True)
    s.say(Status(0, True))
    s.say(Welcome(ROOM, 0, 0))

    s.state(ANNE, Plane.SYSTEM, cursor=0)
    assert len(s.seen(PeerJoined)) == 1


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


def test_silent_peer_with_a_live_link_is_busy_not_lost() -> None:
    """No heartbeat but a link: its loop stands still (R20, F11)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.wait(30.0)

    (busy,) = s.seen(PeerBusy)
    assert busy.silent_secs > DEFAULT.busy_after_secs
    assert s.node.peers[ANNE].state is PeerState.BUSY
    assert s.seen(PeerGone) == []
    s.say(Status(0, True))
    assert s.node.peers[ANNE].state is PeerState.JOINED


def test_busy_peer_whose_connection_is_reset_is_not_lost() -> None:
    """I/O threads make the connection again; the handshake waits for the loop (R20, F11)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.link_down("tcp://anne")
    s.link_up("tcp://anne")
    s.wait(20.0)

    assert s.seen(PeerGone) == []
    s.say(hello("anne", interest("anne"), heard=s.token()))
    assert s.node.peers[ANNE].linked


def test_observer_that_was_late_itself_calls_nobody_busy() -> None:
    """Its own lag is taken off the silence of others (R21, D15)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.now += 10.0
    s.node.advance(s.now)
    s.step()

    assert s.seen(PeerBusy) == []
    assert s.sent(Status)[-1].lag_us > 9e6


def test_status_tells_round_trip_and_lag() -> None:
    """One echo gives the round trip, whatever the clocks show (R20)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.say(Status(0, True, sent_at_us=77_000_000, echo_us=int((s.now - 0.03) * 1e6), lag_us=5_000))

    peer = s.node.peers[ANNE]
    assert peer.rtt_secs == pytest.approx(0.03, abs=1e-5)
    assert peer.lag_secs == pytest.approx(0.005)
    s.wait(0.6)
    echoed = s.sent(Status)[-1].echo_us
    assert 77_000_000 < echoed < 78_000_000


def test_goodbye_is_told_and_leaves_a_tombstone() -> None:
    """The departed are not taken back by a late hello (R10, R23)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.say(Bye("it is done"))

    (gone,) = s.seen(PeerGone)
    assert (gone.how, gone.reason) == (Departure.LEFT, "it is done")
    s.say(hello("anne"), ANNE, NOBODY)
    assert s.node.counters["hello_after_bye"] == 1
    assert s.node.peers == {}


def test_who_was_lost_comes_back_by_its_own_hello() -> None:
    """A false verdict is healed by the one who knows better (R10)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.link_down("tcp://anne")
    s.node.refused(1, s.now)

    s.greet(ANNE, "anne", interest("anne"))

    assert s.node.peers[ANNE].confirmed
    s.wait(DEFAULT.tombstone_secs + 1)


def test_lost_peer_is_told_hello_until_it_is_forgotten() -> None:
    """It may have given us up without knowing; after a minute it is let go (R10)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.reader(ANNE, False)
    s.wait(1.1)
    first = s.sent(Hello, ANNE)[0].token
    s.wait(10)
    assert len(s.sent(Hello, ANNE)) > 5
    assert {h.token for h in s.sent(Hello, ANNE)} == {first}

    s.wait(DEFAULT.tombstone_secs)

    assert s.node.peers == {}
    assert s.did(Hangup) == [Hangup(1)]


@pytest.mark.parametrize("by", ["hello", "status"])
def test_peer_that_has_forgotten_us_is_met_anew(by: str) -> None:
    """Streams that only one side remembers do not go on (R3)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    if by == "hello":
        s.say(hello("anne", interest("anne"), heard=s.tokens["anne"], met=9))
    else:
        s.say(Status(s.tokens["anne"], True, met=9))

    (gone,) = s.seen(PeerGone)
    assert gone.reason == "it had given this node up"
    assert s.node.peers[ANNE].confirmed
    assert s.channel.members[ANNE].inlets is None
    assert len(s.sent(Welcome)) == 1


def test_peer_that_does_not_know_us_any_more_is_answered_with_a_hello() -> None:
    """A status would be one of a stranger to it (R3)."""
    s = Scripted()
    s.meet(ANNE, "anne")

    s.say(hello("anne", interest("anne"), met=0), ANNE, NOBODY)

    assert [h.heard for h in s.sent(Hello, ANNE)] == [7]
    assert s.node.peers[ANNE].linked


def test_peer_that_falls_silent_before_it_was_linked_is_told_hello() -> None:
    """It may have forgotten us, and take what we say for a stranger's (R3)."""
    s = Scripted()
    s.greet(ANNE, "anne", interest("anne"))
    s.clear()
    s.wait(DEFAULT.busy_after_secs)
    assert s.sent(Hello) == []

    s.wait(DEFAULT.heartbeat_secs)

    assert {h.token for h in s.sent(Hello, ANNE)} == {s.tokens["anne"]}


def test_silent_peer_that_was_never_reached_is_left_to_its_dials() -> None:
    """There is no link to say anything on."""
    s = Scripted()
    s.say(hello("anne"), ANNE, NOBODY)
    s.wait(DEFAULT.busy_after_secs + 1.0)

    assert s.sent(Hello) == []
    s.wait(DEFAULT.tombstone_secs)
    assert s.node.peers == {}


def test_reached_but_never_linked_peer_is_forgotten_after_its_link_broke() -> None:
    """Nobody waits for it, so it is let go after a minute (R10)."""
    s = Scripted()
    s.greet(ANNE, "anne", interest("anne"))
    s.link_down("tcp://anne")
    s.wait(DEFAULT.tombstone_secs + 1.0)

    assert s.node.peers == {}
    assert s.did(Detach) == [Detach("tcp://anne/data")]


def test_busy_peer_whose_handshake_is_late_is_not_forgotten() -> None:
    """However long its loop stands, as long as its link lives (R20)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.link_down("tcp://anne")
    s.link_up("tcp://anne")
    s.wait(2 * DEFAULT.tombstone_secs)

    assert ANNE in s.node.peers
    assert s.seen(PeerGone) == []


def test_lost_peer_that_has_forgotten_us_is_not_told_gone_twice() -> None:
    """One loss, one event."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.reader(ANNE, False)
    s.wait(1.1)
    s.say(hello("anne", interest("anne"), heard=s.token(), met=9))

    assert len(s.seen(PeerGone)) == 1
    assert s.node.peers[ANNE].confirmed


def test_goodbye_of_a_lost_peer_is_no_second_event() -> None:
    """It was told gone when it was lost."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.link_down("tcp://anne")
    s.reader(ANNE, False)
    s.wait(1.1)

    s.say(Bye())

    assert len(s.seen(PeerGone)) == 1
    assert s.node.peers == {}


def test_tombstones_are_bounded() -> None:
    """A flood of goodbyes from ever new ids leaves a bounded trace (R25)."""
    s = Scripted(replace(DEFAULT, max_peers=2))
    ids = [NodeId(b"%08d" % number) for number in range(9)]
    for node in ids:
        s.say(hello("x"), node, NOBODY)
        s.say(Bye(), node)

    s.say(hello("x"), ids[0], NOBODY)
    assert ids[0] in s.node.peers
    s.say(hello("x"), ids[8], NOBODY)
    assert ids[8] not in s.node.peers


def test_peer_given_up_by_the_caller_is_lost_once() -> None:
    """A system plane that nobody acknowledges is as good as none (R16)."""
    s = Scripted(replace(DEFAULT, system_hwm_msgs=2))
    s.meet(ANNE, "anne")

    s.publish(b"a", b"b", b"c", plane=Plane.SYSTEM)
    assert s.node.give_up_waiting(s.channel, Plane.SYSTEM, s.now) == [ANNE]
    assert s.node.give_up_waiting(s.channel, Plane.SYSTEM, s.now) == []
    s.step()

    (gone,) = s.seen(PeerGone)
    assert "it left 2 system messages unacknowledged for 2 s" in gone.reason


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


def test_nobody_is_given_up_after_leaving() -> None:
    """Whoever still waits then is told whom it waited for, and no more."""
    s = Scripted(replace(DEFAULT, system_hwm_msgs=1))
    s.meet(ANNE, "anne")
    s.publish(b"a", b"b", plane=Plane.SYSTEM)
    s.node.leave("bye")
    s.step()

    assert s.node.give_up_waiting(s.channel, Plane.SYSTEM, s.now) == [ANNE]
    assert s.node.take_events() == []
