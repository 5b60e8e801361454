"""Liars: counted, refused when they persist, and nobody else's business (R26a)."""

from __future__ import annotations

import pytest
from support.scripted import ANNE, BERT, ME, ROOM, Scripted, batch, hello, interest

from zmqbus.config import DEFAULT
from zmqbus.core.conduct import FAULTS_SECS, MOST_FAULTS
from zmqbus.core.outbox import Delivered, Departure, Hangup, PeerGone, PeerRefused
from zmqbus.packets import (
    NOBODY,
    Nack,
    NodeId,
    Packet,
    Plane,
    Refusal,
    Refuse,
    Status,
    StreamState,
)


@pytest.fixture
def s() -> Scripted:
    """A node that Anne and Bert have joined, and that has sent two messages to both."""
    made = Scripted()
    made.meet(ANNE, "anne")
    made.meet(BERT, "bert")
    made.publish(b"a", b"b")
    made.state(ANNE, Plane.DATA, cursor=1)
    made.clear()
    return made


def ack(cursor: int) -> Packet:
    """An acknowledgement of the data up to there."""
    return Status(0, True, states=(StreamState(ROOM, Plane.DATA, -1, cursor),))


LIES = {
    "ack of what was not sent": (ack(3), "ack_impossible"),
    "cursor that goes back": (ack(0), "ack_impossible"),
    "nack for the future": (Nack(ROOM, Plane.DATA, 0, 3), "nack_impossible"),
    "nack for nothing": (Nack(ROOM, Plane.DATA, 2, 2), "nack_impossible"),
    "empty batch": (batch(9), "batch_empty"),
}


@pytest.mark.parametrize(("lie", "counter"), LIES.values(), ids=LIES)
def test_liar_that_persists_is_refused_with_a_reason(
    s: Scripted, lie: Packet, counter: str
) -> None:
    """It is told, hung up and buried; so many lies are forgiven, one more is not."""
    for _ in range(MOST_FAULTS):
        s.say(lie)
    s.wait(0.0)
    assert s.seen(PeerRefused) == []
    assert s.node.counters[counter] == MOST_FAULTS

    s.say(lie)
    s.wait(0.0)

    (told,) = s.sent(Refuse, ANNE)
    assert (told.reason, told.text) == (
        Refusal.MISCONDUCT,
        f"it broke the protocol {MOST_FAULTS + 1} times within {FAULTS_SECS:g} s",
    )
    (refused,) = s.seen(PeerRefused)
    assert refused.channel is None
    assert refused.text == f"the node with pid 1 on host is refused: {told.text}"
    assert [(g.node, g.how) for g in s.seen(PeerGone)] == [(ANNE, Departure.LOST)]
    assert len(s.did(Hangup)) == 1
    assert ANNE not in s.node.peers


def test_refused_liar_is_not_listened_to_for_a_while(s: Scripted) -> None:
    """Neither its hellos nor anything else; afterwards it may try again (R10)."""
    for _ in range(MOST_FAULTS + 1):
        s.say(ack(3))
    s.wait(0.0)
    s.clear()

    assert s.say(hello("anne", interest("anne")), ANNE, NOBODY) is None
    s.say(ack(3))
    assert (s.actions, s.events, list(s.node.peers)) == ([], [], [BERT])

    s.wait(DEFAULT.tombstone_secs)
    s.greet(ANNE, "anne", interest("anne"))
    assert s.node.peers[ANNE].confirmed


def test_lies_of_one_peer_harm_no_other(s: Scripted) -> None:
    """What Bert is owed stays, and what he says is delivered."""
    for _ in range(MOST_FAULTS + 1):
        s.say(ack(3))
    s.wait(0.0)
    s.say(batch(1, b"from bert"), BERT)

    assert [e.node for e in s.seen(Delivered)] == [BERT]
    assert s.channel.outlets[Plane.DATA].behind_msgs(BERT) == 2
    s.say(Nack(ROOM, Plane.DATA, 0, 2), BERT)
    assert [(to, b.bodies) for to, b in s.published()] == [(BERT, (b"a", b"b"))]


def test_faults_are_forgiven_with_time(s: Scripted) -> None:
    """Many over a long time are no persistence."""
    for _ in range(3):
        for _ in range(MOST_FAULTS):
            s.say(ack(3))
        s.wait(FAULTS_SECS + 0.1)
        s.reader(ANNE, True)

    assert s.seen(PeerRefused) == []
    assert ANNE in s.node.peers


def test_node_that_is_refused_says_so_and_lets_go(s: Scripted) -> None:
    """Both sides report it (R26a)."""
    s.say(Refuse(Refusal.MISCONDUCT, "it broke the protocol"))

    (refused,) = s.seen(PeerRefused)
    text = "the node with pid 1 on host refuses this node: it broke the protocol"
    assert (refused.channel, refused.node, refused.text) == (None, ANNE, text)
    assert [g.reason for g in s.seen(PeerGone)] == [text]
    assert ANNE not in s.node.peers


def test_fault_of_a_peer_of_a_node_that_leaves_is_only_counted(s: Scripted) -> None:
    """There is nobody to refuse any more."""
    s.node.leave("bye")
    for _ in range(MOST_FAULTS + 1):
        s.say(batch(9))

    assert s.node.counters["batch_empty"] == MOST_FAULTS + 1
    assert s.node.deadline() is None


def test_stranger_cannot_be_accused(s: Scripted) -> None:
    """What nobody said it is counts for nobody."""
    s.say(batch(9), NodeId(b"stranger"), ME)

    assert s.node.counters["batch_refused"] == 1
