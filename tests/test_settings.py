"""Where settings come from, and which of them cannot be used."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from zmqbus.errors import ConfigError
from zmqbus.settings import check_name, choose, switch, text, words

ENVIRON = {"ZMQBUS_BIND": "tcp://127.0.0.1:1", "ZMQBUS_PEERS": "", "ZMQBUS_INSECURE": "yes"}


def test_argument_wins_over_the_variable_and_that_over_the_default() -> None:
    """Also an argument that is false wins; only None means that it was not given."""
    assert choose("bind", "ipc:///x", "default", text, ENVIRON) == "ipc:///x"
    assert choose("bind", "", "default", text, ENVIRON) == ""
    assert choose("bind", None, "default", text, ENVIRON) == "tcp://127.0.0.1:1"
    assert choose("advertise", None, "default", text, ENVIRON) == "default"
    assert choose("insecure", False, True, switch, ENVIRON) is False


def test_variable_that_is_set_to_nothing_is_set() -> None:
    """An empty variable is an empty list, not the default: discovery can be switched off."""
    default: Sequence[str] = ("x",)
    assert choose("peers", None, default, words, ENVIRON) == ()


@pytest.mark.parametrize(
    "value", ["tcp://a:1,tcp://b:2", "tcp://a:1 tcp://b:2", " tcp://a:1 , tcp://b:2,"]
)
def test_words_are_separated_by_commas_or_blanks(value: str) -> None:
    """Either will do, and spare ones do no harm."""
    assert words("ZMQBUS_PEERS", value) == ("tcp://a:1", "tcp://b:2")


@pytest.mark.parametrize(
    ("value", "on"),
    [("1", True), ("TRUE", True), ("on", True), ("0", False), ("No", False), ("", False)],
)
def test_switch_knows_the_usual_words(value: str, on: bool) -> None:
    """In any case."""
    assert switch("ZMQBUS_INSECURE", value) is on


def test_switch_that_is_neither_names_the_variable() -> None:
    """What is neither on nor off is not guessed."""
    with pytest.raises(ConfigError, match=r"ZMQBUS_INSECURE='maybe': neither on nor off; say one"):
        switch("ZMQBUS_INSECURE", "maybe")


@pytest.mark.parametrize("name", ["x", "x" * 255, "ü" * 127, "pipecat:bus", " "])
def test_name_of_up_to_255_bytes_is_taken_as_it_is(name: str) -> None:
    """Names match exactly, so nothing is stripped or folded."""
    assert check_name("channel", name) == name


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "0 bytes long"),
        ("x" * 256, "256 bytes long"),
        ("ü" * 128, "256 bytes long"),
        ("\ud800", "not valid Unicode"),
        (b"x", "a bytes, not a str"),
        (7, "a int, not a str"),
    ],
)
def test_name_that_cannot_travel_is_refused(name: object, reason: str) -> None:
    """The error has the value, the reason and the way out."""
    with pytest.raises(ConfigError, match=reason) as caught:
        check_name("channel", name)
    assert caught.value.value == name
    assert caught.value.remedy
