"""Keys as text: what people do to them while they copy them."""

from __future__ import annotations

import copy
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zmqbus.errors import ConfigError
from zmqbus.keys import KeyRing, MeshKey, PublicKey, RunnerKey, Secret

KEY = MeshKey(bytes(range(32)))
TEXT = KEY.reveal()


@pytest.mark.parametrize("kind", [MeshKey, RunnerKey])
def test_key_comes_back_from_its_text(kind: type[MeshKey] | type[RunnerKey]) -> None:
    """What is written is read, with blanks and line ends around it too."""
    key = kind.new()
    assert kind.parse(f" {key.reveal()}\r\n") == key
    assert kind.new() != key


def test_public_key_comes_back_from_its_text() -> None:
    """It is no secret, so `str` shows it."""
    public = PublicKey(bytes(range(32)))
    assert PublicKey.parse(str(public)) == public
    assert repr(public) == f"<PublicKey {public}>"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (TEXT[:-1], "cut short: 74 characters of 75"),
        (TEXT[:20], "cut short: 20 characters of 75"),
        (TEXT + "a", "too long: 76 characters of 75"),
        (TEXT[:30] + "1" + TEXT[31:], "mistyped: no key has such a character as that at place 31"),
        (TEXT[:30].upper() + TEXT[30:], "no key: it does not begin with zmqbusmesh_"),
        (TEXT[:-2] + TEXT[-1] + TEXT[-2], "mistyped: its checksum does not fit"),
        (TEXT[11:], "no key: it does not begin with zmqbusmesh_"),
        ("hunter2", "no key: it does not begin with zmqbusmesh_"),
        ("zmqbusrunner_" + TEXT[11:], "a key that begins with zmqbusrunner_"),
        (str(PublicKey(bytes(32))), "a key that begins with zmqbuspublic_"),
    ],
)
def test_broken_key_says_how_it_is_broken(text: str, problem: str) -> None:
    """Cut short, too long, mistyped, or another thing altogether: which, and the way out."""
    with pytest.raises(ConfigError) as caught:
        MeshKey.parse(text)
    said = str(caught.value)
    assert problem in said
    assert "copy the whole line that `zmqbus key` wrote" in said
    assert text not in said


@given(st.integers(0, len(TEXT) - 1), st.characters(codec="utf-8"))
def test_one_wrong_character_is_noticed_wherever_it_is(place: int, char: str) -> None:
    """No slip of a finger makes another key."""
    text = TEXT[:place] + char + TEXT[place + 1 :]
    if text.strip() != TEXT:
        with pytest.raises(ConfigError):
            MeshKey.parse(text)


@given(st.text())
def test_any_text_is_a_key_or_an_error_of_ours(text: str) -> None:
    """Whatever a key file holds, nothing else comes out."""
    with pytest.raises(ConfigError):
        KeyRing.parse(text)


def test_several_keys_are_used_and_accepted_in_their_order() -> None:
    """The first is used; remarks and empty lines do not count; a key that is there twice is one."""
    new, old = MeshKey.new(), MeshKey.new()
    text = f"# since May\n{new.reveal()}\n\n#{old.reveal()}\n  {old.reveal()} {new.reveal()}\n"
    assert KeyRing.parse(text).keys.mesh == (new, old)


def test_no_key_at_all_is_an_error() -> None:
    """An empty file or variable is a mistake, not a wish to go without."""
    with pytest.raises(ConfigError, match="no key is there; write one with `zmqbus key new`"):
        KeyRing.parse("# nothing\n")


def test_broken_second_key_is_found() -> None:
    """Every key of a ring is looked at."""
    with pytest.raises(ConfigError, match="cut short"):
        KeyRing.parse(f"{TEXT} {TEXT[:-3]}")


# -- secrecy


def shows(text: str, *keys: MeshKey | RunnerKey) -> bool:
    """Whether a text shows any of a secret: its text, or its bytes in hex or as Python has them."""
    return any(
        part in text
        for key in keys
        for part in (key.reveal()[15:40], key._secret.hex()[:16], repr(key._secret)[2:20])
    )


def test_nothing_that_prints_a_key_shows_it() -> None:
    """Neither `repr`, `str`, nor a format, of a key and of whatever holds one."""
    mesh, other, runner = MeshKey.new(), MeshKey.new(), RunnerKey.new()
    ring = KeyRing(mesh, accept=[other], runner=runner, admit=[])
    for thing in (mesh, runner, ring, ring.keys, Secret(mesh.reveal()), [mesh], {"key": mesh}):
        for text in (repr(thing), str(thing), f"{thing}", f"{thing!r:>10}"):
            assert not shows(text, mesh, other, runner), text
    assert repr(mesh) == f"<MeshKey {mesh.fingerprint}>"
    assert repr(ring) == (
        f"<KeyRing [uses {mesh.fingerprint}, accepts {other.fingerprint}, admits 0 runners]>"
    )
    assert shows(mesh.reveal(), mesh), "the instrument sees what it should not"


@pytest.mark.parametrize("secret", [KEY, RunnerKey.new(), Secret("s")])
def test_secret_is_neither_pickled_nor_copied(secret: object) -> None:
    """It would travel to who knows where."""
    with pytest.raises(TypeError, match="is not pickled"):
        copy.copy(secret)


def test_traceback_with_all_variables_shows_no_key() -> None:
    """Loggers print the values of variables in a traceback: a mistyped key is nearly a key."""
    text = Secret(TEXT[:-1] + "a")
    for parse in (MeshKey.parse, KeyRing.parse):
        with pytest.raises(ConfigError) as caught:
            parse(text)
        told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
        assert not shows("".join(told.format()), KEY)


def test_fingerprint_tells_keys_apart_and_is_no_part_of_them() -> None:
    """It is a hash: the same for equal keys, another for others."""
    assert KEY.fingerprint == MeshKey.parse(TEXT).fingerprint
    assert KEY.fingerprint != MeshKey.new().fingerprint
    assert KEY.fingerprint not in TEXT
    assert KEY.derive("server") != KEY.derive("client") != RunnerKey(bytes(32)).derive("client")
