"""All channels of a node: welcomes, names, what the departed leave behind."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.scripted import ANNE, BERT, ROOM, Scripted, batch, hello, interest

from zmqbus.config import DEFAULT
from zmqbus.core.outbox import (
    Delivered,
    Departure,
    NameShared,
    PeerBusy,
    PeerGone,
    PeerJoined,
    PeerRefused,
    PeerWithdrew,
    Publish,
    SnapshotsArrived,
)
from zmqbus.packets import (
    Announce,
    Batch,
    Bye,
    Nack,
    Plane,
    Refusal,
    Refuse,
    Status,
    StreamState,
    Welcome,
    channel_id,
)


def names_of(events: list[PeerJoined]) -> list[str]:
    """The runners they are about."""
    return [e.interest.runner for e in events]


# -- joining


def test_peer_joins_when_both_were_welcomed_and_linked() -> None:
    """Its welcome came, ours is confirmed, the link works both ways on both planes (R4)."""
    s = Scripted()
    s.channel.snapshots["mine"] = b"my workers"
    s.greet(ANNE, "anne", interest("anne"))
    assert s.sent(Welcome, ANNE) == [Welcome(ROOM, 0, 0, (b"my workers",))]
    s.say(Welcome(ROOM, 4, 6, (b"her workers",)))
    assert s.seen(SnapshotsArrived) == [SnapshotsArrived(ROOM, ANNE, (b"her workers",))]
    s.reader(ANNE, True)
    s.say(Status(0, True))
    assert s.seen(PeerJoined) == []

    s.state(ANNE, Plane.SYSTEM, cursor=0)

    assert names_of(s.seen(PeerJoined)) == ["anne"]


def test_snapshots_come_before_any_other_message() -> None:
    """What a newcomer missed is there first (R8, P04)."""
    s = Scripted()
    s.greet(ANNE, "anne", interest("anne"))
    s.say(Welcome(ROOM, 4, 6, (b"her workers",)))
    s.say(batch(7, b"first"))

    kinds = [type(e) for e in s.events]
    assert kinds.index(SnapshotsArrived) < kinds.index(Delivered)
    assert s.seen(Delivered)[0].bodies == [b"first"]


def test_unconfirmed_welcome_is_said_again() -> None:
    """Until the peer says where it stands (R4)."""
    s = Scripted()
    s.greet(ANNE, "anne", interest("anne"))
    s.wait(2.5 * DEFAULT.hello_retry_secs)
    assert len(s.sent(Welcome)) == 3

    s.say(Welcome(ROOM, 0, 0))
    assert len(s.sent(Welcome)) == 4
    s.state(ANNE, Plane.DATA, cursor=0)
    s.wait(2.5 * DEFAULT.hello_retry_secs)

    assert len(s.sent(Welcome)) == 4


def test_peer_that_missed_our_welcome_gets_it_with_its_own() -> None:
    """Its first welcome shows that it knows us now."""
    s = Scripted()
    s.greet(ANNE, "anne", interest("anne"))
    s.clear()

    s.say(Welcome(ROOM, 0, 0))

    assert s.sent(Welcome, ANNE) == [Welcome(ROOM, 0, 0, heard=True)]


def test_cursors_before_its_own_welcome_do_not_show_that_a_peer_has_ours() -> None:
    """It may have had them from before it was lost here (R4)."""
    s = Scripted()
    s.greet(ANNE, "anne", interest("anne"))
    s.state(ANNE, Plane.SYSTEM, cursor=0)
    s.clear()

    s.say(Welcome(ROOM, 0, 0))

    assert len(s.sent(Welcome)) == 1


def test_welcome_of_who_lacks_ours_is_answered() -> None:
    """It alone has lost us and needs our snapshots again; an answer is not answered (R4, R24)."""
    s = Scripted()
    s.meet(ANNE, "anne")

    s.say(Welcome(ROOM, 0, 0, heard=True))
    assert s.sent(Welcome, ANNE) == []
    s.say(Welcome(ROOM, 0, 0))

    assert s.sent(Welcome, ANNE) == [Welcome(ROOM, 0, 0, heard=True)]
    s.wait(2 * DEFAULT.hello_retry_secs)
    assert len(s.sent(Welcome, ANNE)) == 1
    assert s.seen(PeerJoined) == []


def test_second_welcome_changes_no_cursor_but_is_answered() -> None:
    """Its numbers are of the past; that it came means that our word was lost (R26)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.say(batch(1, b"a"))
    s.clear()

    s.say(Welcome(ROOM, 90, 90, (b"again",)))
    s.wait(0.01)

    assert s.seen(SnapshotsArrived) == []
    assert [st.cursor for st in s.sent(Status)[-1].states] == [0, 1]
    s.say(batch(2, b"b"))
    assert s.seen(Delivered)[-1].bodies == [b"b"]


