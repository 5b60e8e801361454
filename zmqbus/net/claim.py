"""The sole right to serve at an ipc path: libzmq would take it from whoever has it (F22)."""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path
from typing import Any

from zmqbus.errors import BindError

try:
    import fcntl
except ImportError:  # Windows, which has neither locks like these nor ipc paths
    fcntl: Any = None  # type: ignore[no-redef]


class PathClaim:
    """Holds an ipc path and those beside it, from before the bind until `release`.

    A lock on ``<path>.lock`` keeps other nodes away; connecting tells whether anything else
    serves there. What is left of a dead process is removed.
    """

    def __init__(self, path: str, *beside: str) -> None:
        """Claim a path.

        Args:
            path: The path that the lock is named after.
            *beside: Paths that belong to it.

        Raises:
            BindError: It is served, or is not the path of a socket; or this platform has none.
        """
        if fcntl is None:
            raise BindError(f"ipc://{path}", "this platform has no ipc", "bind tcp://127.0.0.1:*")
        self._lock_path = f"{path}.lock"
        self._paths: tuple[str, ...] = ()
        self._fd = _lock(self._lock_path, path)
        try:
            for each in (path, *beside):
                _clear(each)
        except BindError:
            self.release()
            raise
        self._paths = (path, *beside)

    def release(self) -> None:
        """Remove the sockets' files, and let others have the path."""
        for path in self._paths:
            Path(path).unlink(missing_ok=True)
        Path(self._lock_path).unlink(missing_ok=True)
        os.close(self._fd)


def _lock(lock: str, path: str) -> int:
    """Lock a file that its owner unlinks before it unlocks: what was locked must still be there."""
    while True:
        try:
            fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            reason = f"{lock} cannot be written: {error.strerror}"
            raise BindError(f"ipc://{path}", reason, "choose another directory") from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            raise _served(path) from None
        if same_file(fd, lock):
            return fd
        os.close(fd)


def same_file(fd: int, path: str | Path) -> bool:
    """Whether a path still names the open file."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False


def _clear(path: str) -> None:
    """Remove the socket of a dead process.

    Raises:
        BindError: It is served, or no socket.
    """
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise BindError(f"ipc://{path}", "something else is there", "choose another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        code = probe.connect_ex(path)
    if code != errno.ECONNREFUSED:  # connected, or its backlog is full, or it is not for us to say
        raise _served(path)
    os.unlink(path)


def _served(path: str) -> BindError:
    return BindError(f"ipc://{path}", "another process serves there", "choose another path")
