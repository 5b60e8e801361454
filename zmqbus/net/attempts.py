"""What becomes of the handshakes with one address: which key to try, when, and what to say.

libzmq tries again by itself when a connection breaks, but never after the other side has refused
the key or has another mechanism, so that a peer whose key has been mended would stay deaf (X07).
And it says nothing at all (F19). With several mesh keys the other side may have any of them, and
tells only by hanging up on those it does not have.
"""

from __future__ import annotations

from collections.abc import Callable

import zmq

from zmqbus.net.curve import Credentials, present

AGAIN_SECS = 1.0
"""After which an address that refuses is tried again."""
NEXT_KEY_SECS = 0.05
"""After which the next key is tried."""
FAILURES = zmq.Event(
    zmq.Event.HANDSHAKE_FAILED_NO_DETAIL
    | zmq.Event.HANDSHAKE_FAILED_PROTOCOL
    | zmq.Event.HANDSHAKE_FAILED_AUTH
)
_DEFINITE_ROUNDS = 2
"""So many times an address must hang up on every key until it is said that it has another one: a
node that is just ending hangs up too."""
_MAX_SAID = 1_024

_REFUSED = "refuses this node: its key is not admitted there"
_NO_KEY = "has no key: it speaks plain ZeroMQ"
_NEEDS_KEY = "needs a key, and this node has none (give it key=, or ZMQBUS_KEY_FILE)"
_OTHER_KEY = "hangs up in the handshake: it holds another mesh key, or none"


class Said:
    """What has been said of which address, so that it is said once.

    Args:
        tell: Takes a text, and the address it is about.
    """

    def __init__(self, tell: Callable[[str, str | None], None]) -> None:
        self._tell = tell
        self._said: dict[str, None] = {}

    def say(self, endpoint: str, what: str) -> None:
        """Say what is wrong with an address, unless something has been said of it."""
        if endpoint in self._said:
            return
        self._tell(f"{endpoint} {what}", endpoint)
        self._said[endpoint] = None
        if len(self._said) > _MAX_SAID:
            del self._said[next(iter(self._said))]

    def take_back(self, endpoint: str) -> None:
        """The address is all right."""
        self._said.pop(endpoint, None)


class Attempts:
    """The handshakes with one address.

    Args:
        endpoint: The address.
        own: The node's credentials; None without a key.
        said: Where to say what is wrong.
    """

    def __init__(self, endpoint: str, own: Credentials | None, said: Said) -> None:
        self.endpoint = endpoint
        self.own = own
        self.shown = b""
        self._said = said
        self._turn = 0
        self._hung_up_on = 0

    def present(self, socket: zmq.Socket[bytes]) -> None:
        """Let a socket that will connect show the key that is next."""
        if self.own:
            self.shown = self.own.servers[self._turn % len(self.own.servers)]
            present(socket, self.own, self.shown)

    @property
    def is_outdated(self) -> bool:
        """Whether the key shown last is accepted no more."""
        return self.own is not None and self.shown not in self.own.servers

    def renew(self, own: Credentials) -> None:
        """Go on with other credentials, their first key first."""
        self.own, self._turn, self._hung_up_on = own, 0, 0

    def succeeded(self) -> None:
        """The handshake is done."""
        self._hung_up_on = 0
        self._said.take_back(self.endpoint)

    def failed(self, kind: int, value: int) -> float | None:
        """A handshake has failed; returns when to connect anew, None if libzmq does so itself."""
        if kind == zmq.Event.HANDSHAKE_FAILED_AUTH:
            self._said.say(self.endpoint, _REFUSED)
            return AGAIN_SECS
        if kind == zmq.Event.HANDSHAKE_FAILED_PROTOCOL:
            if value == zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH:
                self._said.say(self.endpoint, _NO_KEY if self.own else _NEEDS_KEY)
            return AGAIN_SECS
        return self._try_next(len(self.own.servers)) if self.own else None

    def _try_next(self, keys: int) -> float | None:
        self._turn += 1
        self._hung_up_on += 1
        if self._hung_up_on >= _DEFINITE_ROUNDS * keys:
            self._said.say(self.endpoint, _OTHER_KEY)
        if keys == 1:
            return None
        return AGAIN_SECS / 2 if self._hung_up_on % keys == 0 else NEXT_KEY_SECS
