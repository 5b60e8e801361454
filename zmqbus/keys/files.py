"""Key files: written for their owner alone, refused when others can read them.

One that root has given to a group is read by a member of it (mode 0440 or 0640): that is how
Kubernetes mounts a secret for who is not root, and nobody else could have made it so.
"""

from __future__ import annotations

import os
import shlex
import stat

from zmqbus.errors import ConfigError
from zmqbus.keys.ring import KeyRing
from zmqbus.keys.secret_keys import PublicKey
from zmqbus.keys.text import Secret

MODE = 0o600
MAX_FILE_BYTES = 64 * 2**10
"""The largest key file. A key has some 75 characters; more than this is another file."""

MAX_ADMIT_CHARS = 2**20
"""How much of a list of public keys is read: some 10,000 of them."""


def read_ring(path: str | os.PathLike[str], setting: str = "key_file") -> KeyRing:
    """Read a file of mesh keys: the first is used, all are accepted.

    Raises:
        ConfigError: It cannot be read, others can read it, or a key in it is broken; says which.
    """
    return KeyRing.parse(read_secret(path, setting), f"{setting} {os.fspath(path)}")


def read_secret(path: str | os.PathLike[str], setting: str = "key_file") -> Secret:
    """Read a file that only its owner can read.

    Raises:
        ConfigError: It cannot be read, is no plain text, or others can read it.
    """
    name = os.fspath(path)
    try:
        with open(name, "rb") as file:
            problem = _too_open(os.fstat(file.fileno()))
            content = b"" if problem else file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        reason, remedy = f"it cannot be read: {error.strerror}", "give the path of a key file"
        if isinstance(error, PermissionError):
            remedy = "let it belong to the user who runs this"
        raise ConfigError(setting, name, reason, remedy) from None
    if problem:
        raise ConfigError(setting, name, problem, f"`chmod 600 {shlex.quote(name)}` mends it")
    text = _text(content)
    if text is None:
        reason = "it is no text, or too long, for a key file"
        raise ConfigError(setting, name, reason, "write one with `zmqbus key new`")
    return text


def read_public(path: str | os.PathLike[str], setting: str = "admit_file") -> list[PublicKey]:
    """Read a file of public keys, one a line; what follows a ``#`` is a remark.

    Raises:
        ConfigError: It cannot be read, or a line is no public key; says which.
    """
    name = os.fspath(path)
    try:
        with open(name, encoding="utf-8", errors="replace") as file:
            lines = file.read(MAX_ADMIT_CHARS).splitlines()
    except OSError as error:
        reason = f"it cannot be read: {error.strerror}"
        raise ConfigError(setting, name, reason, "give the path of a file of keys") from None
    found = [(number, line.partition("#")[0].strip()) for number, line in enumerate(lines, 1)]
    return [PublicKey.parse(text, f"{name} line {number}") for number, text in found if text]


def _text(content: bytes) -> Secret | None:
    if len(content) > MAX_FILE_BYTES:
        return None
    try:
        return Secret(content.decode())
    except UnicodeDecodeError:
        return None


def _too_open(status: os.stat_result) -> str:
    """What is wrong with the mode of a key file; modes say nothing on Windows."""
    if os.name != "posix":
        return ""
    mode = stat.S_IMODE(status.st_mode)
    allowed = 0o740 if status.st_uid == 0 != os.geteuid() else 0o700
    return f"others can read or write it (mode {mode:04o})" if mode & ~allowed & 0o777 else ""


def write_secret(path: str | os.PathLike[str], text: str) -> None:
    """Write a new file that only its owner can read.

    Raises:
        ConfigError: It exists, or cannot be written.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
    try:
        fd = os.open(path, flags, MODE)
    except FileExistsError:
        reason = "it exists, and a key that is overwritten is gone"
        raise ConfigError("out", os.fspath(path), reason, "choose another file") from None
    except OSError as error:
        reason = f"it cannot be written: {error.strerror}"
        raise ConfigError("out", os.fspath(path), reason, "choose another file") from None
    with open(fd, "w") as file:
        file.write(text)


def protect(fd: int) -> None:
    """Take a file away from everybody but its owner, where it is a regular file."""
    if stat.S_ISREG(os.fstat(fd).st_mode) and hasattr(os, "fchmod"):
        os.fchmod(fd, MODE)
