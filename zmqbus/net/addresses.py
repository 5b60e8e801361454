"""The addresses of this machine, and which of them others should be told (R31).

Asked anew each time: they come and go with DHCP, Wi-Fi and sleep.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass

import ifaddr

MAX_ADVERTISED = 16
"""Addresses told to peers, at most. More would only make hellos longer."""

_INNER = ("docker", "br-", "veth", "virbr", "vmnet", "vboxnet", "podman", "cni", "cali", "flannel")
"""How interfaces are called that lead to containers and virtual machines of this very host."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Held:
    """An address that an interface of this machine has.

    Parameters:
        interface: The name of the interface.
        index: Its number, which a scope of IPv6 names.
        address: The address, without a scope.
        network: What can be reached there without a router.
    """

    interface: str
    index: int
    address: Address
    network: Network

    @property
    def is_scoped(self) -> bool:
        """Whether it means nothing without an interface of the machine that dials it."""
        return self.address.version == 6 and self.address.is_link_local


def held() -> list[Held]:
    """All addresses of this machine, in the system's order."""
    return list(_held())


def _held() -> Iterator[Held]:
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            address = ipaddress.ip_address(ip.ip if isinstance(ip.ip, str) else ip.ip[0])
            if isinstance(address, ipaddress.IPv6Address) and address.scope_id:
                address = ipaddress.IPv6Address(int(address))
            network = ipaddress.ip_network(f"{address}/{ip.network_prefix}", strict=False)
            # On Windows `name` is a number in braces, and people know the other one.
            yield Held(adapter.nice_name, adapter.index or 0, address, network)


def outer() -> list[Held]:
    """The addresses on interfaces that others may be on.

    Those that the ends of containers have by themselves, and that come and go with them by the
    hundred, are left out, if there are any others.
    """
    found = [h for h in held() if not h.address.is_loopback]
    return [h for h in found if not (h.is_scoped and _is_inner(h))] or found


def routable_hosts(ipv6: bool) -> list[str]:
    """The addresses under which others may reach this machine, best first (Z22).

    IPv4 comes first, and what leads into this very host last. Loopback is all there is on a machine
    without a network (D02). Link-local IPv6 addresses are left out, see `scoped_hosts`.

    Args:
        ipv6: Whether to include IPv6.
    """
    found = [h for h in held() if not h.is_scoped and (ipv6 or h.address.version == 4)]
    return _best([h for h in found if not h.address.is_loopback] or found)


def scoped_hosts() -> list[str]:
    """The link-local IPv6 addresses of this machine, without a scope, best first.

    Only who got one by mDNS can use it: it came in by the interface that leads to it.
    """
    return _best([h for h in outer() if h.is_scoped])


def _best(some: list[Held]) -> list[str]:
    return list(dict.fromkeys(str(h.address) for h in sorted(some, key=_rank)))[:MAX_ADVERTISED]


def _rank(one: Held) -> tuple[bool, bool, int]:
    return _is_inner(one), one.address.is_link_local, one.address.version


def _is_inner(one: Held) -> bool:
    return one.interface.startswith(_INNER)


def interface_host(name: str) -> str | None:
    """The first address of the interface with this name, IPv4 before IPv6; None if none has it."""
    found = [h.address for h in held() if h.interface == name and not h.is_scoped]
    return next(map(str, sorted(found, key=lambda a: a.version)), None)
