"""Where a node's keys come from: an argument, else the environment, else there are none."""

from __future__ import annotations

import os
from collections.abc import Mapping

from zmqbus.errors import ConfigError
from zmqbus.keys.files import read_public, read_ring, read_secret
from zmqbus.keys.ring import KeyRing
from zmqbus.keys.secret_keys import MeshKey, RunnerKey
from zmqbus.keys.text import HIDDEN, Secret

KeyArgument = KeyRing | MeshKey | Secret | str | None
"""What may be given as ``key=``. A text holds one key or several (see `KeyRing.parse`)."""

KEY, KEY_FILE = "ZMQBUS_KEY", "ZMQBUS_KEY_FILE"
RUNNER_KEY_FILE, ADMIT_FILE = "ZMQBUS_RUNNER_KEY_FILE", "ZMQBUS_ADMIT_FILE"


def hide(key: KeyArgument) -> KeyRing | MeshKey | Secret | None:
    """A key argument in a form that no traceback shows; to be called before anything can fail."""
    return Secret(key) if isinstance(key, str) else key


def choose_ring(
    key: KeyRing | MeshKey | Secret | None, environ: Mapping[str, str] | None = None
) -> KeyRing | None:
    """The key ring of a node; None for a node without a key.

    Args:
        key: The argument, hidden.
        environ: The environment: ``ZMQBUS_KEY`` or ``ZMQBUS_KEY_FILE``, and where runners have keys
            of their own ``ZMQBUS_RUNNER_KEY_FILE`` and ``ZMQBUS_ADMIT_FILE``.

    Raises:
        ConfigError: A key is broken, a file can be read by others, or a variable is empty.
    """
    match key:
        case KeyRing():
            return key
        case MeshKey():
            return KeyRing(key)
        case Secret():
            return KeyRing.parse(key)
        case None:
            return _from_environment(os.environ if environ is None else environ)
    kind = type(key).__name__
    raise ConfigError("key", HIDDEN, f"a {kind}", "give a key's text, a MeshKey or a KeyRing")


def _from_environment(environ: Mapping[str, str]) -> KeyRing | None:
    if KEY in environ and KEY_FILE in environ:
        reason = f"{KEY} is set too, and nobody knows which is meant"
        raise ConfigError(KEY_FILE, environ[KEY_FILE], reason, "unset one of them")
    if KEY in environ:
        ring = KeyRing.parse(Secret(environ[KEY]), KEY)
    elif KEY_FILE in environ:
        ring = read_ring(environ[KEY_FILE], KEY_FILE)
    else:
        for name in (RUNNER_KEY_FILE, ADMIT_FILE):
            if name in environ:
                reason = "a runner's key comes on top of a mesh key, and there is none"
                raise ConfigError(name, environ[name], reason, f"set {KEY_FILE} too")
        return None
    return _with_runner(ring, environ)


def _with_runner(ring: KeyRing, environ: Mapping[str, str]) -> KeyRing:
    runner, admit = None, None
    if RUNNER_KEY_FILE in environ:
        secret = read_secret(environ[RUNNER_KEY_FILE], RUNNER_KEY_FILE)
        runner = RunnerKey.parse(secret, f"{RUNNER_KEY_FILE} {environ[RUNNER_KEY_FILE]}")
    if ADMIT_FILE in environ:
        admit = read_public(environ[ADMIT_FILE], ADMIT_FILE)
    return KeyRing(ring.keys.use, accept=ring.keys.accept, runner=runner, admit=admit)
