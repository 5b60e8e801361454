"""Where a bus' settings come from: an argument, else the environment, else the default."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from zmqbus.errors import ConfigError
from zmqbus.packets import MAX_NAME_BYTES

T = TypeVar("T")

_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")


def choose(
    name: str,
    given: T | None,
    default: T,
    parse: Callable[[str, str], T],
    environ: Mapping[str, str] | None = None,
) -> T:
    """The value of one setting.

    Args:
        name: The argument's name; the variable is ``ZMQBUS_`` and the name in capitals.
        given: The argument, or None if it was not given.
        default: Used when neither is there.
        parse: Turns (variable, its text) into a value.
        environ: The environment.

    Raises:
        ConfigError: The variable's text cannot be parsed, or the argument is of another kind.
    """
    if given is not None:
        return check_kind(name, given, bool) if parse is switch else given
    variable = f"ZMQBUS_{name.upper()}"
    text = (os.environ if environ is None else environ).get(variable)
    return default if text is None else parse(variable, text)


def text(variable: str, value: str) -> str:
    """A setting that is its text."""
    return value


def words(variable: str, value: str) -> Sequence[str]:
    """A setting that is a list, separated by commas or blanks."""
    return tuple(value.replace(",", " ").split())


def switch(variable: str, value: str) -> bool:
    """A setting that is on or off."""
    if value.lower() in _TRUE:
        return True
    if value.lower() in _FALSE:
        return False
    raise ConfigError(variable, value, "neither on nor off", f"say one of {', '.join(_TRUE)} or 0")


def check_kind(setting: str, value: Any, kind: type) -> Any:
    """An argument of a kind, or None.

    Raises:
        ConfigError: It is something else.
    """
    if value is None or isinstance(value, kind):
        return value
    given = type(value).__name__
    raise ConfigError(
        setting, value, f"a {given}, not a {kind.__name__}", f"give a {kind.__name__}"
    )


def check_name(setting: str, value: Any) -> str:
    """A name that can travel: not empty, at most 255 bytes of UTF-8.

    Raises:
        ConfigError: It cannot.
    """
    if not isinstance(value, str):
        raise ConfigError(setting, value, f"a {type(value).__name__}, not a str", "give a name")
    try:
        size_bytes = len(value.encode())
    except UnicodeEncodeError as e:
        raise ConfigError(setting, value, f"not valid Unicode ({e.reason})", "use text") from e
    if not 0 < size_bytes <= MAX_NAME_BYTES:
        raise ConfigError(
            setting,
            value,
            f"{size_bytes} bytes long as UTF-8",
            f"use a name of 1 to {MAX_NAME_BYTES} bytes",
        )
    return value
