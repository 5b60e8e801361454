"""The doctor reads settings exactly as a bus does."""

from __future__ import annotations

from pathlib import Path

import pytest

from zmqbus import MeshKey, MeshNode
from zmqbus.doctor.setup import Options, Setup, read_setup
from zmqbus.errors import ConfigError
from zmqbus.keys.files import write_secret

ENVIRONMENTS: list[dict[str, str]] = [
    {},
    {"ZMQBUS_DISCOVERY": "local,lan", "ZMQBUS_INSECURE": "1"},
    {"ZMQBUS_DISCOVERY": "", "ZMQBUS_BIND": "tcp://*:7400", "ZMQBUS_INSECURE": "yes"},
    {"ZMQBUS_ADVERTISE": "", "ZMQBUS_PEERS": "tcp://127.0.0.1:1, tcp://mesh:7400"},
    {"ZMQBUS_ADVERTISE": "10.0.0.1:7400", "ZMQBUS_BIND": "tcp://127.0.0.1:7400"},
]


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=map(str, ENVIRONMENTS))
def test_environment_means_to_the_doctor_what_it_means_to_a_node(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was examined would else be another mesh."""
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    setup, node = read_setup(Options()), MeshNode()
    assert (setup.bind, setup.advertise, setup.insecure) == (
        node._bind,
        node._advertise,
        node._insecure,
    )
    assert list(setup.seeds) == node._discovery._seeds
    assert ("lan" in setup.methods) == node._discovery.wants_lan
    assert ("local" in setup.methods) == (node._discovery._rendezvous is not None)


def test_option_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As an argument of the bus does."""
    key = MeshKey.new()
    write_secret(tmp_path / "mesh.key", key.reveal())
    monkeypatch.setenv("ZMQBUS_CHANNEL", "theirs")
    monkeypatch.setenv("ZMQBUS_PEERS", "tcp://10.0.0.1:1")
    monkeypatch.setenv("ZMQBUS_KEY", MeshKey.new().reveal())
    setup = read_setup(Options(channel="ours", peers="", key_file=tmp_path / "mesh.key"))
    assert (setup.channel, setup.seeds) == ("ours", ())
    assert setup.ring is not None
    assert setup.ring.keys.mesh == (key,)


def test_key_from_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """And never shown."""
    key = MeshKey.new()
    monkeypatch.setenv("ZMQBUS_KEY", key.reveal())
    setup: Setup = read_setup(Options(discovery="lan"))
    assert setup.ring is not None
    assert setup.ring.keys.use == key
    assert key.reveal() not in repr(setup)
    assert setup.bind_error is None


@pytest.mark.parametrize(
    "options",
    [
        Options(channel=""),
        Options(bind="nowhere"),
        Options(peers="tcp://*:7400"),
        Options(discovery="carrier-pigeon"),
        Options(advertise="host:"),
        Options(peers="tcp://10.0.0.1:7400"),
    ],
)
def test_setting_with_which_no_bus_starts_is_an_error(options: Options) -> None:
    """There is no mesh to be examined; the last binds loopback, and its seed is elsewhere."""
    with pytest.raises(ConfigError):
        read_setup(options)
