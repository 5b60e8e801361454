"""Addresses: what users write, what peers are told, what may be dialled.

Everything is checked when it is written down, since libzmq accepts nearly any text and then never
connects (Z26).
"""

from __future__ import annotations

import ipaddress
import os
import re
import sys
from dataclasses import dataclass

from zmqbus.errors import ConfigError
from zmqbus.net.addresses import Address

IPC_PATH_BYTES = 103 if sys.platform == "darwin" else 107
"""The longest path of a unix socket (Z18)."""
DATA_SUFFIX = ".data"
"""What is added to an ipc path for the data plane."""

_WILDCARDS = frozenset({"*", "0.0.0.0", "::"})
_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?\.?")
_SEED_FORM = "write tcp://host:port or ipc:///path"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address, taken apart.

    Parameters:
        host: Name or address of a tcp endpoint, without brackets; empty for ipc.
        port: Its port; 0 for any free one, where that makes sense.
        path: The path of an ipc endpoint; empty for tcp.
    """

    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return f"ipc://{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"tcp://{host}:{self.port or '*'}"

    @property
    def address(self) -> Address | None:
        """The numeric address, or None for a name or a path."""
        try:
            return ipaddress.ip_address(self.host)
        except ValueError:
            return None

    @property
    def is_wildcard(self) -> bool:
        """Whether it stands for every interface of this machine."""
        return self.host in _WILDCARDS

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it: loopback or ipc."""
        if self.path or self.host == "localhost":
            return True
        address = self.address
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        return address is not None and address.is_loopback


def parse_dialable(text: str) -> Endpoint | None:
    """Parse an endpoint that came from a peer: numeric or ipc, else None.

    Names are refused here: libzmq would look them up in its I/O thread, where a slow name server
    holds up every socket.
    """
    try:
        endpoint = parse_seed(text)
    except ValueError:  # a ConfigError, or a path that the file system cannot spell
        return None
    return endpoint if endpoint.path or endpoint.address else None


def parse_seed(text: str, setting: str = "peers") -> Endpoint:
    """Parse the address of a runner to dial.

    Args:
        text: ``tcp://host:port`` or ``ipc:///path``.
        setting: What to call it in errors.

    Raises:
        ConfigError: It does not parse, or nobody can be reached under it.
    """
    endpoint = _parse(text, setting, _SEED_FORM)
    if endpoint.path:
        return endpoint
    if endpoint.port == 0:
        raise ConfigError(setting, text, "has no port to dial", "give a port from 1 to 65535")
    _refuse_undialable(endpoint, text, setting)
    return endpoint


def parse_bind(text: str, setting: str = "bind") -> Endpoint:
    """Parse an address to bind: ``tcp://host:port``, ``tcp://host:*`` or ``ipc:///path``.

    ``host`` is an address, ``*``, the name of an interface, or a name that resolves to an address
    of this machine. The data plane takes the next port, or the path with ".data" behind it.

    Raises:
        ConfigError: It does not parse or cannot be bound.
    """
    endpoint = _parse(text, setting, "write tcp://host:port, tcp://host:* or ipc:///path")
    if endpoint.path:
        _check_path(endpoint.path + DATA_SUFFIX, text, setting)
    if endpoint.port == 65535:
        reason = "the data plane binds to the next port, and there is none"
        raise ConfigError(setting, text, reason, "give a port from 1 to 65534, or *")
    if (address := endpoint.address) and address.is_link_local and address.version == 6:
        reason = "peers cannot know which of their interfaces leads to a link-local address"
        raise ConfigError(setting, text, reason, "give a global or unique local address")
    return endpoint


@dataclass(frozen=True, slots=True)
class Advertised:
    """Where peers find a node, as the user says; port 0: the one that was bound."""

    host: str
    port: int
    data_port: int


