"""Addresses that change while their node runs: whom to believe, and what becomes of the link."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.scripted import ANNE, BERT, ME, Scripted, hello, interest

from zmqbus.config import DEFAULT
from zmqbus.core.outbox import Attach, Detach, Dial, Hangup, PeerGone
from zmqbus.core.peers import PeerState, Whereabouts
from zmqbus.packets import NOBODY, Hello, Member, Members, Status

ROOM = interest("anne")
THERE = hello("there", ROOM)
BOTH = replace(
    hello("anne", ROOM),
    endpoints=("tcp://anne", "tcp://anna"),
    data_endpoints=("tcp://anne/data", "tcp://anna/data"),
)


def moved(s: Scripted, to: Hello = THERE) -> None:
    """The peer says where it is now, with the token it was told at its old address."""
    s.say(replace(to, heard=s.tokens["anne"]))


def test_peer_that_moved_is_dialled_and_read_where_it_is_now() -> None:
    """It repeats our token, so it is the peer; the first link stays until the new one is proven."""
    s = Scripted()
    s.meet(ANNE, "anne")
    moved(s)
    assert s.did(Dial) == [Dial(2, "tcp://there")]
    assert s.did(Hangup) == []

    s.link_up("tcp://there")
    s.say(Status(s.token(), True, met=5))

    assert s.did(Hangup) == [Hangup(1)]
    assert s.did(Detach) == [Detach("tcp://anne/data")]
    assert s.did(Attach) == [Attach("tcp://there/data")]
    assert s.node.peers[ANNE].state is PeerState.JOINED
    assert s.seen(PeerGone) == []


def test_old_link_that_still_answers_does_not_keep_the_new_one_from_being_tried() -> None:
    """What still comes of the old one is no reason to hang up on where the peer is."""
    s = Scripted()
    s.meet(ANNE, "anne")
    moved(s)
    s.say(Status(s.tokens["anne"], True, met=5))

    assert s.did(Hangup) == []
    s.link_up("tcp://there")
    s.say(Status(s.token(), True, met=5))
    assert s.did(Hangup) == [Hangup(1)]


def test_peer_that_is_back_where_it_was_keeps_its_link() -> None:
    """A second move home leaves the first link in use, and hangs up the other."""
    s = Scripted()
    s.meet(ANNE, "anne")
    moved(s)
    moved(s, hello("anne", ROOM))

    s.say(Status(s.tokens["anne"], True, met=5))
    assert s.did(Hangup) == [Hangup(2)]


def test_peer_may_move_twice_before_it_is_reached() -> None:
    """The token of the dial it has proven holds until another one is proven."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.link_down("tcp://anne")
    moved(s)
    moved(s, hello("beyond", ROOM))
    s.link_up("tcp://beyond")
    s.say(Status(s.token(), True, met=5))

    assert Attach("tcp://beyond/data") in s.did(Attach)
    assert s.node.peers[ANNE].confirmed


@pytest.mark.parametrize("heard", [0, 12345])
def test_who_cannot_repeat_our_token_moves_nobody(heard: int) -> None:
    """An incarnation moves only by a proof, else anybody could take it away (R1, X18)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.say(replace(THERE, heard=heard))

    assert s.did(Dial) == []
    assert s.node.counters["hello_unsound"] == 1


def test_token_of_another_peer_moves_nobody() -> None:
    """Bert knows the token of the dial to himself, and nothing of Anne's."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.meet(BERT, "bert")
    s.say(replace(THERE, heard=s.tokens["bert"]), ANNE)

    assert s.did(Dial) == []
    assert s.node.counters["hello_unsound"] == 1


def test_other_process_is_another_node_whatever_it_knows() -> None:
    """A process does not change into another one (R1)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    moved(s, replace(THERE, pid=2))

    assert s.node.counters["hello_unsound"] == 1


def test_two_that_move_at_once_believe_each_other() -> None:
    """Neither has heard the new token of the other; the last one it repeated will do."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.node.moved(Whereabouts("host", 1, ("tcp://new",), ("tcp://new/data",)), s.now)
    s.step()
    s.link_down("tcp://anne")
    s.clear()

    moved(s)
    assert s.did(Dial) == [Dial(2, "tcp://there")]


def test_peer_that_moved_unheard_proves_itself_where_discovery_says_it_is() -> None:
    """Who is reached nowhere may say its addresses with the first token it hears (R1a)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.link_down("tcp://anne")
    s.clear()
    s.node.discovered(("tcp://there",), s.now, ANNE, hearsay=True)
    s.step()
    s.link_up("tcp://there")
    s.say(replace(THERE, heard=s.token()))

    assert s.did(Attach) == [Attach("tcp://there/data")]
    assert s.node.peers[ANNE].confirmed


def test_peer_that_is_reached_is_not_led_away_by_a_token_from_elsewhere() -> None:
    """Somebody at an address that discovery named repeats what he was told there (X18)."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.node.discovered(("tcp://there",), s.now)
    s.step()
    s.link_up("tcp://there")
    s.say(replace(THERE, heard=s.token()))

    assert s.node.counters["hello_unsound"] == 1
    assert s.did(Attach) == []


