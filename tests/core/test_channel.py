"""One channel: whom a message is for, who may speak as whom, who holds a name."""

from __future__ import annotations

from support.scripted import ANNE, BERT, ME, ROOM, interest

from zmqbus.config import DEFAULT
from zmqbus.core.channel import Channel, Membership
from zmqbus.packets import Interest, NodeId, Plane


def channel(mine: Interest | None = None, **members: Interest) -> Channel:
    """A channel with these members, all linked."""
    made = Channel(ME, mine or interest("mine", "w", age=10), DEFAULT)
    for name, its in members.items():
        add(made, {"anne": ANNE, "bert": BERT}[name], its)
    return made


def add(made: Channel, node: NodeId, its: Interest) -> list[tuple[str, NodeId, NodeId]]:
    """A member comes; returns the names that came to be shared."""
    made.members[node] = Membership(its, present=True)
    for outlet in made.outlets:
        outlet.add_reader(node)
    return settle(made, node)


def settle(made: Channel, node: NodeId) -> list[tuple[str, NodeId, NodeId]]:
    """A member has changed; returns the names that came to be shared."""
    changed = made.settle_names(node)
    return [shared for n in {**dict.fromkeys(changed), node: None} for shared in made.reroute(n)]


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

    assert add(made, BERT, interest("bert", "x", age=1)) == [("x", BERT, ANNE)]
    assert made.reroute(BERT) == []
    assert made.audience("x") == (BERT,)
    assert made.members[BERT].admitted


def test_name_that_is_here_and_on_peers_stays_here_and_is_reported() -> None:
    """What is sent here goes to this node, however young; each new sharer is told (R6, F10)."""
    made = channel(interest("mine", "x", age=9), anne=interest("anne", "y", age=1))
    made.members[ANNE].interest = interest("anne", "x", age=1)

    assert made.reroute(ANNE) == [("x", ME, ANNE)]
    assert made.reroute(ANNE) == []
    assert made.audience("x") == ()
    assert made.hosts == {"x": (ANNE,)}


def test_name_that_comes_to_be_here_too_is_reported() -> None:
    """When this node takes a worker that a peer has, and only then (R6, F10)."""
    made = channel(anne=interest("anne", "x", age=1))

    assert made.alter(interest("mine", "w", "x", age=10)) == [("x", ME, ANNE)]
    assert made.alter(interest("mine", "x", "y", age=10)) == []


def test_name_of_who_went_goes_to_who_is_left() -> None:
    """Hosts and observers follow who is here (R24)."""
    made = channel(
        anne=interest("anne", "x", age=1, observe_all=True), bert=interest("bert", "x", age=2)
    )
    assert made.audience("x") == (ANNE,)

    made.members[ANNE].present = False
    assert settle(made, ANNE) == []

    assert made.hosts == {"x": (BERT,)}
    assert made.observers == ()
    made.outlets[Plane.DATA].drop_reader(BERT)
    assert made.reroute(BERT) == []
    assert made.hosts == {}


def test_oldest_runner_holds_the_name() -> None:
    """Age decides, then the node's id; a mere observer competes with nobody (R6)."""
    made = channel(anne=interest("same", age=2), bert=interest("same", age=1))
    assert [n for n, m in made.members.items() if m.admitted] == [BERT]
    assert made.owner_of("same") == BERT
    assert made.owner_of("mine") == ME
    assert made.owner_of("nobody") is None

    made.members[BERT].present = False
    assert made.settle_names(BERT) == [BERT, ANNE]
    assert made.admitted
    assert made.members[ANNE].admitted

    made = channel(interest("", age=9), anne=interest("", age=1))
    assert made.admitted
    assert made.members[ANNE].admitted


def test_node_whose_name_an_older_runner_has_admits_nobody() -> None:
    """The younger of two is not part of the channel (R6)."""
    made = channel(anne=interest("mine", age=1), bert=interest("bert"))

    assert not made.admitted
    assert [n for n, m in made.members.items() if m.admitted] == []


def test_node_gets_its_name_when_the_older_runner_gives_it_up() -> None:
    """And then admits everybody whose name is free (R6)."""
    made = channel(anne=interest("mine", age=1), bert=interest("bert"))

    made.members[ANNE].interest = interest("other", age=1)

    assert made.settle_names(ANNE) == [ANNE, BERT]
    assert made.admitted


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
