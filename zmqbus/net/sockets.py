"""ZeroMQ contexts, sockets and socket monitors, with the options that all of them share."""

from __future__ import annotations

import contextlib
import itertools
import struct
from collections import Counter

import zmq

from zmqbus.config import MeshConfig
from zmqbus.errors import LibzmqTooOldError

Sock = zmq.Socket[bytes]
Context = zmq.Context[Sock]

MIN_LIBZMQ = (4, 3, 2)
"""Below it strangers can crash or take over the process (X09: CVE-2019-6250, CVE-2019-13132)."""

RECONNECT_SECS = 0.1
RECONNECT_MAX_SECS = 2.0
BACKLOG = 1024
"""Connections waiting to be accepted: all peers may dial at once."""

_ZERO_COPY_RECV = 10
"""An option of a context that pyzmq has no name for."""
_SOCKETS_PER_DIAL = 3
_OTHER_SOCKETS = 32
_EVENT = struct.Struct("=HI")
_monitor_numbers = itertools.count()


def check_libzmq() -> None:
    """Refuse a libzmq with known holes.

    Raises:
        LibzmqTooOldError: It is older than `MIN_LIBZMQ`.
    """
    found = zmq.zmq_version_info()
    if found < MIN_LIBZMQ:
        raise LibzmqTooOldError(found, MIN_LIBZMQ)


def libzmq_version() -> str:
    """The version of libzmq in use."""
    return ".".join(map(str, zmq.zmq_version_info()))


def has_curve() -> bool:
    """Whether this libzmq can encrypt."""
    return bool(zmq.has("curve"))


def new_context(config: MeshConfig) -> Context:
    """A context of one's own, so that several loops and forked children never share one (Z38).

    A frame that waits costs what it holds: by default libzmq keeps with each short one the whole
    buffer of 8 kB that it was read into, and a few thousand of 100 bytes would fill 30 MB.
    """
    context: Context = zmq.Context()
    wanted = (config.max_dials + config.max_peers) * _SOCKETS_PER_DIAL + _OTHER_SOCKETS
    context.set(zmq.MAX_SOCKETS, min(wanted, context.get(zmq.SOCKET_LIMIT)))
    with contextlib.suppress(zmq.ZMQError):  # not in every build
        context.set(_ZERO_COPY_RECV, 0)
    return context


def new_socket(context: Context, kind: int, config: MeshConfig) -> Sock:
    """A socket with everything set that must be set before it binds or connects.

    ``LINGER`` is 0 until a goodbye is due, so that nothing left behind can hold up an exit (Z15).
    A dead link is noticed after ``link_timeout_secs``: a ping after a quarter of it, and the rest
    to answer. libzmq's own thread does both, whatever Python is busy with (R20).
    """
    socket = context.socket(kind)
    link_ms = round(config.link_timeout_secs * 1000)
    interval_ms = max(1, link_ms // 4)
    handshake_ms = round(config.dial_timeout_secs * 1000)
    for option, value in (
        (zmq.LINGER, 0),
        (zmq.BACKLOG, BACKLOG),
        (zmq.HEARTBEAT_IVL, interval_ms),
        (zmq.HEARTBEAT_TIMEOUT, max(1, link_ms - interval_ms)),
        (zmq.HANDSHAKE_IVL, handshake_ms),
        (zmq.CONNECT_TIMEOUT, handshake_ms),
        (zmq.RECONNECT_IVL, round(RECONNECT_SECS * 1000)),
        (zmq.RECONNECT_IVL_MAX, round(RECONNECT_MAX_SECS * 1000)),
        (zmq.MAXMSGSIZE, config.max_packet_bytes),
    ):
        socket.setsockopt(option, value)
    return socket


def monitor(context: Context, socket: Sock, events: int) -> Sock:
    """A socket that receives the events of another one, from libzmq's own thread; see `take_event`.

    Args:
        context: The context of the socket.
        socket: The socket to watch; call its ``disable_monitor`` before closing either.
        events: Which events, as ``zmq.EVENT_…`` flags.

    Raises:
        zmq.ZMQError: Descriptors or sockets have run out.
    """
    address = f"inproc://zmqbus-monitor-{next(_monitor_numbers)}"
    socket.monitor(address, events)
    pair = context.socket(zmq.PAIR)
    pair.setsockopt(zmq.LINGER, 0)
    # libzmq's thread sends events without DONTWAIT: at a mark it would block, and all with it.
    pair.setsockopt(zmq.RCVHWM, 0)
    pair.connect(address)
    return pair


def take_event(pair: Sock) -> bytes:
    """The next event of a `monitor`.

    Raises:
        zmq.ZMQError: There is none.
    """
    event = pair.recv(zmq.DONTWAIT)
    pair.recv(zmq.DONTWAIT)  # the address
    return event


def take_event_of(pair: Sock) -> bytes:
    """The next event of a `monitor`, with the address it is about behind its 6 bytes.

    Raises:
        zmq.ZMQError: There is none.
    """
    event = pair.recv(zmq.DONTWAIT)
    return event + pair.recv(zmq.DONTWAIT)


def parse_event(event: bytes) -> tuple[int, int]:
    """Which of ``zmq.EVENT_…`` an event is, and its value: a descriptor, or what was wrong."""
    kind, value = _EVENT.unpack(event)
    return kind, value


def take_single(socket: Sock, counters: Counter[str]) -> zmq.Frame | None:
    """The next frame; None in place of a message of several, which nobody here sends (R26).

    Raises:
        zmq.ZMQError: There is none.
    """
    frame = socket.recv(zmq.DONTWAIT, copy=False)
    if not frame.more:
        return frame
    while frame.more:
        frame = socket.recv(zmq.DONTWAIT, copy=False)
    counters["multipart"] += 1
    return None