def test_node_that_moved_says_so_until_it_is_heard() -> None:
    """Each link is told at once; a peer that only repeats the old token has not heard it."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.meet(BERT, "bert")
    s.link_down("tcp://bert")
    s.clear()

    s.node.moved(Whereabouts("host", 1, ("tcp://new",), ("tcp://new/data",)), s.now)
    s.step()
    assert [h.endpoints for h in s.sent(Hello, ANNE)] == [("tcp://new",)]
    assert s.sent(Hello, BERT) == []

    s.say(Status(s.tokens["anne"], True, met=5))
    s.wait(DEFAULT.hello_retry_secs)
    assert len(s.sent(Hello, ANNE)) == 2
    s.say(Status(s.token(), True, met=5))
    s.wait(3 * DEFAULT.hello_retry_secs)
    assert len(s.sent(Hello, ANNE)) == 2

    s.link_up("tcp://bert")
    assert s.sent(Hello, NOBODY)[0].endpoints == ("tcp://new",)


def test_broken_link_has_all_addresses_of_the_peer_tried_at_once() -> None:
    """Also those hung up when the first one proved itself: the interface may be gone (R5)."""
    s = Scripted()
    s.say(BOTH, ANNE, NOBODY)
    for endpoint in BOTH.endpoints:
        s.link_up(endpoint)
    s.say(replace(BOTH, heard=s.sent(Hello)[0].token))
    assert s.did(Hangup) == [Hangup(2)]
    s.clear()

    s.link_down("tcp://anne")
    assert s.did(Dial) == [Dial(3, "tcp://anna")]
    s.link_up("tcp://anna")
    s.say(Status(s.token(), True, met=5))
    assert s.did(Attach) == [Attach("tcp://anna/data")]
    assert s.did(Hangup) == [Hangup(1)]


def test_peer_whose_link_is_broken_is_tried_where_others_say_it_is() -> None:
    """Both may have moved at once, so that neither can tell the other."""
    s = Scripted()
    s.meet(ANNE, "anne")
    s.meet(BERT, "bert")
    s.link_down("tcp://anne")
    s.clear()

    s.say(Members((Member(ANNE, ("tcp://there",)),)), BERT)
    assert s.did(Dial) == [Dial(3, "tcp://there")]


def test_loopback_address_of_another_host_is_not_dialled() -> None:
    """It leads to this host; a node without a network has told it (R31, D02)."""
    s = Scripted()
    here = hello("anne", endpoints=("tcp://127.0.0.1:7000", "ipc:///x"))
    s.say(replace(here, host="elsewhere"), ANNE, NOBODY)
    assert s.did(Dial) == []
    s.say(here, BERT, NOBODY)
    assert [d.endpoint for d in s.did(Dial)] == ["tcp://127.0.0.1:7000", "ipc:///x"]


@pytest.mark.parametrize(
    ("dialled", "read"),
    [
        ("tcp://[fe80::1%3]:7000", "tcp://[fe80::1%3]:7001"),
        ("tcp://203.0.113.5:7000", "tcp://203.0.113.5:7001"),
        ("tcp://203.0.113.5:9", "ipc:///x.data"),
    ],
)
def test_address_that_the_peer_does_not_name_is_read_beside_it(dialled: str, read: str) -> None:
    """Link-local, or forwarded with the same ports: what answered is what works."""
    s = Scripted()
    s.node.discovered((dialled,), s.now, ANNE)
    s.step()
    s.link_up(dialled)
    s.say(
        hello(
            "anne",
            heard=s.token(),
            endpoints=("ipc:///x", "tcp://10.0.0.1:7000"),
            data_endpoints=("ipc:///x.data", "tcp://10.0.0.1:7001"),
        )
    )
    assert s.did(Attach) == [Attach(read)]


def test_hearsay_of_the_network_leaves_most_dials_to_others() -> None:
    """Whoever shouts there has few addresses tried at a time; who answers takes no room (X18)."""
    s = Scripted(replace(DEFAULT, max_dials=16))
    s.meet(ANNE, "anne")

    def shout() -> int:
        for number in range(9):
            s.node.discovered((f"tcp://10.0.0.{number}:1",), s.now, None, hearsay=True)
        s.step()
        return len(s.did(Dial))

    assert shout() == 2
    assert s.node.counters["dials_over_limit"] == 7
    s.node.discovered(("tcp://seed:1",), s.now)
    s.step()
    assert len(s.did(Dial)) == 3
    s.clear()
    s.wait(DEFAULT.dial_timeout_secs + 1)
    assert shout() == 2
    assert ME not in s.node.peers
