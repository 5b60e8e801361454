"""What nodes say of themselves by mDNS, and how much of it is believed and kept (R31, X18).

One instance of the service for each node, named by its id. Its TXT record holds the range of
protocol versions, and the channels it takes part in as a Bloom filter salted with its id: enough to
leave the nodes of other channels alone, and no name can be read from it. Whatever comes from the
network is hostile. Everything here is pure; `mdns` does the talking.
"""

from __future__ import annotations

import ipaddress
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from zmqbus.net.addresses import Address, Network
from zmqbus.packets import ID_BYTES, MIN_VERSION, VERSION, ChannelId, NodeId

SERVICE = "_zmqbus._tcp.local."
FILTER_BYTES = 32
"""The size of the filter: one byte of a hash names one of its bits. Good for some 50 channels; a
node with more looks like one that takes part in all."""
MAX_HOSTS = 8
"""Addresses of one node that are dialled, at most; beyond it a stranger could aim us at many."""
MAX_KNOWN = 256
"""Nodes that are remembered, at most; as many as a node links with."""
DIALS_PER_SEC = 32.0
"""How many adverts are acted on, over time and at once; a flood gets no more."""
AGAIN_SECS = 2.0
AGAIN_MAX_SECS = 60.0
"""How soon an advert is acted on again, and how rarely in the end."""

_HASHES = 3
_INSTANCE = re.compile(rf"([0-9a-f]{{{2 * ID_BYTES}}})\.{re.escape(SERVICE)}")
_VERSIONS = re.compile(rb"[0-9]{1,3}-[0-9]{1,3}")

Txt = Mapping[bytes, bytes | None]


