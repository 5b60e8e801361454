"""One channel: whom a message is for, who may speak as whom, who holds a name."""

from __future__ import annotations

from support.scripted import ANNE, BERT, ME, ROOM, interest

from zmqbus.config import DEFAULT
from zmqbus.core.channel import Channel, Membership
from zmqbus.packets import Interest, NodeId


def channel(mine: Interest | None = None, **members: Interest) -> Channel:
    """A channel with these members, all linked."""
    made = Channel(ME, mine or interest("mine", "w", age=10), DEFAULT)
    for name, its in members.items():
        node = {"anne": ANNE, "bert": BERT}[name]
        made.members[node] = Membership(its, present=True)
        for outlet in made.outlets:
            outlet.add_reader(node)
    made.settle_names()
    made.rebuild_routes()
    return made


def test_message_goes_to_those_who_can_receive_it() -> None:
    """Targeted: its host and observers; broadcast or unknown target: all (ARCHITECTURE 1)."""
    made = channel(
        anne=interest("anne", "a", age=1), bert=interest("bert", "b", age=2, observe_all=True)
    )

    assert made.audience(None) is None
    assert made.audience("a") == (ANNE, BERT)
    assert made.audience("b") == (BERT,)
    assert made.audience("w") == (BERT,)
    assert made.audience("nobody") is None


def test_message_leaves_only_if_somebody_is_elsewhere() -> None:
    """Without readers there is no audience."""
    made = channel()

    assert made.audience(None) == ()
    assert made.audience("a") == ()


def test_peer_speaks_for_itself_and_for_nobody_else() -> None:
    """A source that belongs to another runner, or to us, is not its own (R31a)."""
    made = channel(anne=interest("anne", "a"), bert=interest("bert", "b"))

    assert made.may_speak_as(ANNE, "a")
    assert made.may_speak_as(ANNE, "unknown")
    assert not made.may_speak_as(ANNE, "b")
    assert not made.may_speak_as(ANNE, "w")


def test_name_of_two_hosts_goes_to_the_oldest_and_is_reported_once() -> None:
    """Two live workers with one name: one gets the mail (R6, F10)."""
    made = channel(anne=interest("anne", "x", age=2))
    node = made.members[BERT] = Membership(interest("bert", "x", age=1), present=True)
    for outlet in made.outlets:
        outlet.add_reader(BERT)
    made.settle_names()

    assert made.rebuild_routes() == [("x", BERT, ANNE)]
    assert made.rebuild_routes() == []
    assert made.audience("x") == (BERT,)
    assert node.admitted


def test_name_that_is_here_and_on_peers_stays_here_and_is_reported() -> None:
    """What is sent here goes to this node, however young; each new sharer is told (R6, F10)."""
    made = channel(interest("mine", "x", age=9), anne=interest("anne", "y", age=1))
    made.members[ANNE].interest = interest("anne", "x", age=1)

    assert made.rebuild_routes() == [("x", ME, ANNE)]
    assert made.rebuild_routes() == []
    assert made.audience("x") == ()
    assert made.hosts["x"] == (ANNE,)


def test_oldest_runner_holds_the_name() -> None:
    """Age decides, then the node's id; a mere observer competes with nobody (R6)."""
    made = channel(anne=interest("same", age=2), bert=interest("same", age=1))
    assert [n for n, m in made.members.items() if m.admitted] == [BERT]
    assert made.owner_of("same") == BERT
    assert made.owner_of("mine") == ME
    assert made.owner_of("nobody") is None

    made.members[BERT].present = False
    assert made.settle_names() == [ANNE, BERT]
    assert made.admitted

    made = channel(interest("", age=9), anne=interest("", age=1))
    assert made.admitted
    assert made.members[ANNE].admitted


def test_node_whose_name_an_older_runner_has_admits_nobody() -> None:
    """The younger of two is not part of the channel (R6)."""
    made = channel(anne=interest("mine", age=1), bert=interest("bert"))

    assert not made.admitted
    assert [n for n, m in made.members.items() if m.admitted] == []


def test_peer_is_called_by_its_runners_name() -> None:
    """People know names; an observer has only its id."""
    made = channel(anne=interest("anne"), bert=interest(""))

    assert made.name_of(ANNE) == "anne"
    assert made.name_of(ME) == "mine"
    assert made.name_of(BERT) == BERT.hex()[:8]
    assert made.name_of(NodeId(b"stranger")) == b"stranger".hex()[:8]


def test_streams_number_on_from_a_former_life() -> None:
    """Both planes start after the same number (R12)."""
    made = Channel(ME, interest("mine"), DEFAULT, 7)

    assert [outlet.head for outlet in made.outlets] == [7, 7]
    assert made.outlets[0].channel == ROOM
