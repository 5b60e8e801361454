"""The doorkeeper of a node's bound sockets: ZAP, and the names of those who are not let in.

Theory of operation. libzmq asks whether a client may come in by sending its public key to a socket
at a fixed inproc address of the same context (RFC 27, ZAP), and the client waits in its handshake
until it is answered. That must not depend on the event loop: a blocked one would let handshakes
time out, and a busy node look like one that refuses. So a thread answers. Each node has a context
of its own, so the handler of an application that uses ZeroMQ itself is none of ours. The domain is
enforced (see `curve`): without an answer nobody comes in. Where there is no key everybody does, but
in a crowd not at once: who has come in costs libzmq and the loop several times as much as who
knocks. Nor does the oldest ZeroMQ, which has no handshake at all.

The same thread reads the monitors of the bound sockets, since only who looks at once can tell the
address of a stranger (`visitors`). What it learns goes to the loop in one call, however much it is.
To be woken costs both threads, and the loop that needs the interpreter's lock, more than to deal
with an event: therefore it lets events gather while many come (`Crowd`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic, sleep

import zmq

from zmqbus.net.curve import DOMAIN, Credentials
from zmqbus.net.names import MAX_KNOWN, Names
from zmqbus.net.sockets import Context, Sock, monitor, parse_event, take_event
from zmqbus.net.visitors import EVENTS, Stranger, Visitors, zap_host

ENDPOINT = "inproc://zeromq.zap.01"
_LOOK_MS = 250
"""How often the thread looks for what is due, while anything may be."""
_AT_ONCE = 256
CALM_EVENTS_PER_SEC = 500.0
"""How many events a second are no crowd, and at once: some 150 connections that come and go."""
COMERS_PER_SEC = 250.0
"""How many are let in a second, and at once, where there is no key. Fewer: a large mesh takes
longer to meet; more: a crowd grows the process by 50 kB for each."""
REST_SECS = 0.002
"""How long events may gather in a crowd. Longer: who comes in meanwhile waits for its answer."""
_LATER = b"300", b"too many at once", b""
"""Cuts the connection without a word, so that libzmq makes it again by itself."""


class Crowd:
    """Whether more is going on at the ports than members that come and go.

    Args:
        calm_per_sec: How many events a second are no crowd, and at once.

    Attributes:
        events: To be increased by one with each event.
    """

    def __init__(self, calm_per_sec: float) -> None:
        self.events = 0.0
        self._calm_per_sec = calm_per_sec
        self._at = 0.0

    def is_there(self, now: float) -> bool:
        """Judge by what there was lately."""
        left, self._at = self.events - (now - self._at) * self._calm_per_sec, now
        self.events = min(max(0.0, left), 2 * self._calm_per_sec)  # it is over within a second
        return self.events > self._calm_per_sec


class Guarded:
    """One bound socket: who is at the other end of each connection; the `Guard` of its intake.

    Attributes:
        visitors: Its connections.
    """

    def __init__(self, keeper: Doorkeeper, visitors: Visitors) -> None:
        self._keeper = keeper
        self.visitors = visitors

    def user_of(self, frame: zmq.Frame) -> str | None:
        """The name of the key that the sender holds; None, and hung up, if it was revoked."""
        own = self._keeper.own
        if own is None:
            return ""
        user, fd = str(frame.get("User-Id")), int(frame.get("__fd"))
        if user not in own.users:
            self.visitors.hang_up(fd)
            return None
        self.visitors.users[fd] = user
        return user

    def turn_out(self) -> None:
        """Hang up on whoever is not known to be admitted still."""
        own = self._keeper.own
        assert own is not None, "only with a key"
        for fd in self.visitors.open_fds:
            if self.visitors.users.get(fd) not in own.users:
                self.visitors.hang_up(fd)


class Doorkeeper:
    """A thread, from `start` until the monitors of all watched sockets are disabled.

    Attributes:
        own: The credentials; may be replaced at any time, None for a node without a key.
    """

    def __init__(self, context: Context, own: Credentials | None, tell: Callable[[], None]) -> None:
        """Make no socket yet.

        Args:
            context: The context of the node's sockets.
            own: Who is admitted.
            tell: Called from the thread when there is news (see `take_news`), once until taken.
        """
        self.own = own
        self._context = context
        self._tell = tell
        self._rooms: dict[Sock, Visitors] = {}
        self._names = Names()
        self._crowd = Crowd(CALM_EVENTS_PER_SEC)
        self._comers = Crowd(COMERS_PER_SEC)
        self._lock = threading.Lock()
        self._strangers: list[Stranger] = []
        self._failed = 0
        self._has_news = False
        self._watched = 0
        self._zap: Sock | None = None
        self._thread = threading.Thread(target=self._run, name="zmqbus-door", daemon=True)

    def listen(self) -> None:
        """Take the place of the ZAP handler.

        Raises:
            zmq.ZMQError: Descriptors or sockets have run out.
        """
        self._zap = self._context.socket(zmq.REP)
        self._zap.setsockopt(zmq.LINGER, 0)
        self._zap.bind(ENDPOINT)

    def watch(self, socket: Sock, limit: int) -> Guarded:
        """Watch a socket that is about to bind; before `start`.

        Raises:
            zmq.ZMQError: Descriptors or sockets have run out.
        """
        socket.setsockopt(zmq.ZAP_DOMAIN, DOMAIN)
        pair = monitor(self._context, socket, EVENTS | zmq.Event.MONITOR_STOPPED)
        visitors = self._rooms[pair] = Visitors(keyed=self.own is not None, limit=limit)
        self._watched += 1
        return Guarded(self, visitors)

    def start(self) -> None:
        """Open the door."""
        self._thread.start()

    def end(self) -> None:
        """End, after the monitors were disabled: the thread does so by itself, see `join`."""
        if self._thread.ident is None:
            self._close()

    def join(self) -> None:
        """Wait until it has closed its sockets, as the end of the context needs; blocks."""
        if self._thread.ident is not None:
            self._thread.join()

    def _close(self) -> None:
        for socket in (*self._rooms, *filter(None, [self._zap])):
            socket.close(linger=0)

    def take_news(self) -> tuple[list[Stranger], int]:
        """Whom to name, and how many handshakes have failed since this was last asked."""
        with self._lock:
            news = self._strangers, self._failed
            self._strangers, self._failed, self._has_news = [], 0, False
        return news

    # -- on the thread

    def _run(self) -> None:
        poller = zmq.Poller()
        for socket in (*self._rooms, *filter(None, [self._zap])):
            poller.register(socket, zmq.POLLIN)
        has_rested = False
        while self._watched:
            waiting = self._names.waiting or any(v.waiting for v in self._rooms.values())
            self._serve(dict(poller.poll(_LOOK_MS if waiting else None)))
            # Every other time, so that some of a crowd are seen before they are gone.
            has_rested = not has_rested and self._crowd.is_there(monotonic())
            if has_rested:
                sleep(REST_SECS)
        self._close()

    def _serve(self, ready: dict[Sock, int]) -> None:
        now = monotonic()
        named: list[Stranger] = []
        if self._zap in ready:
            self._answer()
        for pair, visitors in self._rooms.items():
            if pair in ready:
                named += self._listen(pair, visitors, now)
            for silent in visitors.silent(now):
                named += self._names.suspect(silent, False, now)
        named += self._names.due(now)
        self._report(named)

    def _answer(self) -> None:
        """Answer those who wait."""
        assert self._zap is not None, "there is a request"
        for _ in range(_AT_ONCE):
            try:
                parts = self._zap.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                return
            version, request, _, address, _, mechanism, *proof = parts
            answer = self._judge(address, proof if mechanism == b"CURVE" else [])
            self._zap.send_multipart((version, request, *answer, b""))

    def _judge(self, address: bytes, proof: list[bytes]) -> tuple[bytes, bytes, bytes]:
        own = self.own
        if own is None:
            if self._comers.is_there(monotonic()):
                return _LATER
            self._comers.events += 1
            return b"200", b"", b""
        user = own.admitted.get(proof[0]) if proof else None
        if user is None:
            return b"400", b"not admitted", b""
        self._names.welcome(zap_host(address.decode("ascii", "replace")))
        return b"200", b"", user.encode()

    def _listen(self, pair: Sock, visitors: Visitors, now: float) -> list[Stranger]:
        """Take some of what a monitor tells; more would let handshakes wait."""
        named: list[Stranger] = []
        for _ in range(_AT_ONCE):
            try:
                kind, value = parse_event(take_event(pair))
            except zmq.Again:
                break
            self._crowd.events += 1
            if kind == zmq.Event.MONITOR_STOPPED:
                self._watched -= 1
            elif kind == zmq.Event.HANDSHAKE_SUCCEEDED and self.own is None:
                self._names.welcome(None)
            sign = visitors.note(kind, value, now)
            if sign:
                named += self._names.suspect(*sign, now)
        return named

    def _report(self, named: list[Stranger]) -> None:
        failed = sum(visitors.take_failed() for visitors in self._rooms.values())
        if not named and not failed:
            return
        with self._lock:
            self._strangers += named[: MAX_KNOWN - len(self._strangers)]
            self._failed += failed
            told, self._has_news = self._has_news, True
        if not told:
            self._tell()