@pytest.mark.parametrize("known", [True, False])
def test_welcome_to_a_channel_one_of_us_is_not_in_is_counted(known: bool) -> None:
    """Nothing is owed there (R26)."""
    s = Scripted()
    s.greet(ANNE, "anne", *([] if known else [interest("anne", name="elsewhere")]))
    s.say(Welcome(ROOM if known else channel_id("elsewhere"), 0, 0))

    assert s.node.counters["welcome_ignored"] == 1


def test_channel_opened_late_is_announced_before_it_is_welcomed() -> None:
    """The peer knows what the welcome is about when it comes (R4)."""
    s = Scripted()
    s.greet(ANNE, "anne", interest("anne", name="later"), interest("anne", name="never"))
    s.clear()

    mine = interest("mine", name="later")
    s.node.open_channel(mine, s.now)
    s.step()

    kinds = [type(p) for p in s.sent(object, ANNE)]
    assert kinds[:2] == [Announce, Welcome]
    assert s.sent(Announce) == [Announce((mine,))]


def test_channel_that_only_we_are_in_is_met_with_nobody() -> None:
    """Peers without the channel hear of it and no more."""
    s = Scripted()
    s.greet(ANNE, "anne")
    s.clear()
    s.node.open_channel(interest("mine", name="later"), s.now)
    s.say(Announce((interest("anne", name="unheard"),)))

    assert s.sent(Welcome) == []


def test_altered_interest_is_announced_with_the_next_actions() -> None:
    """Several changes are one announcement, no change is none."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.node.alter_channel(interest("mine", "w", "x", age=100))
    s.node.alter_channel(interest("mine", "w", "x", "y", age=100))
    s.node.alter_channel(interest("mine", "w", "x", "y", age=100))
    s.step()
    s.step()

    assert s.sent(Announce) == [Announce((interest("mine", "w", "x", "y", age=100),))]


def test_peers_new_worker_is_routed_to() -> None:
    """An announcement changes who hosts whom at once."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.meet(BERT, "bert")
    assert s.channel.audience("new") is None

    s.say(Announce((interest("anne", "new"),)))

    assert s.channel.audience("new") == (ANNE,)


def test_message_for_a_worker_of_a_lost_peer_is_kept_for_it_alone() -> None:
    """It floods nobody else; once the peer is forgotten, a proxy may take it (R10, P20)."""
    s = Scripted()
    s.meet(ANNE, "anne", interest("anne", "x"))
    s.meet(BERT, "bert")
    s.link_down("tcp://anne")
    s.wait(1.1)
    assert s.seen(PeerGone) != []
    assert s.channel.audience("x") == (ANNE,)

    s.say(Announce((interest("bert", "x"),)), BERT)
    assert s.channel.audience("x") == (BERT,)
    s.say(Announce((interest("bert"),)), BERT)
    s.wait(DEFAULT.tombstone_secs)

    assert ANNE not in s.node.peers
    assert s.channel.audience("x") is None


def test_worker_of_a_peer_that_returned_is_routed_to() -> None:
    """It is what it was, and what it hosts no more is for everybody (R3)."""
    s = Scripted()
    s.meet(ANNE, "anne", interest("anne", "x", "y"))
    s.meet(BERT, "bert")
    s.link_down("tcp://anne")
    s.wait(1.1)
    s.link_up("tcp://anne")

    s.say(hello("anne", interest("anne", "x"), heard=s.token()))

    assert s.channel.audience("x") == (ANNE,)
    assert s.channel.audience("y") is None


def test_shared_worker_name_is_reported() -> None:
    """With both holders (R6, F10)."""
    s = Scripted()
    s.meet(ANNE, "anne", interest("anne", "x", age=1))
    s.meet(BERT, "bert")
    s.say(Announce((interest("bert", "x", age=2),)), BERT)

    assert s.seen(NameShared) == [NameShared(ROOM, "x", ANNE, BERT)]


# -- limits


