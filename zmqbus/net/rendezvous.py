"""How the processes of one user on one host find each other: a directory, no network (R32).

::

    <directory>/                  mode 0700, owned by the user
        nodes/<node id>           JSON: endpoints, pid, host; locked by its process while it lives
        channels/<channel id>/
            <node id>             empty: this node takes part in the channel

A lock ends with its process, however that ends, so everybody can tell and sweep what the dead have
left (Z20). A node holds one descriptor, however many channels it has. Two processes that start
together both register before they look, so at least one sees the other. A child that was forked
without exec inherits the lock: its parent's entry then outlives the parent.

Everything here blocks, for microseconds: the directory is meant to be on a memory file system.
"""

from __future__ import annotations

import json
import os
import socket
import stat
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zmqbus.errors import ConfigError
from zmqbus.net.claim import same_file
from zmqbus.packets import ID_BYTES, ChannelId, NodeId

try:
    import fcntl
except ImportError:  # Windows: the process id has to do
    fcntl: Any = None  # type: ignore[no-redef]

DIRECTORY_VARIABLE = "ZMQBUS_RUNTIME_DIR"
ENTRY_BYTES = 65_536
"""The largest entry read; one of 16 endpoints has about 1,000 bytes."""
LOOK_SECS = 2.0
"""How often the living look around, and freshen what they have there."""
SWEPT_CHANNELS = 256
"""How many channels are searched for what the dead have left, at a start. More would delay it."""
_ATTEMPTS = 16
"""How often a directory is made that others remove as soon as it is empty."""


def runtime_directory() -> Path:
    """Where this user's processes meet.

    "zmqbus" in ``ZMQBUS_RUNTIME_DIR``; else in the runtime directory of the user's session, found
    also by processes without the session's environment (cron, su); else /tmp/zmqbus-<uid>. Never
    a directory that others use as well, since it is made private.
    """
    if given := os.environ.get(DIRECTORY_VARIABLE):
        return Path(given, "zmqbus")
    if sys.platform == "win32":
        return Path(tempfile.gettempdir(), "zmqbus")
    uid = os.getuid()
    for session in (os.environ.get("XDG_RUNTIME_DIR"), f"/run/user/{uid}"):
        with suppress(OSError):
            if session and os.stat(session).st_uid == uid:
                return Path(session, "zmqbus")
    return Path(f"/tmp/zmqbus-{uid}")


@dataclass(frozen=True, slots=True)
class Registered:
    """An entry as it is found, be it of the living or of the dead.

    Parameters:
        path: Its file.
        node: The node.
        pid: The process that wrote it.
        endpoints: Where the node listens.
        channels: Where it takes part.
        is_live: Whether a process holds its lock.
    """

    path: Path
    node: NodeId
    pid: int
    endpoints: tuple[str, ...]
    channels: frozenset[ChannelId]
    is_live: bool


