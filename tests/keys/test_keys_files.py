"""Key files and the environment: what a node's keys are read from."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from zmqbus.errors import ConfigError
from zmqbus.keys import KeyRing, MeshKey, PublicKey, RunnerKey, Secret, choose_ring, hide
from zmqbus.keys.files import MAX_FILE_BYTES, read_public, read_ring

posix = pytest.mark.skipif(os.name != "posix", reason="modes are those of POSIX")


def write(path: Path, content: str | bytes, mode: int = 0o600) -> str:
    """Write a file with a mode; returns its path."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)
    return str(path)


@posix
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o602, 0o644])
def test_file_open_to_others_is_refused_with_what_mends_it(tmp_path: Path, mode: int) -> None:
    """The command can be copied, whatever the file is called (X19)."""
    path = write(tmp_path / "my mesh.key", MeshKey.new().reveal(), mode)
    with pytest.raises(ConfigError) as caught:
        read_ring(path)
    assert f"(mode {mode:04o}); `chmod 600 '{path}'` mends it" in str(caught.value)


@posix
@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_file_of_its_owner_alone_is_read(tmp_path: Path, mode: int) -> None:
    """Also one that not even the owner may write."""
    key = MeshKey.new()
    assert read_ring(write(tmp_path / "mesh.key", key.reveal(), mode)).keys.use == key


needs_root = pytest.mark.skipif(
    os.name != "posix" or os.geteuid() != 0, reason="only root can give files away"
)


@needs_root
@pytest.mark.parametrize(
    ("owner", "mode", "me", "is_read"),
    [
        (0, 0o440, 1000, True),  # as Kubernetes mounts a secret for an fsGroup
        (0, 0o640, 1000, True),
        (0, 0o440, 0, False),  # root needs no group
        (1000, 0o440, 1000, False),  # the owner could have kept it from the group
        (0, 0o460, 1000, False),
        (0, 0o444, 1000, False),
    ],
)
def test_file_that_root_gave_to_a_group_is_read_by_its_members(
    owner: int, mode: int, me: int, is_read: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only root can have meant that; everybody else has a file of his own."""
    path = write(tmp_path / "mesh.key", MeshKey.new().reveal(), mode)
    os.chown(path, owner, 1000)
    monkeypatch.setattr(os, "geteuid", lambda: me)
    if is_read:
        assert read_ring(path)
    else:
        with pytest.raises(ConfigError, match=f"mode {mode:04o}"):
            read_ring(path)


@needs_root
def test_file_of_another_user_says_whose_it_should_be(tmp_path: Path) -> None:
    """As a container sees it whose user is not the owner of the file that is mounted."""
    path = write(tmp_path / "mesh.key", MeshKey.new().reveal())
    os.seteuid(1000)
    try:
        with pytest.raises(ConfigError, match="Permission denied; let it belong to the user who"):
            read_ring(path)
    finally:
        os.seteuid(0)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "no key is there"),
        (b"\xff\xfe" + bytes(50), "it is no text, or too long, for a key file"),
        ("a" * (MAX_FILE_BYTES + 1), "it is no text, or too long, for a key file"),
        (MeshKey(bytes(32)).reveal()[:-9], "cut short: 66 characters of 75"),
    ],
)
def test_file_with_something_else_says_what_is_wrong(
    tmp_path: Path, content: str | bytes, problem: str
) -> None:
    """And names the file."""
    path = write(tmp_path / "mesh.key", content)
    with pytest.raises(ConfigError, match=problem) as caught:
        read_ring(path)
    assert path in str(caught.value)


def test_missing_file_is_named(tmp_path: Path) -> None:
    """With what the system says."""
    with pytest.raises(ConfigError, match=r"nowhere.*No such file or directory"):
        read_ring(tmp_path / "nowhere")


def test_list_of_admitted_may_have_remarks(tmp_path: Path) -> None:
    """It is no secret, so its mode does not matter; a broken line is named by its number."""
    one, two = PublicKey(bytes(32)), PublicKey(bytes(31) + b"\1")
    path = write(tmp_path / "admitted", f"# runners\n{one}  # desk\n\n{two}\n", 0o644)
    assert read_public(path) == [one, two]
    broken = write(tmp_path / "broken", f"{one}\n{str(two)[:-1]}\n")
    with pytest.raises(ConfigError, match=r"broken line 2=.*cut short"):
        read_public(broken)
    with pytest.raises(ConfigError, match="No such file"):
        read_public(tmp_path / "nowhere")


def test_keys_come_from_the_argument_else_the_environment(tmp_path: Path) -> None:
    """An argument wins; without both there is no key."""
    one, two = MeshKey.new(), MeshKey.new()
    path = write(tmp_path / "mesh.key", two.reveal())
    ring = KeyRing(one)
    assert choose_ring(None, {}) is None
    assert choose_ring(ring, {"ZMQBUS_KEY": two.reveal()}) is ring
    for key, environ, used in (
        (one, {"ZMQBUS_KEY": two.reveal()}, one),
        (hide(one.reveal()), {"ZMQBUS_KEY_FILE": path}, one),
        (None, {"ZMQBUS_KEY": one.reveal()}, one),
        (None, {"ZMQBUS_KEY_FILE": path}, two),
    ):
        chosen = choose_ring(key, environ)
        assert chosen is not None
        assert chosen.keys.use == used


def test_runners_of_their_own_come_from_the_environment_too(tmp_path: Path) -> None:
    """So a container needs no code for them either."""
    mesh, runner, public = MeshKey.new(), RunnerKey.new(), PublicKey(bytes(32))
    environ = {
        "ZMQBUS_KEY": mesh.reveal(),
        "ZMQBUS_RUNNER_KEY_FILE": write(tmp_path / "desk.key", runner.reveal()),
        "ZMQBUS_ADMIT_FILE": write(tmp_path / "admitted", str(public)),
    }
    ring = choose_ring(None, environ)
    assert ring is not None
    assert (ring.keys.use, ring.keys.runner, ring.keys.admit) == (mesh, runner, frozenset([public]))


@pytest.mark.parametrize(
    ("environ", "problem"),
    [
        ({"ZMQBUS_KEY": ""}, "no key is there"),
        ({"ZMQBUS_KEY": "a", "ZMQBUS_KEY_FILE": "b"}, "nobody knows which is meant"),
        ({"ZMQBUS_ADMIT_FILE": "a"}, "on top of a mesh key"),
        ({"ZMQBUS_RUNNER_KEY_FILE": "a"}, "on top of a mesh key"),
    ],
)
def test_environment_that_may_be_a_mistake_is_one(environ: dict[str, str], problem: str) -> None:
    """An empty key is not taken for the wish to go without."""
    with pytest.raises(ConfigError, match=problem):
        choose_ring(None, environ)


def test_argument_of_another_kind_is_refused_without_its_value() -> None:
    """Bytes that were meant as a key are a secret as well."""
    with pytest.raises(ConfigError, match=r"key='<hidden>': a bytes; give a key's text"):
        choose_ring(b"hunter2")  # type: ignore[arg-type]
    assert repr(hide("hunter2")) == repr(Secret("hunter2")) == "<hidden>"