def test_channels_and_subscribers_of_a_peer_are_bounded() -> None:
    """What exceeds the limits is counted and left out (R25)."""
    s = Scripted(replace(DEFAULT, max_channels=2, max_subscribers=1))
    many = tuple(interest("anne", name=f"c{i}") for i in range(4))
    s.greet(ANNE, "anne", *many)
    counted = s.node.counters["channels_over_limit"]
    s.say(Announce((interest("anne", "a", "b", name="c0"),)))
    s.say(Announce((many[0],)))

    assert counted == 4  # two in each hello
    assert s.node.counters["channels_over_limit"] == 4
    assert s.node.counters["subscribers_over_limit"] == 1


# -- going


def test_closed_channel_is_left_not_lost() -> None:
    """A peer that closes a channel stays linked (R23)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.say(Announce(closed=(ROOM, channel_id("unknown"))))

    (gone,) = s.seen(PeerGone)
    assert (gone.how, gone.reason) == (Departure.LEFT, "it closed the channel")
    assert s.channel.members == {}
    assert s.node.peers[ANNE].linked
    s.say(batch(1, b"late"))
    assert s.node.counters["batch_refused"] == 1


def test_peer_that_never_joined_is_not_told_gone() -> None:
    """Nobody was told that it came (R4)."""
    s = Scripted()
    s.greet(ANNE, "anne", interest("anne"))
    s.say(Bye())

    assert s.seen(PeerGone) == []
    assert s.channel.members == {}


def test_peer_that_goes_before_it_joined_takes_what_was_heard_of_it_along() -> None:
    """Its snapshots were delivered, so its going is told as well, once (R8, R24, F3)."""
    s = Scripted()
    s.greet(ANNE, "anne", interest("anne"))
    s.say(Welcome(ROOM, 0, 0, (b"snapshot",)))
    s.say(Bye())

    assert s.seen(PeerGone) == []
    (withdrew,) = s.seen(PeerWithdrew)
    assert (withdrew.node, withdrew.interest.runner) == (ANNE, "anne")
    assert withdrew.how is Departure.LEFT


def test_hello_that_names_fewer_channels_closes_the_others() -> None:
    """A hello is all of a node (R3)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.say(hello("anne", interest("anne", name="other")))

    assert [g.how for g in s.seen(PeerGone)] == [Departure.LEFT]


def test_closing_a_channel_sends_what_was_published_and_says_so() -> None:
    """The last words come before the announcement; other channels are not concerned (F25)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.node.open_channel(interest("mine", name="other"), s.now)
    s.clear()
    s.node.publish(s.channel, Plane.DATA, None, b"last")
    s.node.alter_channel(interest("mine", "x"))
    s.node.close_channel(ROOM)
    s.step()

    assert [type(a) for a in s.actions][0] is Publish
    assert s.sent(Announce) == [Announce(closed=(ROOM,))]
    assert ROOM not in s.node.channels
    s.say(Announce((interest("anne", "y"),)))
    assert s.events == []


def test_message_on_its_way_while_its_channel_closes_is_dropped() -> None:
    """Flushing a closed channel is nothing."""
    s = Scripted()
    s.meet(ANNE, "anne")
    channel = s.channel
    s.node.close_channel(ROOM)
    s.node.publish(channel, Plane.DATA, None, b"too late")
    s.step()

    assert s.published() == []


def test_reopened_channel_takes_nothing_of_its_former_life() -> None:
    """Neither timers nor numbers (R12)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.publish(b"a", b"b")
    s.say(batch(5, b"hole before"))
    s.node.close_channel(ROOM)
    s.channel = s.node.open_channel(interest("mine", age=200), s.now)
    s.clear()
    s.say(Welcome(ROOM, 0, 0))
    s.state(ANNE, Plane.DATA, cursor=2)
    s.publish(b"c")
    s.wait(1.0)

    ((_, sent),) = s.published()
    assert (sent.first, sent.previous) == (3, 2)
    assert names_of(s.seen(PeerJoined)) == ["anne"]


