"""The meeting place of one user's processes on one host."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.net_ends import descriptors

from zmqbus.errors import ConfigError
from zmqbus.net.rendezvous import Rendezvous, runtime_directory
from zmqbus.packets import ChannelId, NodeId, channel_id

CHANNEL, OTHER = channel_id("acme"), channel_id("other")
A, B = NodeId(b"a" * 8), NodeId(b"b" * 8)
TO_A, TO_B = ("tcp://127.0.0.1:1", "ipc:///a"), ("tcp://127.0.0.1:2",)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A directory that does not exist yet; no descriptor may be left of what happens there."""
    before = set(descriptors())
    yield tmp_path / "zmqbus"
    assert set(descriptors()) <= before


@pytest.fixture
def here(place: Path) -> Iterator[Rendezvous]:
    """One process' view."""
    rendezvous = Rendezvous(place)
    yield rendezvous
    rendezvous.close()


@pytest.fixture
def there(place: Path) -> Iterator[Rendezvous]:
    """Another process' view: locks are between open files, so this one serves as well."""
    rendezvous = Rendezvous(place)
    yield rendezvous
    rendezvous.close()


def files(place: Path) -> list[str]:
    """Every file and directory there."""
    return sorted(str(path.relative_to(place)) for path in place.rglob("*"))


def test_registered_nodes_find_each_other(here: Rendezvous, there: Rendezvous) -> None:
    """Each finds the other with its endpoints and not itself, on their common channel only."""
    here.register(CHANNEL, A, TO_A)
    there.register(CHANNEL, B, TO_B)
    there.register(OTHER, B, TO_B)
    assert here.find(CHANNEL) == [(B, TO_B)]
    assert there.find(CHANNEL) == [(A, TO_A)]
    assert there.find(OTHER) == []
    assert repr(there).endswith("[1 nodes]>")


def test_nothing_there_yet_is_nobody(here: Rendezvous, place: Path) -> None:
    """To look before anybody came is no error and leaves no trace."""
    assert here.find(CHANNEL) == []
    assert not place.exists()


def test_who_leaves_is_found_no_more_and_leaves_nothing(
    here: Rendezvous, there: Rendezvous, place: Path
) -> None:
    """Files go with their node, channel by channel; unknown ones are ignored (R32)."""
    here.register(CHANNEL, A, TO_A)
    here.register(OTHER, A, TO_A)
    here.unregister(CHANNEL, A)
    here.unregister(CHANNEL, A)
    here.unregister(CHANNEL, B)
    assert there.find(CHANNEL) == []
    assert there.find(OTHER) == [(A, TO_A)]
    here.close()
    assert there.find(OTHER) == []
    assert files(place) == ["channels", "nodes"]


def test_new_endpoints_replace_the_old_ones(here: Rendezvous, there: Rendezvous) -> None:
    """A node that registers again under other addresses is found there, on all its channels."""
    here.register(CHANNEL, A, TO_A)
    here.register(OTHER, A, TO_B)
    assert there.find(CHANNEL) == there.find(OTHER) == [(A, TO_B)]
    here.unregister(CHANNEL, A)
    assert there.find(OTHER) == [(A, TO_B)]


def test_many_channels_take_one_descriptor(here: Rendezvous) -> None:
    """Descriptors are counted by nodes, not by channels (Z31)."""
    before = len(descriptors())
    for number in range(50):
        here.register(channel_id(str(number)), A, TO_A)
    assert len(descriptors()) <= before + 1


CHILD = """
import sys, time
from pathlib import Path
from zmqbus.net.rendezvous import Rendezvous
from zmqbus.packets import NodeId, channel_id
r = Rendezvous(Path(sys.argv[1]))
for name in sys.argv[2:]:
    r.register(channel_id(name), NodeId(b"c" * 8), ("tcp://127.0.0.1:3",))
print("registered", flush=True)
time.sleep(1000)
"""


RENEWING_CHILD = """
import sys
from pathlib import Path
from zmqbus.net.rendezvous import Rendezvous
from zmqbus.packets import NodeId, channel_id
r = Rendezvous(Path(sys.argv[1]))
for number in range(2000):
    r.register(channel_id("acme"), NodeId(b"c" * 8), (str(number),))
    if number == 0:
        print("registered", flush=True)
sys.stdin.read()
"""


