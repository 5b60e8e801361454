"""What is said and believed by mDNS: little of either."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zmqbus.net.adverts import (
    AGAIN_MAX_SECS,
    AGAIN_SECS,
    DIALS_PER_SEC,
    FILTER_BYTES,
    MAX_HOSTS,
    MAX_KNOWN,
    SERVICE,
    Advert,
    Board,
    make,
    node_of,
    read,
)
from zmqbus.packets import NodeId, channel_id

NODE = NodeId(b"nodenode")
ACME, OTHER = channel_id("acme"), channel_id("other")
NETWORKS = [ip_network("203.0.113.0/24"), ip_network("2001:db8::/64")]
TXT = {b"v": b"1-1", b"ch": bytes(FILTER_BYTES)}
INSTANCE = f"{NODE.hex()}.{SERVICE}"


def made(*endpoints: str) -> Advert:
    """What a node on the channel acme says of itself."""
    advert = make(NODE, endpoints, [ACME])
    assert advert is not None
    return advert


def test_what_is_said_is_understood() -> None:
    """Node, addresses and channels come out as they went in, IPv6 in brackets."""
    said = made("tcp://192.168.1.5:7000", "tcp://[fd00::5]:7000")
    heard = read(said.instance, said.port, said.hosts, dict(said.txt()), NETWORKS)
    assert heard == said
    assert heard.endpoints == ("tcp://192.168.1.5:7000", "tcp://[fd00::5]:7000")
    assert node_of(said.instance) == NODE


def test_only_what_others_can_dial_is_said() -> None:
    """Loopback is nobody else's; an instance has one port; without an address nothing is said."""
    assert made("tcp://127.0.0.1:1", "tcp://10.0.0.1:2", "tcp://10.0.0.2:3").hosts == ("10.0.0.1",)
    assert make(NODE, ("tcp://127.0.0.1:1", "tcp://[::1]:1"), [ACME]) is None


def test_channels_are_told_apart_and_cannot_be_read() -> None:
    """Who shares none is left alone; the same channels look different at each node (D13)."""
    advert = made("tcp://10.0.0.1:2")
    assert advert.may_take_part(ACME)
    assert not advert.may_take_part(OTHER)
    txt = b"".join(k + b"=" + v for k, v in advert.txt().items())
    assert b"acme" not in txt
    assert txt.find(ACME) < 0
    elsewhere = make(NodeId(b"anyother"), ("tcp://10.0.0.1:2",), [ACME])
    assert elsewhere is not None
    assert elsewhere.channels != advert.channels


def test_node_of_very_many_channels_may_be_on_any() -> None:
    """The filter stays as small as it is, and never denies a channel that is taken part in."""
    many = [channel_id(str(number)) for number in range(5_000)]
    advert = make(NODE, ("tcp://10.0.0.1:2",), many)
    assert advert is not None
    assert len(advert.channels) == FILTER_BYTES
    assert all(map(advert.may_take_part, many))


@pytest.mark.parametrize(
    ("instance", "port", "txt"),
    [
        ("printer._ipp._tcp.local.", 7000, {}),
        (f"printer.{SERVICE}", 7000, {}),
        (f"{NODE.hex().upper()}.{SERVICE}", 7000, {}),
        (f"{NODE.hex()}00.{SERVICE}", 7000, {}),
        (f"x.{INSTANCE}", 7000, {}),
        (f"{INSTANCE}\n", 7000, {}),
        (INSTANCE, None, {}),
        (INSTANCE, 0, {}),
        (INSTANCE, 65536, {}),
        (INSTANCE, 7000, {b"v": None}),
        (INSTANCE, 7000, {b"v": b""}),
        (INSTANCE, 7000, {b"v": b"1"}),
        (INSTANCE, 7000, {b"v": b"1-1\n"}),
        (INSTANCE, 7000, {b"v": b"1-9999"}),
        (INSTANCE, 7000, {b"ch": None}),
        (INSTANCE, 7000, {b"ch": bytes(FILTER_BYTES - 1)}),
        (INSTANCE, 7000, {b"ch": bytes(FILTER_BYTES + 1)}),
    ],
)
def test_malformed_advert_is_none(
    instance: str, port: int | None, txt: dict[bytes, bytes | None]
) -> None:
    """Every field is checked, and what it lacks is not made up (D04)."""
    assert read(INSTANCE, 7000, ["10.0.0.1"], TXT, NETWORKS)
    assert read(instance, port, ["10.0.0.1"], {**TXT, **txt}, NETWORKS) is None


@pytest.mark.parametrize("missing", [b"v", b"ch"])
def test_advert_without_a_field_is_none(missing: bytes) -> None:
    """The TXT record of somebody else's service of this name says nothing to us."""
    txt = {key: value for key, value in TXT.items() if key != missing}
    assert read(INSTANCE, 7000, ["10.0.0.1"], txt, NETWORKS) is None


