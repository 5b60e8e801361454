"""Texts and files: keys, addresses that peers name, adverts of mDNS, entries of the rendezvous."""

from __future__ import annotations

import ipaddress
import os
import tempfile
from pathlib import Path

from zeroconf import ServiceInfo

from fuzz.target import Target
from zmqbus.errors import ConfigError
from zmqbus.keys.files import read_ring
from zmqbus.keys.ring import KeyRing
from zmqbus.keys.secret_keys import PublicKey
from zmqbus.net.adverts import MAX_HOSTS, SERVICE, Advert, node_of, read
from zmqbus.net.endpoint import Endpoint, parse_dialable
from zmqbus.net.rendezvous import Registered, Rendezvous
from zmqbus.packets import NodeId, channel_id

_ROOM = tempfile.TemporaryDirectory(prefix="zmqbus-fuzz-")
_FILE = Path(_ROOM.name, "file")
_MEETING = Path(_ROOM.name, "meeting")
_NODE = NodeId(b"the-node")
_CHANNEL = channel_id("acme")
_NETWORKS = [ipaddress.ip_network("203.0.113.0/24"), ipaddress.ip_network("2001:db8::/64")]
_LENGTHS = (4, 16)


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    os.chmod(path, 0o600)
    return path


# -- keys


def _ring(data: bytes) -> KeyRing:
    return read_ring(_written(_FILE, data))


def _check_ring(ring: KeyRing) -> None:
    text = "\n".join(key.reveal() for key in ring.keys.mesh)
    assert KeyRing.parse(text).keys == ring.keys


def _public(data: bytes) -> PublicKey:
    return PublicKey.parse(data.decode("utf-8", "replace"))


def _check_public(key: PublicKey) -> None:
    assert PublicKey.parse(str(key)) == key


# -- addresses


def _endpoint(data: bytes) -> Endpoint | None:
    return parse_dialable(data.decode("utf-8", "surrogateescape"))


def _check_endpoint(endpoint: Endpoint | None) -> None:
    if endpoint is not None:
        assert parse_dialable(str(endpoint)) == endpoint
        assert endpoint.path or endpoint.address


# -- mDNS


def _advert(data: bytes) -> Advert | None:
    """A port, how many addresses of either kind, these, the id of the node, and a TXT record."""
    port, kinds, at = int.from_bytes(data[:2]), data[2:3].hex(), 3
    addresses = []
    for length, count in zip(_LENGTHS, kinds, strict=False):
        for _ in range(int(count, 16)):
            addresses.append(data[at : at + length].ljust(length, b"\0"))
            at += length
    name = f"{data[at : at + 8].hex()}.{SERVICE}"
    if node_of(name) is None:
        return None
    info = ServiceInfo(SERVICE, name, port, properties=data[at + 8 :], addresses=addresses)
    hosts = info.parsed_scoped_addresses()
    return read(info.name, info.port, hosts, info.properties, _NETWORKS)


def _check_advert(advert: Advert | None) -> None:
    if advert is None:
        return
    assert 0 < len(advert.hosts) <= MAX_HOSTS
    assert all(map(parse_dialable, advert.endpoints)), advert.endpoints
    advert.may_take_part(_CHANNEL)
    again = read(advert.instance, advert.port, advert.hosts, dict(advert.txt()), _NETWORKS)
    assert again == advert


# -- rendezvous


def _entry(data: bytes) -> list[Registered]:
    nodes = _MEETING / "nodes"
    nodes.mkdir(mode=0o700, parents=True, exist_ok=True)
    _written(nodes / _NODE.hex(), data)
    return Rendezvous(_MEETING).survey()


def _check_entry(found: list[Registered]) -> None:
    for entry in found:
        assert (entry.node, entry.is_live) == (_NODE, False)
        assert all(isinstance(endpoint, str) for endpoint in entry.endpoints)
        assert isinstance(entry.pid, int)


TARGETS = {
    "key-file": Target(_ring, (ConfigError,), _check_ring),
    "public-key": Target(_public, (ConfigError,), _check_public),
    "endpoint": Target(_endpoint, (), _check_endpoint),
    "advert": Target(_advert, (), _check_advert),
    "rendezvous": Target(_entry, (), _check_entry),
}