def test_lost_peer_is_owed_what_it_missed_when_it_comes_back() -> None:
    """What is published in its absence is kept for it (R3)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.meet(BERT, "bert")
    s.link_down("tcp://anne")
    s.wait(1.1)
    s.publish(b"missed")
    s.link_up("tcp://anne")

    s.say(hello("anne", interest("anne"), heard=s.token()))

    assert s.sent(Welcome, ANNE) == [Welcome(ROOM, 0, 0)]
    assert s.channel.outlets[Plane.DATA].behind_msgs(ANNE) == 1
    s.reader(ANNE, True)
    s.say(Status(0, True))
    s.state(ANNE, Plane.SYSTEM, cursor=0)
    assert s.seen(PeerJoined) == []
    s.say(Welcome(ROOM, 0, 0))
    s.state(ANNE, Plane.SYSTEM, cursor=0)
    assert names_of(s.seen(PeerJoined)) == ["anne"]


@pytest.mark.parametrize("plane", Plane)
def test_peer_that_comes_back_can_take_what_it_missed(plane: Plane) -> None:
    """It follows what the peer has, not what others were sent meanwhile (R12, R14)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.meet(BERT, "bert")
    s.publish(b"for all", plane=plane)
    s.state(ANNE, plane, cursor=1)
    s.publish(b"for bert", to=(BERT,), plane=plane)
    s.link_down("tcp://anne")
    s.wait(1.1)
    s.publish(b"missed", plane=plane)
    s.clear()

    s.link_up("tcp://anne")
    s.say(hello("anne", interest("anne"), heard=s.token()))
    s.reader(ANNE, True)
    s.say(Status(0, True))
    s.say(Welcome(ROOM, 0, 0))
    s.state(ANNE, plane, cursor=1)
    sent = s.sent(Batch, ANNE) if plane is Plane.SYSTEM else [b for _, b in s.published()]
    assert [(b.first, b.previous, b.bodies) for b in sent] == [(3, 1, (b"missed",))]


def test_reconnect_within_the_grace_needs_no_welcome() -> None:
    """The streams are numbered and repair themselves (R16)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.link_down("tcp://anne")
    s.link_up("tcp://anne")
    s.say(hello("anne", interest("anne"), heard=s.token()))

    assert s.sent(Welcome) == []
    assert s.events == []


def test_reconnect_before_the_welcome_was_confirmed_says_it_again() -> None:
    """It may have been lost with the connection (R4)."""
    s = Scripted()
    s.greet(ANNE, "anne", interest("anne"))
    s.link_down("tcp://anne")
    s.clear()
    s.link_up("tcp://anne")

    s.say(hello("anne", interest("anne"), heard=s.token()))

    assert s.sent(Welcome) == [Welcome(ROOM, 0, 0)]


def test_busy_peer_is_reported_on_the_channels_it_joined() -> None:
    """And on no others (R20)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.node.open_channel(interest("mine", name="other"), s.now)
    s.wait(5.0)

    assert [e.channel for e in s.seen(PeerBusy)] == [ROOM]


# -- names


def test_two_live_runners_of_one_name_are_told_and_the_older_stays() -> None:
    """After time enough for a quick restart, once (R6, F10)."""
    s = Scripted()
    s.meet(ANNE, "anne", interest("anne", age=1))
    s.greet(BERT, "bert", interest("anne", age=2))
    assert s.seen(PeerRefused) == []

    s.say(Announce((interest("anne", "x", age=2),)), BERT)
    s.wait(2.5 * DEFAULT.grace_secs)

    (refused,) = s.seen(PeerRefused)
    assert refused.node == BERT
    assert "'anne' is taken by an older runner" in refused.text
    assert [r.reason for r in s.sent(Refuse, BERT)] == [Refusal.RUNNER_NAME]
    assert names_of(s.seen(PeerJoined)) == []


def test_younger_runner_is_admitted_when_the_older_leaves() -> None:
    """A restart that comes before the death is noticed is no conflict (R6, F9)."""
    s = Scripted()
    s.meet(ANNE, "anne", interest("same", age=1))
    s.greet(BERT, "bert", interest("same", age=2))
    s.say(Welcome(ROOM, 0, 0), BERT)
    assert s.node.counters["welcome_ignored"] == 1
    assert s.sent(Welcome, BERT) == []

    s.say(Bye())

    assert len(s.sent(Welcome, BERT)) == 1
    s.wait(3.0)
    assert s.seen(PeerRefused) == []


def test_joined_runner_that_an_older_one_displaces_is_gone() -> None:
    """Whoever met the younger first is told (R6)."""
    s = Scripted()
    s.meet(ANNE, "anne", interest("same", age=2))
    s.greet(BERT, "bert", interest("same", age=1))

    (gone,) = s.seen(PeerGone)
    assert (gone.node, gone.reason) == (ANNE, "an older runner has the same name")
    assert ANNE not in s.channel.outlets[Plane.DATA].readers