def test_node_that_renews_its_entry_is_never_taken_for_dead(here: Rendezvous, place: Path) -> None:
    """Whoever looks while a file is replaced by its successor removes neither."""
    with subprocess.Popen(
        [sys.executable, "-c", RENEWING_CHILD, str(place)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        assert child.stdout.readline() == "registered\n"
        newest = -1
        while newest < 1_999:
            ((_, (endpoint,)),) = here.find(CHANNEL)
            newest = int(endpoint)
        child.stdin.close()


def killed_child(place: Path, *channels: str) -> list[tuple[NodeId, tuple[str, ...]]]:
    """Have a process register and die by SIGKILL; what was found of it while it lived."""
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(place), *channels], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "registered\n"
        found = Rendezvous(place).find(channel_id(channels[0]))
        child.send_signal(signal.SIGKILL)
    return found


def test_killed_process_is_swept_by_who_looks(here: Rendezvous, place: Path) -> None:
    """An entry ends with its process, and whoever comes across it removes it (Z20, R32)."""
    here.register(CHANNEL, A, TO_A)
    assert sorted(killed_child(place, "acme")) == [
        (A, TO_A),
        (NodeId(b"c" * 8), ("tcp://127.0.0.1:3",)),
    ]
    assert here.find(CHANNEL) == []
    assert here.counters == {"swept_entries": 1}
    ours = CHANNEL.hex()
    assert files(place) == [
        "channels",
        f"channels/{ours}",
        f"channels/{ours}/{A.hex()}",
        "nodes",
        f"nodes/{A.hex()}",
    ]


def test_killed_process_is_swept_by_who_starts(here: Rendezvous, place: Path) -> None:
    """Also from channels that nobody looks at any more (R32)."""
    killed_child(place, "session-1", "session-2")
    here.register(CHANNEL, A, TO_A)
    here.close()
    assert files(place) == ["channels", "nodes"]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff",
        b"[]",
        b"7",
        b'{"endpoints": 7, "pid": 1}',
        b'{"endpoints": [7], "pid": 1}',
        b'{"endpoints": ["x"], "pid": "1"}',
        b'{"pid": 1}',
        b"[" * 70_000,
    ],
)
def test_malformed_entry_is_counted_and_ignored(
    text: bytes, here: Rendezvous, there: Rendezvous, place: Path
) -> None:
    """What does not parse hides nobody else, whether its writer lives or not."""
    here.register(CHANNEL, A, TO_A)
    there.register(CHANNEL, B, TO_B)
    (place / "nodes" / A.hex()).write_bytes(text)
    for name in ("no node", "cc" * 8):
        (place / "channels" / CHANNEL.hex() / name).touch()
    (place / "nodes" / ("cc" * 8)).write_bytes(text)
    (place / "channels" / CHANNEL.hex() / ("dd" * 8)).touch()
    (place / "nodes" / ("dd" * 8)).mkdir()
    third = Rendezvous(place)
    assert third.find(CHANNEL) == [(B, TO_B)]
    assert third.counters == {"malformed_entries": 3, "swept_entries": 1}


def test_directory_is_private(here: Rendezvous, place: Path) -> None:
    """No other user can look in or put anything there (R32)."""
    here.register(CHANNEL, A, TO_A)
    for path in (place, place / "nodes", place / "channels", place / "channels" / CHANNEL.hex()):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert stat.S_IMODE((place / "nodes" / A.hex()).stat().st_mode) == 0o600


def test_open_directory_of_ours_is_mended(here: Rendezvous, place: Path) -> None:
    """A directory that is ours and too open is closed to others."""
    place.mkdir(mode=0o777)
    place.chmod(0o777)
    here.register(CHANNEL, A, TO_A)
    assert stat.S_IMODE(place.stat().st_mode) == 0o700


def test_link_to_a_directory_is_refused(here: Rendezvous, place: Path, tmp_path: Path) -> None:
    """Whoever planted a link could lead us elsewhere."""
    place.symlink_to(tmp_path)
    with pytest.raises(ConfigError, match="no directory of its own"):
        here.register(CHANNEL, A, TO_A)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a directory away")
def test_directory_of_another_user_is_refused(here: Rendezvous, place: Path) -> None:
    """Its owner could read and redirect what is there (R32)."""
    place.mkdir(mode=0o700)
    os.chown(place, 12_345, -1)
    with pytest.raises(ConfigError, match="belongs to user 12345"):
        here.register(CHANNEL, A, TO_A)


