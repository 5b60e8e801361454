"""Binding a socket so that it can change its key without a gap.

libzmq fixes the key of a bound socket when it binds, and whoever finds the port closed meanwhile
takes its owner for dead (R20). So the descriptor that listens is made here and handed to libzmq: a
copy of it keeps the port open, with all who wait in its queue, while libzmq binds anew.
"""

from __future__ import annotations

import os
import socket as stdlib_socket
from dataclasses import replace

import zmq

from zmqbus.net.endpoint import Endpoint
from zmqbus.net.sockets import BACKLOG, Sock


class Listener:
    """A bound socket and the descriptor that it listens on.

    Args:
        socket: The socket to bind.
        at: Where, with a numeric host.

    Attributes:
        at: What it is bound to, with its port.

    Raises:
        OSError: The address is taken, or not ours.
        zmq.ZMQError: Descriptors or sockets have run out.
    """

    def __init__(self, socket: Sock, at: Endpoint) -> None:
        listening = _listen(at)
        self.at = at if at.path else replace(at, port=listening.getsockname()[1])
        self._socket = socket
        self._fd = -1
        self._hand_over(listening)

    def _hand_over(self, listening: stdlib_socket.socket) -> None:
        with listening:
            self._socket.setsockopt(zmq.USE_FD, listening.fileno())
            self._socket.bind(str(self.at))
            self._fd = listening.detach()  # libzmq closes it

    def rebind(self) -> None:
        """Bind anew, with the options as they are now; all connections end.

        Raises:
            zmq.ZMQError: Descriptors or sockets have run out.
        """
        # Not os.dup: where a socket is no descriptor of the C library (Windows), it copies another.
        copy = stdlib_socket.socket(fileno=stdlib_socket.dup(self._fd))
        self._socket.unbind(self._socket.get_string(zmq.LAST_ENDPOINT))
        self._hand_over(copy)


def _listen(at: Endpoint) -> stdlib_socket.socket:
    if at.path:
        listening = stdlib_socket.socket(stdlib_socket.AF_UNIX)
        address: str | tuple[str, int] = at.path
    else:
        listening = _tcp_socket(":" in at.host or at.host == "*")
        is_v6 = listening.family == stdlib_socket.AF_INET6
        host = at.host if at.host != "*" else "::" if is_v6 else "0.0.0.0"
        address = (host, at.port)
    try:
        listening.setblocking(False)
        listening.bind(address)
        if at.path:
            os.chmod(at.path, 0o600)
        listening.listen(BACKLOG)
    except BaseException:
        listening.close()
        raise
    return listening


def _tcp_socket(v6: bool) -> stdlib_socket.socket:
    """A socket for TCP, which takes IPv4 too where it is one for IPv6."""
    try:
        listening = stdlib_socket.socket(stdlib_socket.AF_INET6 if v6 else stdlib_socket.AF_INET)
    except OSError:
        if not v6:
            raise
        return _tcp_socket(False)  # a kernel without IPv6
    if v6:
        listening.setsockopt(stdlib_socket.IPPROTO_IPV6, stdlib_socket.IPV6_V6ONLY, 0)
    if os.name == "posix":  # elsewhere it would let two listen at one port
        listening.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_REUSEADDR, 1)
    return listening
