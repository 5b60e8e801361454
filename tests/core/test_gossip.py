"""Gossip of members: who is told of whom, and what hearsay may cost."""

from __future__ import annotations

from dataclasses import replace

from support.scripted import ANNE, BERT, Scripted, hello, interest

from zmqbus.config import DEFAULT
from zmqbus.core.outbox import (
    Dial,
)
from zmqbus.packets import (
    NOBODY,
    Announce,
    Hello,
    Member,
    Members,
    NodeId,
    Status,
)


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


def test_newcomer_that_dials_as_many_is_told_nothing() -> None:
    """Of a thousand that it meets one tells it of all, not each of them (R9)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.say(hello("bert", interest("bert"), known=2), BERT, NOBODY)
    s.link_up("tcp://bert")
    s.say(hello("bert", interest("bert"), known=2, heard=s.token()), BERT)
    s.reader(BERT, True)
    s.say(Status(0, True), BERT)

    assert s.sent(Members, BERT) == []


def test_hello_says_how_many_are_dialled_too() -> None:
    """Whoever was named needs not be named again (R9)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.say(Members((Member(BERT, ("tcp://bert",)),)))
    s.node.discovered(("tcp://seed",), s.now)
    s.step()
    s.link_up("tcp://seed")

    assert s.sent(Hello)[-1].known == 2


def test_peer_that_opens_a_channel_is_told_who_is_there() -> None:
    """What was no matter at the first meeting is told when it is (R9)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.greet(BERT, "bert", interest("bert", name="elsewhere"))
    s.reader(BERT, True)
    s.say(Status(0, True), BERT)
    s.clear()

    s.say(Announce((interest("bert"),)), BERT)

    (told,) = s.sent(Members, BERT)
    assert told.members == (Member(ANNE, ("tcp://anne",)),)


def test_newcomer_that_knows_half_is_told_of_some() -> None:
    """It was away, or has others to ask: of a thousand each would tell it of a thousand (R9)."""
    s = Scripted()
    for number in range(70):
        s.meet(NodeId(b"peer%04d" % number), f"peer{number}")
    s.clear()
    for node, known in ((ANNE, 35), (BERT, 36)):
        greeting = hello(node.decode(), interest(node.decode()), known=known)
        s.say(greeting, node, NOBODY)
        s.link_up(f"tcp://{node.decode()}")
        s.say(replace(greeting, heard=s.token()), node)
        s.reader(node, True)
        s.say(Status(0, True), node)

    told = [
        len({m.node for t in s.sent(Members, node) for m in t.members}) for node in (ANNE, BERT)
    ]
    assert told[0] == 70
    assert 60 < told[1] <= 64


def test_gossip_of_a_large_mesh_tells_of_some() -> None:
    """All of them, told again and again, would be most of its traffic (R9)."""
    s = Scripted()
    peers = [NodeId(b"peer%04d" % number) for number in range(66)]
    for number, peer in enumerate(peers):
        s.meet(peer, f"peer{number}")
    s.node.advance(s.now + DEFAULT.gossip_secs)
    s.step()

    (told,) = s.sent(Members)
    assert 63 <= len({m.node for m in told.members} & set(peers)) <= 64


def test_gossip_tells_a_random_linked_peer_now_and_then() -> None:
    """What the first meeting missed heals (R9)."""
    s = Scripted()
    s.wait(DEFAULT.gossip_secs)
    assert s.sent(Members) == []
    s.meet(ANNE, "anne")
    s.meet(BERT, "bert")

    s.wait(DEFAULT.gossip_secs)

    assert len(s.sent(Members)) == 1


def test_loopback_addresses_are_not_told_to_another_host() -> None:
    """There they would mean that host itself; what can be reached from it is told (R31)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.meet(BERT, "bert")
    anne, bert = s.node.peers[ANNE], s.node.peers[BERT]
    here = ("tcp://127.0.0.1:1", "ipc:///run/x", "tcp://[::1]:1")
    anne.hello = replace(anne.hello, endpoints=(*here, "tcp://192.0.2.1:1"))

    s.say(Announce((interest("bert", name="new"),)), BERT)
    bert.hello = replace(bert.hello, host="elsewhere")
    s.say(Announce((interest("bert", name="newer"),)), BERT)
    anne.hello = replace(anne.hello, endpoints=here)
    s.say(Announce((interest("bert", name="newest"),)), BERT)

    told = [m.members[0].endpoints for m in s.sent(Members, BERT)]
    assert told == [(*here, "tcp://192.0.2.1:1"), ("tcp://192.0.2.1:1",)]
