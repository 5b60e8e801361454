"""CURVE on the sockets of a node, from the keys of its ring.

The argument. From the mesh key two X25519 key pairs are derived, one for all that bind and one for
all that connect. Who connects can only finish CURVE's handshake with somebody who has the secret of
the first pair, so no stranger can pose as a member's port. Who binds lets in only those who prove
to have the secret of the second pair (`zap`), so to know any public key, from the wire or from an
advertisement, admits nobody: both pairs are computed from the one secret, and from it alone. Under
that, CURVE agrees on fresh keys for each connection and forgets them with it: whoever gets hold of
the mesh key later cannot read what he recorded before (forward secrecy), and each frame is
authenticated, numbered, and cannot be replayed.

With keys of the runners' own the connecting side uses that of the runner in place of the second
pair. Since every two nodes connect both ways, each has then proven to the other which runner it is.
The binding side stays that of the mesh.

What it does not give. With the mesh key alone all members are one: each could speak for another, so
what keeps them apart are the rules between friends (R31a). Who is turned out by its own key still
has the mesh key, and can pose as a port that nobody answers at, until that is rotated: it may
learn who is there from a hello, but no message, since a link is proven both ways before any is sent
(R4); only who also sits between two members on the network could do more. Lengths and times of
frames are visible to whoever sees the wire.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import zmq
from zmq.utils import z85

from zmqbus.keys import Keys, PublicKey, RunnerKey
from zmqbus.net.sockets import Sock

DOMAIN = b"zmqbus"
"""The ZAP domain; enforced, so that without a handler nobody is let in."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A key pair of CURVE."""

    public: bytes
    secret: bytes = field(repr=False)


@dataclass(frozen=True)
class Credentials:
    """What the sockets need, computed from the keys.

    Parameters:
        server: Of the sockets that bind.
        client: Of the sockets that connect.
        servers: The public keys that the other side may have, to be tried in this order.
        admitted: Who may come in: the name of each public key.
    """

    server: Pair
    client: Pair
    servers: tuple[bytes, ...]
    admitted: dict[bytes, str]

    @cached_property
    def users(self) -> frozenset[str]:
        """The names of all who may come in."""
        return frozenset(self.admitted.values())


def credentials(keys: Keys) -> Credentials:
    """Derive all key pairs, and list who is admitted."""
    pairs, servers = _of_mesh(keys, "client"), _of_mesh(keys, "server")
    client = _pair(keys.runner.derive("client")) if keys.runner else pairs[0]
    admitted = {public.raw: str(public) for public in keys.admit or ()}
    if keys.admit is None:
        names = [f"mesh {key.fingerprint}" for key in keys.mesh]
        admitted = {pair.public: name for pair, name in zip(pairs, names, strict=True)}
    if keys.runner:
        admitted[client.public] = str(PublicKey(client.public))
    return Credentials(servers[0], client, tuple(pair.public for pair in servers), admitted)


def public_key(runner: RunnerKey) -> PublicKey:
    """The public half of a runner's key: what others admit."""
    return PublicKey(_pair(runner.derive("client")).public)


def _of_mesh(keys: Keys, purpose: str) -> list[Pair]:
    return [_pair(key.derive(purpose)) for key in keys.mesh]


def _pair(secret: bytes) -> Pair:
    return Pair(z85.decode(zmq.curve_public(z85.encode(secret))), secret)


def guard(socket: Sock, own: Credentials) -> None:
    """Let a socket that will bind admit only whom ZAP admits; nobody if there is no ZAP handler."""
    socket.setsockopt(zmq.CURVE_SERVER, 1)
    socket.setsockopt(zmq.CURVE_SECRETKEY, own.server.secret)
    socket.setsockopt(zmq.ZAP_DOMAIN, DOMAIN)
    socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)


def present(socket: Sock, own: Credentials, server: bytes) -> None:
    """Let a socket that will connect show its key, and insist on that of the other side."""
    socket.setsockopt(zmq.CURVE_PUBLICKEY, own.client.public)
    socket.setsockopt(zmq.CURVE_SECRETKEY, own.client.secret)
    socket.setsockopt(zmq.CURVE_SERVERKEY, server)