def test_directory_that_cannot_be_made_is_a_config_error(tmp_path: Path) -> None:
    """The error names the path, the variable for another one, and how to do without any."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"file/zmqbus.*ZMQBUS_RUNTIME_DIR.*discovery=\(\)"):
        Rendezvous(tmp_path / "file" / "zmqbus").register(CHANNEL, A, TO_A)


@pytest.mark.parametrize("taken", ["nodes", "channels", "all"])
def test_what_a_cleaner_took_is_put_back(
    taken: str, here: Rendezvous, there: Rendezvous, place: Path
) -> None:
    """A long-lived node stays findable though old temporary files are removed."""
    here.register(CHANNEL, A, TO_A)
    here.register(OTHER, A, TO_A)
    for path in sorted(place.rglob("*"), reverse=True):
        if taken in ("all", path.relative_to(place).parts[0]):
            path.rmdir() if path.is_dir() else path.unlink()
    here.find(CHANNEL)
    assert there.find(CHANNEL) == [(A, TO_A)]
    if taken != "channels":
        assert there.find(OTHER) == [(A, TO_A)]


def test_entry_that_cannot_be_written_is_a_config_error_and_leaves_nothing(
    here: Rendezvous, place: Path
) -> None:
    """What the file system refuses names the directory; no draft and no descriptor stays (R32)."""
    (place / "nodes" / A.hex()).mkdir(mode=0o700, parents=True)
    with pytest.raises(ConfigError, match=r"zmqbus.*Is a directory.*ZMQBUS_RUNTIME_DIR"):
        here.register(CHANNEL, A, TO_A)
    assert files(place) == ["channels", "nodes", f"nodes/{A.hex()}"]


def test_channel_joined_after_a_cleaner_came_is_found(
    here: Rendezvous, there: Rendezvous, place: Path
) -> None:
    """Whoever opens a channel later does not fail because the directory was taken meanwhile."""
    here.register(OTHER, A, TO_A)
    shutil.rmtree(place)
    here.register(CHANNEL, A, TO_A)
    here.find(CHANNEL)
    assert there.find(CHANNEL) == [(A, TO_A)]


def test_channel_directory_that_vanishes_meanwhile_is_made_again(
    here: Rendezvous, there: Rendezvous, place: Path
) -> None:
    """Registering and leaving at the same time do not get in each other's way."""
    for _ in range(200):
        here.register(CHANNEL, A, TO_A)
        there.register(CHANNEL, B, TO_B)
        assert there.find(CHANNEL) == [(A, TO_A)]
        here.unregister(CHANNEL, A)
        there.unregister(CHANNEL, B)
        assert not (place / "channels" / CHANNEL.hex()).exists()


def test_directory_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The variable comes first, then the session's directory, if it is this user's."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("ZMQBUS_RUNTIME_DIR", "/elsewhere")
    assert runtime_directory() == Path("/elsewhere/zmqbus")
    monkeypatch.delenv("ZMQBUS_RUNTIME_DIR")
    assert runtime_directory() == tmp_path / "zmqbus"
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/nowhere")
    uid = os.getuid()
    assert runtime_directory() in (Path(f"/run/user/{uid}/zmqbus"), Path(f"/tmp/zmqbus-{uid}"))


def test_channel_of_any_id_has_a_directory(here: Rendezvous, there: Rendezvous) -> None:
    """Ids are bytes: none of them escapes from the directory."""
    odd = ChannelId(b"../../..")
    here.register(odd, A, TO_A)
    assert there.find(odd) == [(A, TO_A)]


def test_survey_tells_the_living_from_the_dead_and_touches_neither(
    here: Rendezvous, place: Path
) -> None:
    """All channels, with the process that wrote each entry: for whoever looks for a fault."""
    here.register(CHANNEL, A, TO_A)
    here.register(OTHER, A, TO_A)
    killed_child(place, "acme")
    (place / "nodes" / B.hex()).write_bytes(b"[]")
    (place / "nodes" / "not an id").touch()
    before = files(place)
    living, dead = sorted(Rendezvous(place).survey(), key=lambda entry: not entry.is_live)
    assert (living.node, living.endpoints, living.pid) == (A, TO_A, os.getpid())
    assert (living.is_live, living.channels) == (True, frozenset({CHANNEL, OTHER}))
    assert (dead.is_live, dead.channels) == (False, frozenset({CHANNEL}))
    assert dead.path == place / "nodes" / dead.node.hex()
    assert files(place) == before
    assert here.find(CHANNEL) == []


def test_survey_of_nothing_makes_nothing(place: Path) -> None:
    """A look leaves no directory behind."""
    assert Rendezvous(place).survey() == []
    assert not place.exists()


def test_survey_of_what_is_no_directory_is_a_config_error(place: Path) -> None:
    """Said as whoever registers there would be told."""
    place.write_text("mine")
    with pytest.raises(ConfigError, match="File exists|no directory"):
        Rendezvous(place).survey()