@dataclass(frozen=True, slots=True)
class Advert:
    """What one node says of itself.

    Parameters:
        node: Its id.
        port: Of its ROUTER.
        hosts: Its numeric addresses.
        channels: The filter of its channels.
    """

    node: NodeId
    port: int
    hosts: tuple[str, ...]
    channels: bytes

    @property
    def instance(self) -> str:
        """The name of its instance of the service, which nobody else has (D18)."""
        return f"{self.node.hex()}.{SERVICE}"

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Where it may be dialled."""
        return tuple(
            f"tcp://[{h}]:{self.port}" if ":" in h else f"tcp://{h}:{self.port}" for h in self.hosts
        )

    def may_take_part(self, channel: ChannelId) -> bool:
        """Whether it may be on a channel; if not, then it is not."""
        bits = int.from_bytes(self.channels)
        return all(bits >> bit & 1 for bit in _bits(self.node, channel))

    def txt(self) -> dict[bytes, bytes]:
        """Its TXT record."""
        return {b"v": b"%d-%d" % (MIN_VERSION, VERSION), b"ch": self.channels}


def make(node: NodeId, endpoints: Iterable[str], channels: Iterable[ChannelId]) -> Advert | None:
    """What a node says of itself; None if it has no address that another machine could dial.

    A service has one port, so of several that ``advertise`` may name only the first is told.

    Args:
        node: Its id.
        endpoints: Its addresses, numeric, best first; link-local ones without a scope.
        channels: What it takes part in.
    """
    told = [_host_and_port(e) for e in endpoints]
    told = [(host, port) for host, port in told if not ipaddress.ip_address(host).is_loopback]
    if not told:
        return None
    bits = 0
    for channel in channels:
        for bit in _bits(node, channel):
            bits |= 1 << bit
    hosts = [host for host, port in told if port == told[0][1]]
    return Advert(node, told[0][1], tuple(hosts), bits.to_bytes(FILTER_BYTES))


def read(
    instance: str, port: int | None, hosts: Sequence[str], txt: Txt, networks: Sequence[Network]
) -> Advert | None:
    """What somebody says of itself, as far as it is fit to be acted on; None if nothing is.

    Args:
        instance: The name of the instance.
        port: From its SRV record.
        hosts: From its A and AAAA records; link-local ones with the scope they came in by.
        txt: Its TXT record.
        networks: What this machine reaches without a router.
    """
    named = _INSTANCE.fullmatch(instance)
    channels = txt.get(b"ch")
    if named is None or not port or not 0 < port < 65536:
        return None
    if not _VERSIONS.fullmatch(txt.get(b"v") or b""):
        return None
    if channels is None or len(channels) != FILTER_BYTES:
        return None
    fit = tuple(host for host in hosts if _is_fit(host, networks))[:MAX_HOSTS]
    return Advert(NodeId(bytes.fromhex(named[1])), port, fit, channels) if fit else None


def node_of(instance: str) -> NodeId | None:
    """Whose instance this is."""
    named = _INSTANCE.fullmatch(instance)
    return NodeId(bytes.fromhex(named[1])) if named else None


def _is_fit(host: str, networks: Sequence[Network]) -> bool:
    """Whether an address may be dialled on a stranger's word.

    What is here or in a private network, and nothing of the rest of the world: else one datagram
    would have every node here knock at a door of the sender's choice.
    """
    try:
        address: Address = ipaddress.ip_address(host)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped or bool(address.is_link_local) != bool(address.scope_id):
            return False
        if address.is_link_local:
            return True
    if address.is_loopback or address.is_multicast or address.is_unspecified:
        return False
    if address == ipaddress.IPv4Address("255.255.255.255"):
        return False
    return address.is_private or any(address in network for network in networks)


def _bits(node: NodeId, channel: ChannelId) -> bytes:
    """The bits of the filter that stand for a channel; one byte each, so below 256."""
    return blake2b(channel, digest_size=_HASHES, key=node).digest()


def _host_and_port(endpoint: str) -> tuple[str, int]:
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    return host.strip("[]"), int(port)


@dataclass(slots=True)
class _Known:
    advert: Advert
    due: float
    pause_secs: float = AGAIN_SECS


class Board:
    """The adverts that are remembered, and which of them are to be acted on now.

    Invariant: never more than `MAX_KNOWN`; who was heard of longest ago goes first. A node that
    goes so was acted on when it came, so it is a peer already, or gossip will tell of it.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[NodeId, _Known] = OrderedDict()
        self._allowance = DIALS_PER_SEC
        self._allowed_at = 0.0

    def __len__(self) -> int:
        return len(self._known)

    @property
    def adverts(self) -> list[Advert]:
        """All that are remembered; may be asked on any thread."""
        return [known.advert for known in tuple(self._known.values())]

    def pin(self, advert: Advert, now: float) -> bool:
        """Remember an advert; it is due now if it is news. False if another one was forgotten."""
        known = self._known.get(advert.node)
        if known is None or known.advert != advert:
            self._known[advert.node] = _Known(advert, now)
        self._known.move_to_end(advert.node)
        if len(self._known) <= MAX_KNOWN:
            return True
        self._known.popitem(last=False)
        return False

    def drop(self, node: NodeId) -> None:
        """Forget a node."""
        self._known.pop(node, None)

    def hasten(self, now: float) -> None:
        """Let everything be due: there is a new reason to act on it."""
        for known in self._known.values():
            known.due, known.pause_secs = now, AGAIN_SECS

    def take_due(self, channels: Sequence[ChannelId], now: float) -> list[Advert]:
        """The adverts to act on now: of nodes that may be on one of these channels.

        Each comes again after a pause that doubles: who it names may not have listened yet.
        """
        grown = self._allowance + (now - self._allowed_at) * DIALS_PER_SEC
        self._allowance, self._allowed_at = min(grown, DIALS_PER_SEC), now
        taken: list[Advert] = []
        for known in reversed(self._known.values()):
            if self._allowance < 1:
                break
            if known.due <= now and any(map(known.advert.may_take_part, channels)):
                self._allowance -= 1
                taken.append(known.advert)
                known.due = now + known.pause_secs
                known.pause_secs = min(2 * known.pause_secs, AGAIN_MAX_SECS)
        return taken
