"""Errors: what they say, what they carry, and how they are caught."""

from __future__ import annotations

import copy
import inspect

import pytest

from zmqbus import errors
from zmqbus.errors import (
    BindError,
    BusStateError,
    CodecError,
    ConfigError,
    InsecureBindError,
    LibzmqTooOldError,
    MessageTooLargeError,
    WireError,
    ZmqBusError,
)

#: Each error, with what it says.
SENTENCES: list[tuple[ZmqBusError, str]] = [
    (
        ConfigError("channel", "", "empty", "give a name"),
        "channel='': empty; give a name.",
    ),
    (
        InsecureBindError("tcp://0.0.0.0:7000"),
        "bind='tcp://0.0.0.0:7000': without a mesh key anybody who reaches this address could send "
        "and read; give the mesh one with `key=`, bind loopback or ipc, or accept the risk with "
        "`insecure=True`.",
    ),
    (
        BindError("tcp://127.0.0.1:7000", "the port is in use", "choose another"),
        "Cannot bind tcp://127.0.0.1:7000: the port is in use; choose another.",
    ),
    (
        LibzmqTooOldError((4, 1, 0), (4, 3, 2)),
        "libzmq 4.1.0 is too old, it can be crashed over the network; install a pyzmq that brings "
        "libzmq 4.3.2 or newer (the wheels on PyPI do).",
    ),
    (BusStateError("The bus is not started."), "The bus is not started."),
    (
        CodecError("payload['when']", "a `Clock` cannot travel"),
        "payload['when']: a `Clock` cannot travel.",
    ),
    (CodecError("", "a str is no bus message"), "a str is no bus message."),
    (
        MessageTooLargeError("BusJobRequestMessage", 20_000_000, 16_777_216),
        "BusJobRequestMessage: 20,000,000 bytes encoded, the limit is 16,777,216: send it in parts "
        "or raise `max_message_bytes` on every runner.",
    ),
    (WireError("limit", "17 items"), "limit: 17 items."),
]
_BY_NAME = pytest.mark.parametrize(
    ("error", "sentence"), SENTENCES, ids=[type(e).__name__ for e, _ in SENTENCES]
)


def _classes() -> set[type[ZmqBusError]]:
    return {c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, ZmqBusError)}


@_BY_NAME
def test_error_says_a_full_sentence(error: ZmqBusError, sentence: str) -> None:
    """`str()` of an error says what is wrong with which value, and the way out (R25)."""
    assert str(error) == sentence


@_BY_NAME
def test_copy_of_an_error_is_the_same_error(error: ZmqBusError, sentence: str) -> None:
    """An error can be copied, as pools of processes do with it."""
    twin = copy.copy(error)
    assert (type(twin), str(twin), vars(twin)) == (type(error), sentence, vars(error))


def test_every_error_is_in_the_tree_of_the_docstring() -> None:
    """The docstring of the module is the map of what can be raised, and the test knows it all."""
    assert errors.__doc__ is not None
    assert [c.__name__ for c in _classes() if c.__name__ not in errors.__doc__] == []
    assert {type(e) for e, _ in SENTENCES} == _classes() - {ZmqBusError}


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (ConfigError, ValueError),
        (InsecureBindError, ConfigError),
        (BindError, OSError),
        (LibzmqTooOldError, RuntimeError),
        (BusStateError, RuntimeError),
        (CodecError, ValueError),
        (MessageTooLargeError, CodecError),
        (WireError, ValueError),
    ],
)
def test_error_is_caught_by_what_a_stranger_would_expect(
    error: type[ZmqBusError], builtin: type[Exception]
) -> None:
    """Each error is a `ZmqBusError` and the builtin that says the same."""
    assert issubclass(error, builtin)
    assert issubclass(error, ZmqBusError)


def test_data_of_an_error_is_in_its_attributes() -> None:
    """Nobody has to parse a sentence."""
    too_large = MessageTooLargeError("BusFrameMessage", 20, 10)
    assert (too_large.path, too_large.size_bytes, too_large.limit_bytes) == (
        "BusFrameMessage",
        20,
        10,
    )
    config = ConfigError("peers", ["x"], "no address", "give host:port")
    assert (config.setting, config.value) == ("peers", ["x"])
    assert InsecureBindError("tcp://*:1").value == "tcp://*:1"
    assert BindError("tcp://a:1", "taken", "choose another").endpoint == "tcp://a:1"
    wire = WireError("magic", "a frame starts with b'GET '")
    assert (wire.reason, wire.detail) == ("magic", "a frame starts with b'GET '")
