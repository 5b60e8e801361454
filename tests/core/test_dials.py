"""Addresses that are tried, and how they prove themselves."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

from support.scripted import ANNE, BERT

from zmqbus.config import DEFAULT
from zmqbus.core.dials import Dials
from zmqbus.core.outbox import Dial, Hangup, Outbox
from zmqbus.core.timers import Timers


class Table:
    """A table of dials with what it works on."""

    def __init__(self, max_dials: int = 8) -> None:
        self.timers, self.out, self.counters = Timers(), Outbox(), Counter[str]()
        config = replace(DEFAULT, max_dials=max_dials)
        self.dials = Dials(config, random.Random(1), self.timers, self.out, self.counters)

    def up(self, dial: int) -> int:
        """Its connection is made and its hello said; returns the token."""
        self.dials[dial].up = True
        self.dials.renew_token(dial)
        return self.dials[dial].token


def test_address_is_dialled_once() -> None:
    """All new addresses are tried in parallel, none twice (R31)."""
    table = Table()
    table.dials.open(("tcp://a", "tcp://b"), None, 0.0)
    table.dials.open(("tcp://b",), ANNE, 0.0)

    assert table.out.take_actions() == [Dial(1, "tcp://a"), Dial(2, "tcp://b")]
    assert list(table.dials) == [1, 2]
    assert 2 in table.dials
    assert 3 not in table.dials


def test_dials_over_the_limit_are_counted() -> None:
    """At most ``max_dials`` addresses are tried at once, fewer if told so (R25)."""
    table = Table(max_dials=2)
    table.dials.open(("tcp://a",), None, 0.0)
    table.dials.open(("tcp://b",), None, 0.0, limit=1)
    table.dials.open(("tcp://c", "tcp://d"), None, 0.0)

    assert table.out.take_actions() == [Dial(1, "tcp://a"), Dial(2, "tcp://c")]
    assert table.counters["dials_over_limit"] == 2


def test_dial_belongs_to_whoever_repeats_its_token() -> None:
    """Hearsay of who listens where does not keep the true owner out (R26)."""
    table = Table()
    table.dials.open(("tcp://a",), BERT, 0.0)
    token = table.up(1)

    assert table.dials.prove(token, ANNE) == 1
    assert [dial for dial, _ in table.dials.of(ANNE)] == [1]
    assert table.dials.of(BERT) == []
    assert table.dials.prove(token, BERT) is None


def test_wrong_token_proves_nothing() -> None:
    """Neither a guess, nor an old token, nor a dial that is down counts."""
    table = Table()
    table.dials.open(("tcp://a",), None, 0.0)
    assert table.dials.prove(table.dials[1].token, ANNE) is None
    old = table.up(1)
    new = table.up(1)

    assert table.dials.prove(old, ANNE) is None
    assert table.dials.prove(new + 1, ANNE) is None
    assert table.dials.prove(99 << 31, ANNE) is None
    table.dials[1].up = False
    assert table.dials.prove(new, ANNE) is None


def test_unproven_dial_has_a_deadline_and_a_proven_one_none() -> None:
    """Only proof keeps a dial."""
    table = Table()
    table.dials.open(("tcp://a",), None, 0.0)
    assert table.timers.next_due() == DEFAULT.dial_timeout_secs

    table.dials.prove(table.up(1), ANNE)

    assert table.timers.next_due() is None


def test_hung_up_dial_is_forgotten() -> None:
    """Its number leads nowhere, and its address may be tried again."""
    table = Table()
    table.dials.open(("tcp://a", "tcp://b"), ANNE, 0.0)
    table.dials.open(("tcp://c",), None, 0.0)
    token = table.up(1)
    table.dials.hang_up(1)
    table.dials.hang_up(3)

    assert table.dials.get(1) is None
    assert table.dials.at("tcp://a") == []
    assert table.dials.prove(token, ANNE) is None
    assert table.out.take_actions()[3:] == [Hangup(1), Hangup(3)]
    table.dials.open(("tcp://a",), None, 0.0)
    assert table.out.take_actions() == [Dial(4, "tcp://a")]


def test_address_of_a_silent_peer_is_dialled_for_somebody_else() -> None:
    """Another node may own the address by now; while the peer answers, it does not (R5)."""
    table = Table()
    table.dials.open(("tcp://a",), ANNE, 0.0)
    table.dials.prove(table.up(1), ANNE)
    table.dials.open(("tcp://a",), BERT, 0.0)
    assert list(table.dials) == [1]

    table.dials[1].up = table.dials[1].proven = False
    table.dials.open(("tcp://a",), ANNE, 0.0)
    assert list(table.dials) == [1]
    table.dials.open(("tcp://a",), BERT, 0.0)
    assert list(table.dials) == [1, 2]


def test_two_dials_of_one_address_are_told_apart() -> None:
    """Hanging up one of them leaves the other."""
    table = Table()
    table.dials.open(("tcp://a",), ANNE, 0.0)
    table.dials.prove(table.up(1), ANNE)
    table.dials[1].proven = False
    table.dials.open(("tcp://a",), None, 0.0)

    table.dials.expect(("tcp://a", "tcp://unknown"), BERT)
    table.dials.hang_up(2)

    assert table.dials.at("tcp://a") == [table.dials[1]]
    assert table.dials.of(BERT) == []


def test_shunned_address_is_tried_again_later() -> None:
    """An address that turned us down is left alone for a while, not for ever."""
    table = Table()
    table.dials.open(("tcp://a",), None, 0.0)

    assert table.dials.shun(1, 5.0) == "tcp://a"
    assert table.dials.is_shunned("tcp://a")
    assert table.timers.next_due() == 5.0 + DEFAULT.tombstone_secs
    table.dials.unshun("tcp://a")
    assert not table.dials.is_shunned("tcp://a")


def test_own_token_reveals_a_dial_to_oneself() -> None:
    """A hello with a token of ours comes from a dial of ours."""
    table = Table()
    table.dials.open(("tcp://me",), None, 0.0)
    token = table.up(1)

    assert table.dials.mine(token) == 1
    assert table.dials.mine(token + 1) is None
    assert table.dials.mine(5 << 31) is None