def parse_advertise(text: str, setting: str = "advertise") -> tuple[Advertised, ...]:
    """Parse ``[tcp://]host[:port[+data_port]]``, or several of them with commas between.

    Without ports the bound ones are meant, without a data port the one after ``port``.

    Raises:
        ConfigError: It does not parse, or nobody could dial it.
    """
    form = "write host, host:port or host:port+data_port"
    _require_text(text, setting, form)
    parsed: list[Advertised] = []
    for item in text.split(","):
        item = item.strip().removeprefix("tcp://")
        address, plus, data_port = item.partition("+")
        bare = address.endswith("]") or (":" not in address and not plus)
        endpoint = _parse(f"tcp://{address}:*" if bare else f"tcp://{address}", setting, form, text)
        _refuse_undialable(endpoint, text, setting)
        if not bare and endpoint.port == 0:
            raise ConfigError(setting, text, "has no port to dial", form)
        data = _parse_port(data_port, setting, text, form) if plus else endpoint.port + (not bare)
        if data > 65535:
            raise ConfigError(setting, text, "leaves no port for the data plane", form)
        parsed.append(Advertised(endpoint.host, endpoint.port, data))
    return tuple(parsed)


def _parse(text: str, setting: str, remedy: str, whole: str | None = None) -> Endpoint:
    """Parse either form. ``whole`` is what the user wrote, if ``text`` is only a part of it."""
    given = text if whole is None else whole
    _require_text(text, setting, remedy)
    scheme, separator, rest = text.partition("://")
    if not separator or scheme not in ("tcp", "ipc"):
        raise ConfigError(setting, given, "starts with neither tcp:// nor ipc://", remedy)
    if scheme == "ipc":
        _check_path(rest, given, setting)
        return Endpoint(path=rest)
    host, separator, port = rest.rpartition(":")
    if not separator or host.startswith("[") != host.endswith("]"):
        raise ConfigError(setting, given, "has no port", remedy)
    if ":" in host and not host.startswith("["):
        raise ConfigError(
            setting, given, "has more than one colon", "put an IPv6 address in brackets"
        )
    number = 0 if port == "*" else _parse_port(port, setting, given, remedy, lowest=0)
    return Endpoint(host=_parse_host(host, setting, given, remedy), port=number)


def _require_text(text: object, setting: str, remedy: str) -> None:
    if not isinstance(text, str):
        raise ConfigError(setting, text, f"a {type(text).__name__}, not a str", remedy)


def _parse_host(host: str, setting: str, text: str, remedy: str) -> str:
    if host.startswith("["):
        try:
            return str(ipaddress.IPv6Address(host[1:-1]))
        except ValueError:
            reason = f"{host} is no IPv6 address"
            raise ConfigError(setting, text, reason, remedy) from None
    if host == "*":
        return host
    if re.fullmatch(r"[0-9.]+", host):
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError:
            reason = f"{host} is no IPv4 address"
            raise ConfigError(setting, text, reason, remedy) from None
    if not _NAME.fullmatch(host):
        raise ConfigError(setting, text, f"{host!r} is no host name", remedy)
    return host


def _parse_port(port: str, setting: str, text: str, remedy: str, lowest: int = 1) -> int:
    number = int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else -1
    if not lowest <= number <= 65535:
        raise ConfigError(setting, text, f"{port!r} is no port from 1 to 65535", remedy)
    return number


def _check_path(path: str, text: str, setting: str) -> None:
    size_bytes = len(os.fsencode(path))
    if not path.startswith("/") or "\0" in path:
        # Abstract names ("@name") have no permissions; relative ones depend on the directory.
        reason = "an ipc endpoint needs an absolute path"
        raise ConfigError(setting, text, reason, "write ipc:///path")
    if size_bytes > IPC_PATH_BYTES:
        reason = f"the path {path} has {size_bytes} bytes, the system allows {IPC_PATH_BYTES}"
        raise ConfigError(setting, text, reason, "choose a shorter directory")


def _refuse_undialable(endpoint: Endpoint, text: str, setting: str) -> None:
    """Refuse what stands for no single machine, or for one on an unknown interface."""
    address = endpoint.address
    if endpoint.is_wildcard or (address and (address.is_multicast or address.is_unspecified)):
        reason = f"{endpoint.host} is no address that can be dialled"
        raise ConfigError(setting, text, reason, "give the address of a machine")
    scope = address.scope_id if isinstance(address, ipaddress.IPv6Address) else "none needed"
    if address and address.is_link_local and not scope:
        reason = "a link-local address needs the interface that leads to it"
        raise ConfigError(setting, text, reason, "write it as [fe80::1%eth0]")
