"""The two kinds of secret: the key of a mesh, and the key of one runner.

A key is only shown by `reveal`. Its `fingerprint` is a hash of it: it tells two keys apart, in logs
and on the wire, and gives nobody anything.
"""

from __future__ import annotations

import os
from hashlib import blake2b
from hmac import compare_digest
from typing import ClassVar, Self

from zmqbus.keys.text import KEY_BYTES, Secret, decode, encode


class _SecretKey:
    """32 random bytes that show themselves nowhere."""

    __slots__ = ("_secret",)

    PREFIX: ClassVar[str]

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    @classmethod
    def new(cls) -> Self:
        """A fresh key, from the system's source of chance."""
        return cls(os.urandom(KEY_BYTES))

    @classmethod
    def parse(cls, text: str | Secret, setting: str = "key") -> Self:
        """Read a key from its text.

        Raises:
            ConfigError: It is none; says whether it was cut short, mistyped, or of another kind.
        """
        text = text if isinstance(text, Secret) else Secret(text)
        return cls(decode(cls.PREFIX, text, setting))

    def reveal(self) -> str:
        """The key as text, to be kept secret: for a key file, for nothing else."""
        return encode(self.PREFIX, self._secret)

    def derive(self, purpose: str) -> bytes:
        """32 bytes that depend on key and purpose, and tell nothing of either."""
        salt = purpose.encode()
        return blake2b(
            key=self._secret, person=b"zmqbus derive", salt=salt, digest_size=32
        ).digest()

    @property
    def fingerprint(self) -> str:
        """A short name of the key that everybody may see."""
        return self.derive("fingerprint")[:4].hex()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.fingerprint}>"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and compare_digest(self._secret, other._secret)

    def __hash__(self) -> int:
        return hash((type(self), self.fingerprint))

    def __reduce__(self) -> str:
        raise TypeError("A key is not pickled: give each process the key file.")


class MeshKey(_SecretKey):
    """The key of a mesh: who has it is a member."""

    __slots__ = ()
    PREFIX = "zmqbusmesh_"


class RunnerKey(_SecretKey):
    """The key of one runner: it can be admitted and turned out alone."""

    __slots__ = ()
    PREFIX = "zmqbusrunner_"


class PublicKey:
    """The public half of a `RunnerKey`: what others admit. No secret.

    Args:
        raw: Its 32 bytes.
    """

    __slots__ = ("raw",)

    PREFIX = "zmqbuspublic_"

    def __init__(self, raw: bytes) -> None:
        self.raw = raw

    @classmethod
    def parse(cls, text: str, setting: str = "admit") -> PublicKey:
        """Read a public key from its text.

        Raises:
            ConfigError: It is none; says whether it was cut short, mistyped, or of another kind.
        """
        return cls(decode(cls.PREFIX, Secret(text), setting))

    @classmethod
    def is_name(cls, user: str) -> bool:
        """Whether a name that the other side of a connection goes by is a public key."""
        return user.startswith(cls.PREFIX)

    def __str__(self) -> str:
        return encode(self.PREFIX, self.raw)

    def __repr__(self) -> str:
        return f"<PublicKey {self}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PublicKey) and self.raw == other.raw

    def __hash__(self) -> int:
        return hash(self.raw)
