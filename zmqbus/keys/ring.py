"""`KeyRing`: which keys a node uses, which it accepts, whom it admits; changeable while it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from zmqbus.errors import ConfigError
from zmqbus.keys.secret_keys import MeshKey, PublicKey, RunnerKey
from zmqbus.keys.text import Secret


@dataclass(frozen=True, slots=True)
class Keys:
    """The state of a key ring at one time.

    Parameters:
        use: The mesh key of this node's own sockets, and the first to dial others with.
        accept: Further mesh keys: who uses one of them may come in, and is dialled with it.
        runner: This runner's own key, if it has one.
        admit: The only runners that may come in, by their public keys; None: whoever has the mesh
            key.
    """

    use: MeshKey
    accept: tuple[MeshKey, ...] = ()
    runner: RunnerKey | None = None
    admit: frozenset[PublicKey] | None = None

    @property
    def mesh(self) -> tuple[MeshKey, ...]:
        """All mesh keys, the used one first."""
        return (self.use, *self.accept)


class KeyRing:
    """The keys of a node.

    Rotation without downtime takes three rounds, each of which may take as long as it likes:
    `accept` the new key on every runner, `use` it on every runner, `drop` the old one on every
    runner. With key files: add the new key as second line, put it first, remove the old one, and
    restart the runners one by one each time.

    With ``admit`` the mesh key alone opens no door: who comes in must own one of the runner keys
    whose public halves are listed, which can be changed while all talk.

    Args:
        use: The mesh key to use.
        accept: Further mesh keys to accept.
        runner: This runner's own key. Needed where runners are admitted one by one.
        admit: The public keys of the runners that may come in, as `PublicKey` or text. This
            runner's own need not be among them.

    Raises:
        ConfigError: A public key does not parse, or ``admit`` is given without ``runner``.
    """

    def __init__(
        self,
        use: MeshKey,
        *,
        accept: Iterable[MeshKey] = (),
        runner: RunnerKey | None = None,
        admit: Iterable[PublicKey | str] | None = None,
    ) -> None:
        others = tuple(dict.fromkeys(key for key in accept if key != use))
        if admit is not None and runner is None:
            reason = "the others would not let this runner in without a key of its own"
            raise ConfigError("admit", admit, reason, "give `runner=` too")
        admitted = None if admit is None else frozenset(map(_public, admit))
        self._keys = Keys(use, others, runner, admitted)
        self._watchers: list[Callable[[Keys], None]] = []

    @classmethod
    def parse(cls, text: str | Secret, setting: str = "key") -> KeyRing:
        """Read mesh keys, separated by blanks or line ends; the first is used, all are accepted.

        Lines that begin with ``#`` are ignored.

        Raises:
            ConfigError: There is none, or one is cut short or mistyped.
        """
        text = text if isinstance(text, Secret) else Secret(text)
        lines = text.reveal().splitlines()
        parts = [Secret(part) for line in lines if line[:1] != "#" for part in line.split()]
        del lines
        if not parts:
            raise ConfigError(setting, "", "no key is there", "write one with `zmqbus key new`")
        use, *accept = [MeshKey.parse(part, setting) for part in parts]
        return cls(use, accept=accept)

    def __repr__(self) -> str:
        keys = self._keys
        others = "".join(f", accepts {key.fingerprint}" for key in keys.accept)
        admits = "" if keys.admit is None else f", admits {len(keys.admit)} runners"
        return f"<KeyRing [uses {keys.use.fingerprint}{others}{admits}]>"

    @property
    def keys(self) -> Keys:
        """The keys as they are now."""
        return self._keys

    def watch(self, watcher: Callable[[Keys], None]) -> Callable[[], None]:
        """Have a function called after each change; returns what undoes that."""
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    # -- changes; to be made on the thread of the loop that the node runs on

    def accept(self, key: MeshKey) -> None:
        """Let also those in who use this mesh key."""
        if key not in self._keys.mesh:
            self._change(replace(self._keys, accept=(*self._keys.accept, key)))

    def use(self, key: MeshKey) -> None:
        """Use this mesh key from now on, and go on accepting the one used so far.

        All connections of the node are made anew: they are back within a second, and nothing is
        lost. Whoever does not accept the key by then is cut off.
        """
        if key != self._keys.use:
            rest = tuple(each for each in self._keys.mesh if each != key)
            self._change(replace(self._keys, use=key, accept=rest))

    def drop(self, key: MeshKey) -> None:
        """Accept a mesh key no more; who still uses it is hung up.

        Raises:
            ConfigError: It is the one in use.
        """
        if key == self._keys.use:
            raise ConfigError("drop", key, "this key is in use", "use another one first")
        rest = tuple(each for each in self._keys.accept if each != key)
        if rest != self._keys.accept:
            self._change(replace(self._keys, accept=rest))

    def admit(self, public: PublicKey | str) -> None:
        """Let a runner in.

        Raises:
            ConfigError: The text is no public key, or runners are not admitted one by one here.
        """
        self._change(replace(self._keys, admit=self._admitted() | {_public(public)}))

    def revoke(self, public: PublicKey | str) -> None:
        """Turn a runner out: its connections are hung up, and it is not let in again.

        It still has the mesh key: until that is rotated it may learn who is there, but no message.

        Raises:
            ConfigError: The text is no public key, or runners are not admitted one by one here.
        """
        self._change(replace(self._keys, admit=self._admitted() - {_public(public)}))

    def _admitted(self) -> frozenset[PublicKey]:
        if self._keys.admit is None:
            reason = "whoever has the mesh key is admitted here"
            raise ConfigError("admit", None, reason, "make the KeyRing with `admit=`")
        return self._keys.admit

    def _change(self, keys: Keys) -> None:
        if keys != self._keys:
            self._keys = keys
            for watcher in tuple(self._watchers):
                watcher(keys)


def _public(public: PublicKey | str) -> PublicKey:
    return public if isinstance(public, PublicKey) else PublicKey.parse(public)