def test_node_with_an_older_namesake_is_told_by_it_and_joins_nobody() -> None:
    """The younger refuses nobody itself (R6)."""
    s = Scripted()
    s.meet(BERT, "bert")
    s.greet(ANNE, "anne", interest("mine", age=1))
    assert [g.node for g in s.seen(PeerGone)] == [BERT]
    s.wait(3.0)
    assert s.seen(PeerRefused) == []

    s.say(Refuse(Refusal.RUNNER_NAME, "take another", ROOM))
    s.say(Refuse(Refusal.RUNNER_NAME, "of no concern", channel_id("unknown")))

    assert [r.text for r in s.seen(PeerRefused)] == ["take another"]
    s.say(Announce((interest("bert", "x"),)), BERT)
    s.wait(3.0)
    assert s.sent(Refuse) == []


def test_unreached_stranger_takes_nobodys_name() -> None:
    """Only who answers at its address counts in matters of names (R6, R26)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.say(hello("bert", interest("anne", age=0), interest("mine", age=0)), BERT)
    s.wait(3.0)

    assert s.channel.admitted
    assert s.seen(PeerGone) == []
    assert s.seen(PeerRefused) == []


def test_two_channel_names_with_one_id_are_told() -> None:
    """Names are compared in full (R25)."""
    s = Scripted()
    s.greet(ANNE, "anne", replace(interest("anne"), name="not the room"))

    assert "'not the room' and 'room' have the same id" in s.seen(PeerRefused)[0].text
    assert s.sent(Refuse)[-1].reason is Refusal.CHANNEL_ID
    assert s.channel.members == {}
    s.say(Announce(closed=(ROOM,)))
    assert s.seen(PeerGone) == []


# -- sending


def test_broadcast_on_the_system_plane_goes_to_every_reader_by_its_link() -> None:
    """Data is published once for all; system messages take each link (R2)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.meet(BERT, "bert")
    s.publish(b"data")
    s.publish(b"system", plane=Plane.SYSTEM)
    s.publish(b"targeted", plane=Plane.SYSTEM, to=(BERT,))

    assert [(r, b.bodies) for r, b in s.published()] == [(None, (b"data",))]
    assert [b.bodies for b in s.sent(Batch, ANNE)] == [(b"system",)]
    assert [b.bodies for b in s.sent(Batch, BERT)] == [(b"system",), (b"targeted",)]


def test_lagging_reader_is_sent_nothing_and_the_others_everything() -> None:
    """What cannot be taken is not queued on the way, where only messages are counted (R17, Z29)."""
    s = Scripted(replace(DEFAULT, window_msgs=2))
    s.meet(ANNE, "anne")
    s.meet(BERT, "bert")
    for body in (b"1", b"2", b"3"):
        s.publish(body)
    s.say(Status(0, True, states=(StreamState(ROOM, Plane.DATA, cursor=3),)), BERT)
    assert s.node.give_up_waiting(s.channel, Plane.DATA, s.now) == [ANNE]
    s.publish(b"4")
    s.publish(b"for anne", to=(ANNE,))
    s.publish(b"for bert", to=(BERT,))

    assert [(r, b.bodies) for r, b in s.published()] == [
        (None, (b"1",)),
        (None, (b"2",)),
        (None, (b"3",)),
        (BERT, (b"4",)),
        (BERT, (b"for bert",)),
    ]
    s.say(Nack(ROOM, Plane.DATA, 3, 5), ANNE)
    assert [(r, b.bodies) for r, b in s.published()][5:] == [(ANNE, (b"4", b"for anne"))]
    s.say(Status(0, True, states=(StreamState(ROOM, Plane.DATA, cursor=5),)), ANNE)
    s.publish(b"for all")
    assert [(r, b.bodies) for r, b in s.published()][6:] == [(None, (b"for all",))]


def test_lost_peer_that_returns_under_a_name_that_is_taken_is_owed_nothing() -> None:
    """It may take part no more, so nothing is kept for it (R6, R15)."""
    s = Scripted()
    s.meet(ANNE, "anne", interest("desk", "x", age=5))
    s.link_down("tcp://anne")
    s.wait(1.1)
    s.publish(b"missed")
    s.meet(BERT, "bert", interest("desk", "y", age=1))
    assert s.channel.outlets[Plane.DATA].kept == (1, 6)
    s.link_up("tcp://anne")

    s.say(hello("anne", interest("desk", "x", age=5), heard=s.token()))

    assert s.channel.outlets[Plane.DATA].kept == (0, 0)
    assert s.channel.audience("x") is None
    s.wait(3.0)
    assert [r.channel for r in s.sent(Refuse, ANNE)] == [ROOM]
