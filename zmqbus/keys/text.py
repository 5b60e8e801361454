"""Keys as text that people copy: a prefix that says which kind, 32 bytes, a checksum.

The alphabet is that of base32 in small letters, in which no two characters look alike, and a double
click selects the whole. A key that was cut short, has a wrong character, or fails its checksum is
told apart, and no message ever repeats it (X19).
"""

from __future__ import annotations

from base64 import b32decode, b32encode
from hashlib import blake2b

from zmqbus.errors import ConfigError

KEY_BYTES = 32
_CHECK_BYTES = 8
_ALPHABET = frozenset("abcdefghijklmnopqrstuvwxyz234567")
_BODY_CHARS = 8 * (KEY_BYTES + _CHECK_BYTES) // 5

HIDDEN = "<hidden>"
"""What errors show in place of a key."""


class Secret:
    """A text that shows itself nowhere, not even in a traceback with the values of variables."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return HIDDEN

    def __reduce__(self) -> str:
        raise TypeError("A secret is not pickled.")

    def reveal(self) -> str:
        """The text itself."""
        return self._text


def encode(prefix: str, key: bytes) -> str:
    """Write a key as text."""
    assert len(key) == KEY_BYTES, "a key has 32 bytes"
    return prefix + b32encode(key + _checksum(prefix, key)).decode().lower()


def decode(prefix: str, text: Secret, setting: str = "key") -> bytes:
    """Read a key from its text.

    Args:
        prefix: The kind that is wanted.
        text: The text.
        setting: What to call it in errors.

    Raises:
        ConfigError: It is no such key; says whether it was cut, mistyped, or is of another kind.
    """
    key, problem = _decode(prefix, text.reveal().strip())
    if problem:
        raise ConfigError(setting, HIDDEN, problem, _REMEDY)
    return key


_REMEDY = "copy the whole line that `zmqbus key` wrote"


def _decode(prefix: str, text: str) -> tuple[bytes, str]:
    """The key, or what is wrong with the text."""
    if not text.startswith(prefix):
        kind, separator, _ = text.partition("_")
        if separator and kind in ("zmqbusmesh", "zmqbusrunner", "zmqbuspublic"):
            return b"", f"a key that begins with {kind}_, where one with {prefix} is needed"
        return b"", f"no key: it does not begin with {prefix}"
    body = text[len(prefix) :]
    for place, char in enumerate(body, len(prefix) + 1):
        if char not in _ALPHABET:
            return b"", f"mistyped: no key has such a character as that at place {place}"
    if len(body) != _BODY_CHARS:
        how = "cut short" if len(body) < _BODY_CHARS else "too long"
        whole = len(prefix) + _BODY_CHARS
        return b"", f"{how}: {len(text)} characters of {whole}"
    raw = b32decode(body.upper())
    key, check = raw[:KEY_BYTES], raw[KEY_BYTES:]
    if check != _checksum(prefix, key):
        return b"", "mistyped: its checksum does not fit"
    return key, ""


def _checksum(prefix: str, key: bytes) -> bytes:
    return blake2b(
        key, digest_size=_CHECK_BYTES, person=b"zmqbus check", salt=_salt(prefix)
    ).digest()


def _salt(prefix: str) -> bytes:
    return prefix.encode()[:16]
