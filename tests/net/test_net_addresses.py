"""The addresses of this machine, and which of them are told."""

from __future__ import annotations

import sys
from ipaddress import ip_address

import ifaddr
import pytest

from zmqbus.net.addresses import (
    MAX_ADVERTISED,
    held,
    interface_host,
    outer,
    routable_hosts,
    scoped_hosts,
)
from zmqbus.net.endpoint import Endpoint, parse_dialable

LOOPBACK = ("lo", "127.0.0.1", "::1")


def test_routable_hosts_are_addresses_that_can_be_dialled() -> None:
    """Each address of an interface is numeric, and loopback stands alone (Z22, D02)."""
    hosts = routable_hosts(ipv6=True)
    assert hosts
    assert all(parse_dialable(str(Endpoint(host, 5))) for host in hosts)
    assert len({ip_address(host).is_loopback for host in hosts}) == 1
    assert all(ip_address(host).version == 4 for host in routable_hosts(ipv6=False))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it has another name")
def test_interface_is_found_by_name() -> None:
    """The name of an interface stands for its address; any other name does not."""
    assert interface_host("lo") == "127.0.0.1"
    assert interface_host("no such interface") is None


def give(monkeypatch: pytest.MonkeyPatch, *interfaces: tuple[str, ...]) -> None:
    """Let the machine have these interfaces: a name and its addresses."""

    def adapter(index: int, name: str, *hosts: str) -> ifaddr.Adapter:
        ips = [
            ifaddr.IP((host, 0, index), 64, name) if ":" in host else ifaddr.IP(host, 24, name)
            for host in hosts
        ]
        return ifaddr.Adapter(name, name, ips, index)

    adapters = [adapter(index, *each) for index, each in enumerate(interfaces, 1)]
    monkeypatch.setattr(ifaddr, "get_adapters", lambda: adapters)


def test_best_address_comes_first_and_that_of_containers_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What leads into this host only is no use to others, and what is left out is of none (D01)."""
    give(
        monkeypatch,
        LOOPBACK,
        ("docker0", "172.17.0.1", "fe80::2"),
        ("eth0", "2001:db8::5", "192.168.1.5", "fe80::3"),
        ("wlan0", "169.254.3.3", "10.0.0.5"),
    )
    best = ["192.168.1.5", "10.0.0.5", "2001:db8::5", "169.254.3.3", "172.17.0.1"]
    assert routable_hosts(ipv6=True) == best
    assert routable_hosts(ipv6=False) == [host for host in best if ":" not in host]
    assert scoped_hosts() == ["fe80::3"]


def test_link_local_address_alone_leaves_loopback_to_be_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody can dial it without a scope, and this host must still be found by this host (D02)."""
    give(monkeypatch, LOOPBACK, ("eth0", "fe80::3%2"))
    assert routable_hosts(ipv6=True) == ["127.0.0.1", "::1"]
    assert scoped_hosts() == ["fe80::3"]
    assert interface_host("eth0") is None


def test_ends_of_containers_do_not_count_where_anything_else_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They come and go by the hundred; but a machine may have nothing else (D01)."""
    ends = [(f"veth{number}", f"fe80::{number}%{number}") for number in range(1, 5)]
    give(monkeypatch, LOOPBACK, *ends)
    assert [h.interface for h in outer()] == [name for name, _ in ends]
    assert len(scoped_hosts()) == 4
    give(monkeypatch, LOOPBACK, *ends, ("docker0", "172.17.0.1"))
    assert [h.interface for h in outer()] == ["docker0"]
    assert scoped_hosts() == []


def test_no_more_addresses_are_told_than_a_hello_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them once: two bridges may well have the same (R25)."""
    many = [f"10.0.0.{number}" for number in range(1, 50)]
    give(monkeypatch, ("eth0", *many), ("eth1", *many))
    assert routable_hosts(ipv6=True) == many[:MAX_ADVERTISED]


def test_what_is_held_names_interface_and_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """As much as it takes to judge a stranger's address."""
    give(monkeypatch, ("eth0", "192.168.1.5"), ("eth1", "fe80::1%2"))
    assert [(h.interface, h.index, str(h.network)) for h in held()] == [
        ("eth0", 1, "192.168.1.0/24"),
        ("eth1", 2, "fe80::/64"),
    ]
    assert [h.is_scoped for h in held()] == [False, True]
