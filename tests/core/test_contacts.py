"""Contacts: which addresses are worth a dial, whose data is read, who is buried."""

from __future__ import annotations

from dataclasses import replace

from support.scripted import ANNE, BERT, Scripted, hello

from zmqbus.config import DEFAULT
from zmqbus.core.outbox import (
    Attach,
    Detach,
    Dial,
)
from zmqbus.packets import (
    NOBODY,
    Bye,
    Member,
    Members,
    NodeId,
)


def test_address_without_a_data_address_of_its_own_takes_the_first() -> None:
    """Any XPUB address will do where there is no pair."""
    s = Scripted()
    both = ("tcp://a", "tcp://b")
    s.say(hello("anne", endpoints=both, data_endpoints=("tcp://d",)), ANNE, NOBODY)
    s.link_up("tcp://b")
    s.say(hello("anne", endpoints=both, data_endpoints=("tcp://d",), heard=s.token()))

    assert s.did(Attach) == [Attach("tcp://d")]


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