@pytest.mark.parametrize(
    ("host", "fit"),
    [
        ("192.168.1.5", True),
        ("10.1.2.3", True),
        ("169.254.1.1", True),
        ("203.0.113.9", True),
        ("fd00::1", True),
        ("2001:db8::77", True),
        ("fe80::1%3", True),
        ("8.8.8.8", False),
        ("2606:4700::1111", False),
        ("127.0.0.1", False),
        ("::1", False),
        ("::ffff:10.0.0.1", False),
        ("0.0.0.0", False),
        ("::", False),
        ("224.0.0.251", False),
        ("ff02::fb%3", False),
        ("255.255.255.255", False),
        ("fe80::1", False),
        ("fd00::1%3", False),
        ("example.com", False),
        ("", False),
    ],
)
def test_stranger_has_nobody_dialled_beyond_this_network(host: str, fit: bool) -> None:
    """What is on a network of this machine or private, and nothing of the rest (X18)."""
    heard = read(INSTANCE, 7000, [host], TXT, NETWORKS)
    assert (heard is not None) is fit


def test_of_very_many_addresses_few_are_dialled() -> None:
    """One node cannot aim us at a whole network."""
    heard = read(INSTANCE, 7000, [f"10.0.0.{number}" for number in range(200)], TXT, NETWORKS)
    assert heard is not None
    assert len(heard.endpoints) == MAX_HOSTS


@given(
    st.one_of(st.text(), st.just(INSTANCE)),
    st.one_of(st.none(), st.integers()),
    st.lists(st.one_of(st.text(), st.ip_addresses().map(str)), max_size=20),
    st.dictionaries(
        st.sampled_from([b"v", b"ch", b"x"]),
        st.one_of(st.none(), st.binary(max_size=64), st.just(b"1-1"), st.just(bytes(32))),
    ),
)
def test_whatever_comes_is_an_advert_or_none(
    instance: str, port: int | None, hosts: list[str], txt: dict[bytes, bytes | None]
) -> None:
    """Nothing a stranger can say raises, and what is taken is within bounds (D04)."""
    heard = read(instance, port, hosts, txt, NETWORKS)
    if heard is not None:
        assert heard.instance == instance
        assert 0 < len(heard.hosts) <= MAX_HOSTS
        assert set(heard.hosts) <= set(hosts)
        heard.may_take_part(ACME)


# -- the board


def numbered(number: int) -> Advert:
    """The advert of one of many nodes."""
    return replace(made("tcp://10.0.0.1:2"), node=NodeId(number.to_bytes(8)), channels=b"\xff" * 32)


def test_advert_is_due_when_it_is_news_and_then_ever_more_rarely() -> None:
    """Who is named may not have listened yet, and may have died without a word."""
    board, advert = Board(), made("tcp://10.0.0.1:2")
    board.pin(advert, 0.0)
    times, now = [], 0.0
    while now < 400:
        if board.take_due([ACME], now):
            times.append(now)
        board.pin(advert, now)
        now += 1.0
    pauses = [b - a for a, b in zip(times, times[1:], strict=False)]
    assert times[0] == 0.0
    assert pauses == [2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0, 60.0, 60.0]
    assert (AGAIN_SECS, AGAIN_MAX_SECS) == (2.0, 60.0)

    moved = replace(advert, hosts=("10.0.0.9",))
    board.pin(moved, now)
    assert board.take_due([ACME], now) == [moved]


def test_node_of_other_channels_is_due_when_its_channel_is_opened() -> None:
    """It is remembered, and dialled the moment there is a reason (D13)."""
    board, advert = Board(), made("tcp://10.0.0.1:2")
    board.pin(advert, 0.0)
    assert board.adverts == [advert]
    assert board.take_due([OTHER], 0.0) == []
    assert board.take_due([], 0.0) == []
    assert board.take_due([OTHER, ACME], 0.0) == [advert]
    board.hasten(0.5)
    assert board.take_due([ACME], 0.5) == [advert]


def test_node_that_said_goodbye_is_forgotten() -> None:
    """It is not dialled any more; to forget an unknown one is nothing."""
    board, advert = Board(), made("tcp://10.0.0.1:2")
    board.pin(advert, 0.0)
    board.drop(NODE)
    board.drop(NODE)
    assert board.take_due([ACME], 0.0) == []


def test_flood_of_nodes_is_bounded_in_memory_and_in_dials() -> None:
    """Ten thousand a second fill the board once, and lead to a few dials a second (X18)."""
    board, taken, forgotten = Board(), 0, 0
    for number in range(20_000):
        now = number / 10_000
        forgotten += not board.pin(numbered(number), now)
        taken += len(board.take_due([ACME], now))
    assert len(board) == MAX_KNOWN
    assert forgotten == 20_000 - MAX_KNOWN
    assert DIALS_PER_SEC * 2 <= taken <= DIALS_PER_SEC * 3


def test_limits_are_those_of_the_protocol() -> None:
    """The figures of R31b and of the section on mDNS."""
    assert (MAX_KNOWN, MAX_HOSTS, DIALS_PER_SEC, FILTER_BYTES) == (256, 8, 32, 32)