class Rendezvous:
    """The entries of this process' nodes, and the way to those of others.

    ``counters``: ``malformed_entries``, ``swept_entries``.
    """

    def __init__(self, directory: Path | None = None) -> None:
        """Touches no file.

        Args:
            directory: Where to meet; None: `runtime_directory`.
        """
        self._directory = directory or runtime_directory()
        self._nodes = self._directory / "nodes"
        self._channels = self._directory / "channels"
        self._entries: dict[NodeId, _Entry] = {}
        self._is_ready = False
        self.counters: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"<Rendezvous {self._directory} [{len(self._entries)} nodes]>"

    def register(self, channel: ChannelId, node: NodeId, endpoints: tuple[str, ...]) -> None:
        """Let others find a node on a channel. The endpoints are the node's, on all channels.

        Raises:
            ConfigError: The directory cannot be used.
        """
        self._prepare()
        try:
            self._enter(channel, node, endpoints)
        except OSError as error:
            remedy = f"make room, or name another one by {DIRECTORY_VARIABLE}"
            where = str(self._directory)
            raise ConfigError(DIRECTORY_VARIABLE, where, str(error), remedy) from error

    def _enter(self, channel: ChannelId, node: NodeId, endpoints: tuple[str, ...]) -> None:
        entry = self._entries.get(node)
        if entry is None or entry.endpoints != endpoints:
            new = _Entry(self._nodes / node.hex(), endpoints)
            if entry is not None:
                new.channels = entry.channels
                entry.unlock()
            self._entries[node] = entry = new
        _touch(self._marker(channel, node))
        entry.channels.add(channel)

    def unregister(self, channel: ChannelId, node: NodeId) -> None:
        """Undo `register`. Unknown ones are ignored."""
        entry = self._entries.get(node)
        if entry is None or channel not in entry.channels:
            return
        entry.channels.remove(channel)
        _remove(self._marker(channel, node))
        if not entry.channels:
            del self._entries[node]
            entry.remove()

    def close(self) -> None:
        """Undo every `register`."""
        for node, entry in tuple(self._entries.items()):
            for channel in tuple(entry.channels):
                self.unregister(channel, node)

    def find(self, channel: ChannelId) -> list[tuple[NodeId, tuple[str, ...]]]:
        """The live nodes of other processes on a channel, with their endpoints.

        What the dead have left there is removed; what a cleaner of temporary files has taken of
        our own is put back.
        """
        self._freshen(channel)
        found: list[tuple[NodeId, tuple[str, ...]]] = []
        for marker in _listed(self._channels / channel.hex()):
            node = _node_id(marker.name)
            if node is None or node in self._entries:
                continue
            endpoints = self._read(node)
            if endpoints is None:
                _remove(marker)
            elif endpoints:
                found.append((node, endpoints))
        return found

    def survey(self) -> list[Registered]:
        """All readable entries there are, on all channels, in no order; leaves them as they are.

        Raises:
            ConfigError: The directory is there and cannot be used.
        """
        if os.path.lexists(self._directory):
            _own_directory(self._directory)
        found = (self._survey(path) for path in _listed(self._nodes))
        return [entry for entry in found if entry is not None]

    def _survey(self, path: Path) -> Registered | None:
        node = _node_id(path.name)
        if node is None:
            return None
        try:
            with path.open("rb") as file:
                entry = _parse(file.read(ENTRY_BYTES))
                is_live = _is_live(file.fileno(), path, entry)
        except OSError:
            return None
        if entry is None:
            return None
        channels = frozenset(
            ChannelId(bytes.fromhex(directory.name))
            for directory in _listed(self._channels)
            if _node_id(directory.name) and (directory / path.name).exists()
        )
        return Registered(path, node, entry[1], entry[0], channels, is_live)

    def _marker(self, channel: ChannelId, node: NodeId) -> Path:
        return self._channels / channel.hex() / node.hex()

    def _freshen(self, channel: ChannelId) -> None:
        for node, entry in tuple(self._entries.items()):
            if channel not in entry.channels:
                continue
            try:
                os.utime(entry.path)
                os.utime(self._marker(channel, node))
            except FileNotFoundError:
                entry.unlock()
                del self._entries[node]
                for each in entry.channels:
                    self.register(each, node, entry.endpoints)

    def _read(self, node: NodeId) -> tuple[str, ...] | None:
        """The endpoints of a node; none if its entry is malformed, None if it is dead."""
        path = self._nodes / node.hex()
        try:
            with path.open("rb") as file:
                entry = _parse(file.read(ENTRY_BYTES))
                if entry is None:
                    self.counters["malformed_entries"] += 1
                if not _is_live(file.fileno(), path, entry):
                    path.unlink(missing_ok=True)
                    self.counters["swept_entries"] += 1
                    return None
        except FileNotFoundError:
            return None
        except OSError:  # a directory, say
            self.counters["malformed_entries"] += 1
            return ()
        return entry[0] if entry else ()

    def _prepare(self) -> None:
        """Make the directories, which a cleaner may have taken since, and sweep them once."""
        for directory in (self._directory, self._nodes, self._channels):
            _own_directory(directory)
        if self._is_ready:
            return
        for path in _listed(self._nodes):
            node = _node_id(path.name)
            if node is not None and node not in self._entries:
                self._read(node)
        for _, directory in zip(range(SWEPT_CHANNELS), _listed(self._channels), strict=False):
            for marker in _listed(directory):
                if not (self._nodes / marker.name).exists():
                    _remove(marker)
        self._is_ready = True


