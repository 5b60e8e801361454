"""Binding the two sockets of a node side by side, and what peers are told about it."""

from __future__ import annotations

import asyncio
import errno
import os
import socket as stdlib_socket
from collections.abc import Iterable
from dataclasses import dataclass, replace

import zmq

from zmqbus.errors import BindError, ConfigError
from zmqbus.net.addresses import interface_host, routable_hosts, scoped_hosts
from zmqbus.net.background import run_in_daemon
from zmqbus.net.endpoint import DATA_SUFFIX, Advertised, Endpoint
from zmqbus.net.listening import Listener
from zmqbus.net.sockets import Sock

RESOLVE_TIMEOUT_SECS = 5.0

_REASONS: dict[int, tuple[str, str]] = {
    errno.EADDRINUSE: ("the port is in use", "choose another one, or * for any free port"),
    errno.EADDRNOTAVAIL: (
        "this is no address of this machine",
        "bind to one that is, and give the other as `advertise=`",
    ),
    errno.EACCES: ("permission denied", "choose a port above 1023, or a directory of your own"),
    errno.ENOENT: ("the directory does not exist", "create it or choose another one"),
    errno.EMFILE: ("no file descriptor is left", "raise the limit (`ulimit -n`)"),
}


def bind_beside(router: Sock, pub: Sock, at: Endpoint) -> tuple[Listener, Listener]:
    """Bind both sockets: the data plane to the next port, any port, or the path with ".data".

    Args:
        router: The socket of the system plane.
        pub: The socket of the data plane.
        at: Where, with a numeric host; an ipc path must have been claimed (see `PathClaim`).

    Returns:
        Both, which know what they are bound to.

    Raises:
        BindError: Either is taken or not ours.
    """
    if at.path:
        data_at = replace(at, path=at.path + DATA_SUFFIX)
    else:
        data_at = replace(at, port=at.port and at.port + 1)
    return _bind(router, at), _bind(pub, data_at)


def bind_error(at: Endpoint, error: OSError | zmq.ZMQError) -> BindError:
    """What the system or libzmq said, in words that help."""
    number = error.errno or 0
    reason, remedy = _REASONS.get(number, (os.strerror(number), "choose another address"))
    return BindError(str(at), reason, remedy)


def _bind(socket: Sock, at: Endpoint) -> Listener:
    socket.setsockopt(zmq.IPV6, ":" in at.host or at.host == "*")
    try:
        return Listener(socket, at)
    except (OSError, zmq.ZMQError) as error:
        raise bind_error(at, error) from error


async def numeric(endpoint: Endpoint, setting: str) -> Endpoint:
    """Put an address in place of the name of a host or interface of this machine (Z23).

    Raises:
        ConfigError: The name means nothing here.
    """
    if endpoint.path or endpoint.is_wildcard or endpoint.address:
        return endpoint
    if endpoint.host == "localhost":
        return replace(endpoint, host="127.0.0.1")
    host = interface_host(endpoint.host)
    return replace(endpoint, host=host or await _look_up(endpoint.host, setting))


async def _look_up(host: str, setting: str) -> str:
    def look_up() -> str:
        found = stdlib_socket.getaddrinfo(host, None, type=stdlib_socket.SOCK_STREAM)
        return str(found[0][4][0])

    remedy = "give an address"
    try:
        return await asyncio.wait_for(run_in_daemon(look_up, "zmqbus-dns"), RESOLVE_TIMEOUT_SECS)
    except (OSError, UnicodeError) as error:
        reason = f"{host} is neither an interface nor a name that resolves ({error})"
        raise ConfigError(setting, host, reason, remedy) from error
    except TimeoutError:
        reason = f"{host} did not resolve within {RESOLVE_TIMEOUT_SECS:g} s"
        raise ConfigError(setting, host, reason, remedy) from None


@dataclass(frozen=True, slots=True)
class Told:
    """What peers are told: the addresses of a node, best first.

    Parameters:
        endpoints: Of the system plane.
        data_endpoints: Of the data plane, in the same order.
        scoped_endpoints: Link-local ones of the system plane, without a scope; for mDNS only.
    """

    endpoints: tuple[str, ...] = ()
    data_endpoints: tuple[str, ...] = ()
    scoped_endpoints: tuple[str, ...] = ()


async def told(at: Endpoint, data_at: Endpoint, advertised: tuple[Advertised, ...]) -> Told:
    """What peers are told.

    Args:
        at: What the system plane is bound to, with its port.
        data_at: The same of the data plane.
        advertised: What the user wants told instead, if anything. Names in it are resolved here.
    """
    if not advertised:
        return told_of(at, data_at)
    systems = [Endpoint(host=item.host, port=item.port or at.port) for item in advertised]
    systems = [await numeric(system, "advertise") for system in systems]
    ports = [item.data_port or data_at.port for item in advertised]
    data = [replace(s, port=port) for s, port in zip(systems, ports, strict=True)]
    return Told(_texts(systems), _texts(data))


def told_of(at: Endpoint, data_at: Endpoint) -> Told:
    """What peers are told if the user says nothing else: where it is bound, now (R31)."""
    if not at.is_wildcard:
        return Told((str(at),), (str(data_at),))
    is_v6 = at.host != "0.0.0.0"
    hosts = routable_hosts(is_v6)
    return Told(
        _texts(replace(at, host=host) for host in hosts),
        _texts(replace(data_at, host=host) for host in hosts),
        _texts(replace(at, host=host) for host in (scoped_hosts() if is_v6 else ())),
    )


def _texts(endpoints: Iterable[Endpoint]) -> tuple[str, ...]:
    return tuple(map(str, endpoints))
