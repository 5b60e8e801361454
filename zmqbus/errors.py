"""Every exception of zmqbus.

The tree, by what the reader can do about it::

    ZmqBusError
    ├── ConfigError (ValueError)     an argument, variable or setting is wrong: mend it
    │   └── InsecureBindError        leaving loopback needs `key=`, or `insecure=True`
    ├── BindError (OSError)          the address is taken or not ours: choose another
    ├── LibzmqTooOldError (RuntimeError)  libzmq has known holes: install another pyzmq
    ├── BusStateError (RuntimeError) called in the wrong order (used before `start()`, say)
    ├── CodecError (ValueError)      a message that cannot travel, or bytes that are none
    │   └── MessageTooLargeError     it can, but not in one piece this big: shrink it
    └── WireError (ValueError)       a packet from a peer does not parse: blame the peer

The data of an error is in its attributes; ``str()`` says one full sentence.
"""

from __future__ import annotations


class ZmqBusError(Exception):
    """Base class of everything zmqbus raises on purpose."""


class ConfigError(ZmqBusError, ValueError):
    """An argument, environment variable or setting cannot be used.

    Args:
        setting: The name of the argument or variable.
        value: What was given.
        reason: Why it cannot be used, a clause without a full stop.
        remedy: The way out, a clause without a full stop.
    """

    def __init__(self, setting: str, value: object, reason: str, remedy: str) -> None:
        super().__init__(setting, value, reason, remedy)
        self.setting = setting
        self.value = value
        self.reason = reason
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.setting}={self.value!r}: {self.reason}; {self.remedy}."


class InsecureBindError(ConfigError):
    """A bind that others can reach, without a key (R29)."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(
            "bind",
            endpoint,
            "without a mesh key anybody who reaches this address could send and read",
            "give the mesh one with `key=`, bind loopback or ipc, or accept the risk with "
            "`insecure=True`",
        )
        self.args = (endpoint,)


class BindError(ZmqBusError, OSError):
    """The address to bind is taken, or is not an address of this machine.

    Args:
        endpoint: The ZeroMQ endpoint that was asked for.
        reason: Why the bind failed, a clause without a full stop.
        remedy: The way out, a clause without a full stop.
    """

    def __init__(self, endpoint: str, reason: str, remedy: str) -> None:
        super().__init__(endpoint, reason, remedy)
        self.endpoint = endpoint
        self.reason = reason
        self.remedy = remedy

    def __str__(self) -> str:
        return f"Cannot bind {self.endpoint}: {self.reason}; {self.remedy}."


class LibzmqTooOldError(ZmqBusError, RuntimeError):
    """The libzmq that pyzmq was built with is too old to be exposed to strangers (X09).

    Args:
        found: Its version.
        needed: The lowest version without known holes.
    """

    def __init__(self, found: tuple[int, int, int], needed: tuple[int, int, int]) -> None:
        super().__init__(found, needed)
        self.found = found
        self.needed = needed

    def __str__(self) -> str:
        have, need = (".".join(map(str, version)) for version in (self.found, self.needed))
        return (
            f"libzmq {have} is too old, it can be crashed over the network; install a pyzmq that "
            f"brings libzmq {need} or newer (the wheels on PyPI do)."
        )


class BusStateError(ZmqBusError, RuntimeError):
    """A call that does not fit the state the object is in."""


class CodecError(ZmqBusError, ValueError):
    """A message that cannot be encoded, or bytes that are no message.

    Args:
        path: Where in the message, as ``BusJobRequestMessage.payload['items'][3]``;
            empty when the whole is meant.
        reason: What is wrong there, a clause without a full stop.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}." if self.path else f"{self.reason}."


class MessageTooLargeError(CodecError):
    """A message over `MeshConfig.max_message_bytes`; refused before it is sent (R25).

    Args:
        path: The message, as its class name.
        size_bytes: Its size once encoded.
        limit_bytes: The limit it exceeds.
    """

    def __init__(self, path: str, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(
            path,
            f"{size_bytes:,} bytes encoded, the limit is {limit_bytes:,}: send it in parts or "
            f"raise `max_message_bytes` on every runner",
        )
        self.args = (path, size_bytes, limit_bytes)
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes


class WireError(ZmqBusError, ValueError):
    """A packet from a peer that does not parse.

    Args:
        reason: One of a small fixed set of words, fit for a counter's label (R26).
        detail: What exactly was wrong.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}."