class _Entry:
    """A node's file, locked as long as this object holds it."""

    def __init__(self, path: Path, endpoints: tuple[str, ...]) -> None:
        """Write it: under another name until it is complete and locked, which a rename keeps."""
        self.path = path
        self.endpoints = endpoints
        self.channels: set[ChannelId] = set()
        text = json.dumps(
            {"endpoints": endpoints, "pid": os.getpid(), "host": socket.gethostname()}
        )
        self._fd, draft = tempfile.mkstemp(prefix=".", dir=path.parent)
        try:
            os.write(self._fd, text.encode())
            if fcntl:
                fcntl.flock(self._fd, fcntl.LOCK_EX)
            else:  # Windows renames no open file
                self.unlock()
            os.replace(draft, path)
        except OSError:
            self.unlock()
            os.unlink(draft)
            raise

    def unlock(self) -> None:
        """Let go of the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def remove(self) -> None:
        """Remove the file and let go of it."""
        self.path.unlink(missing_ok=True)
        self.unlock()


def _own_directory(path: Path) -> None:
    """Make a directory that is the user's alone, or mend the mode of one that is the user's.

    Raises:
        ConfigError: It is somebody else's, no directory, or cannot be made.
    """
    remedy = f"remove it, name another one by {DIRECTORY_VARIABLE}, or use seeds and discovery=()"
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = path.lstat()
        if sys.platform == "win32":
            return
        if not stat.S_ISDIR(status.st_mode):
            raise ConfigError(DIRECTORY_VARIABLE, str(path), "is no directory of its own", remedy)
        if status.st_uid != os.getuid():
            reason = f"belongs to user {status.st_uid}, who could read and redirect what is there"
            raise ConfigError(DIRECTORY_VARIABLE, str(path), reason, remedy)
        if stat.S_IMODE(status.st_mode) != 0o700:
            path.chmod(0o700)
    except OSError as error:
        raise ConfigError(DIRECTORY_VARIABLE, str(path), str(error), remedy) from error


def _listed(directory: Path) -> Iterator[Path]:
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(directory) as entries:
        yield from (Path(entry.path) for entry in entries)


def _touch(path: Path) -> None:
    """Make an empty file and its directory, which others remove whenever they find it empty."""
    for _ in range(_ATTEMPTS):
        path.parent.mkdir(mode=0o700, exist_ok=True)
        with suppress(FileNotFoundError):
            path.touch(mode=0o600)
            return
    raise ConfigError(DIRECTORY_VARIABLE, str(path.parent), "keeps vanishing", "name another one")


def _remove(path: Path) -> None:
    """Remove a file, and its directory if that is empty now."""
    with suppress(OSError):
        path.unlink(missing_ok=True)
        path.parent.rmdir()


def _node_id(name: str) -> NodeId | None:
    with suppress(ValueError):
        node = bytes.fromhex(name)
        if len(node) == ID_BYTES and node.hex() == name:
            return NodeId(node)
    return None


def _parse(text: bytes) -> tuple[tuple[str, ...], int] | None:
    """The endpoints and the process id of an entry; None if it is malformed."""
    try:
        entry = json.loads(text)
        endpoints, pid = entry["endpoints"], entry["pid"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if not isinstance(pid, int) or not isinstance(endpoints, list):
        return None
    if not all(isinstance(endpoint, str) for endpoint in endpoints):
        return None
    return tuple(endpoints), pid


def _is_live(fd: int, path: Path, entry: tuple[tuple[str, ...], int] | None) -> bool:
    """Whether the process that wrote an entry lives."""
    if not fcntl:
        return entry is not None and _is_process(entry[1])
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    # Replaced while we looked, then it is the successor's file that has this name.
    return not same_file(fd, path)


def _is_process(pid: int) -> bool:
    """Whether there is such a process, where locks cannot tell."""
    if sys.platform == "win32":
        import ctypes

        query_limited_information = 0x1000
        kernel32 = ctypes.windll.kernel32
        handle = kernel32.OpenProcess(query_limited_information, False, pid)
        return bool(handle and kernel32.CloseHandle(handle))
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
