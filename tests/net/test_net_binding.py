"""Where transports bind, and what peers are told about it."""

from __future__ import annotations

import os
import random
import socket
import stat
from pathlib import Path

import pytest
from support.net_ends import Ends

from zmqbus.errors import BindError, ConfigError, InsecureBindError
from zmqbus.net import claim
from zmqbus.net.addresses import interface_host
from zmqbus.net.endpoint import parse_dialable

SELF = "tcp://127.0.0.1:*"


def free_ports() -> int:
    """A port that is free, as is the next one, below those that the system gives to clients."""
    while True:
        port = random.randrange(12_000, 32_000)
        try:
            for each in (port, port + 1):
                socket.create_server(("127.0.0.1", each)).close()
        except OSError:
            continue
        return port


async def test_port_in_use_is_named(ends: Ends) -> None:
    """A second bind on a port says which port is taken and what to do (Z24)."""
    first = await ends.open()
    with pytest.raises(BindError, match=rf"{first.endpoint}: the port is in use; choose"):
        await ends.open(first.endpoint)


async def test_data_plane_takes_the_next_port_or_names_it(ends: Ends) -> None:
    """A fixed port P means P and P+1, so that a firewall can be told; P+1 taken is named."""
    port = free_ports()
    with (
        socket.create_server(("127.0.0.1", port + 1)),
        pytest.raises(BindError, match=f":{port + 1}: the port is in use"),
    ):
        await ends.open(f"tcp://127.0.0.1:{port}")
    again = await ends.open(f"tcp://127.0.0.1:{port}")
    assert again.endpoint == f"tcp://127.0.0.1:{port}"
    assert again.data_endpoint == f"tcp://127.0.0.1:{port + 1}"


async def test_fixed_port_can_be_bound_again_at_once(ends: Ends) -> None:
    """A restart on a fixed port does not meet its own past (Z24)."""
    where, peer = f"tcp://127.0.0.1:{free_ports()}", await ends.open()
    for number in range(3):
        again = await ends.open(where)
        await peer.dial(number, again)
        await again.transport.close(0)


async def test_foreign_address_is_refused_by_name(ends: Ends) -> None:
    """An address of another machine cannot be bound, and the error says so."""
    with pytest.raises(BindError, match=r"192\.0\.2\.1.*no address of this machine"):
        await ends.open("tcp://192.0.2.1:*", insecure=True)


@pytest.mark.parametrize(
    "bind", ["tcp://*:*", "tcp://0.0.0.0:*", "tcp://[::]:0", "tcp://192.0.2.1:5", "tcp://host:5"]
)
async def test_open_bind_without_key_is_refused(bind: str, ends: Ends) -> None:
    """What others could reach needs an explicit word (R29, X04)."""
    with pytest.raises(InsecureBindError, match="insecure=True"):
        await ends.open(bind)


@pytest.mark.parametrize("bind", ["tcp://*:*", "tcp://0.0.0.0:*", "tcp://[::]:*"])
async def test_wildcard_bind_is_told_as_addresses(bind: str, ends: Ends) -> None:
    """Peers learn addresses of interfaces, never the wildcard, and the first one works (Z22)."""
    a, b = await ends.open(bind, insecure=True), await ends.open()
    told = [parse_dialable(e) for e in a.transport.endpoints + a.transport.data_endpoints]
    assert all(e is not None and e.address and not e.is_wildcard for e in told)
    await b.dial(1, a)
    await b.read(a, b"t")


async def test_names_of_hosts_and_interfaces_are_bound_by_address(ends: Ends) -> None:
    """The names localhost and lo stand for an address; libzmq would refuse the first (Z23)."""
    assert (await ends.open("tcp://localhost:*")).endpoint.startswith("tcp://127.0.0.1:")
    if interface_host("lo") is None:
        pytest.skip("no interface is called lo here")
    assert (await ends.open("tcp://lo:*", insecure=True)).endpoint.startswith("tcp://127.0.0.1:")


async def test_name_that_means_nothing_is_a_config_error(ends: Ends) -> None:
    """A bind to a name that does not resolve says so (Z23)."""
    with pytest.raises(ConfigError, match=r"nowhere\.invalid is neither an interface nor a name"):
        await ends.open("tcp://nowhere.invalid:*", insecure=True)


async def test_advertised_addresses_replace_the_bound_ones(ends: Ends) -> None:
    """What the user says is what peers are told; ports left out are the bound ones (Z23)."""
    whole = await ends.open(advertise="203.0.113.7:5000, tcp://[2001:db8::1]:6000+7000")
    assert whole.transport.endpoints == ("tcp://203.0.113.7:5000", "tcp://[2001:db8::1]:6000")
    assert whole.transport.data_endpoints == (
        "tcp://203.0.113.7:5001",
        "tcp://[2001:db8::1]:7000",
    )
    bare = await ends.open(advertise="localhost")
    assert bare.endpoint.startswith("tcp://127.0.0.1:")
    peer = await ends.open()
    await peer.dial(1, bare)
    await peer.read(bare, b"t")


async def test_served_ipc_path_is_not_taken(short_path: Path, ends: Ends) -> None:
    """A second node on a path is refused, and the first serves on (F22, Z20)."""
    bind = f"ipc://{short_path}/n"
    first, peer = await ends.open(bind), await ends.open()
    with pytest.raises(BindError, match="another process serves there"):
        await ends.open(bind)
    await peer.dial(1, first)


@pytest.mark.parametrize("suffix", ["", ".data"])
async def test_ipc_path_of_a_foreign_program_is_not_taken(
    suffix: str, short_path: Path, ends: Ends
) -> None:
    """Whoever listens there keeps the path, also one that takes no part in our locks (F22)."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{short_path}/n{suffix}")
        server.listen()
        with pytest.raises(BindError, match=f"n{suffix}: another process serves there"):
            await ends.open(f"ipc://{short_path}/n")
    assert sorted(os.listdir(short_path)) == [f"n{suffix}"]


async def test_stale_ipc_files_are_replaced(short_path: Path, ends: Ends) -> None:
    """What a dead process left there does not stand in the way (Z20)."""
    for name in ("n", "n.data"):
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(f"{short_path}/{name}")
    (short_path / "n.lock").touch()
    a, peer = await ends.open(f"ipc://{short_path}/n"), await ends.open()
    await peer.dial(1, a)
    await peer.read(a, b"t")


async def test_file_that_is_no_socket_is_kept(short_path: Path, ends: Ends) -> None:
    """A file of another kind is not removed, though libzmq would."""
    (short_path / "n").write_text("precious")
    with pytest.raises(BindError, match="something else is there"):
        await ends.open(f"ipc://{short_path}/n")
    assert (short_path / "n").read_text() == "precious"


async def test_ipc_sockets_are_private_and_removed(short_path: Path, ends: Ends) -> None:
    """Other users cannot connect, and nothing is left at the end (Z20)."""
    a = await ends.open(f"ipc://{short_path}/n")
    for name in ("n", "n.data", "n.lock"):
        assert stat.S_IMODE((short_path / name).stat().st_mode) == 0o600
    await a.transport.close(0)
    assert not os.listdir(short_path)


async def test_files_that_a_cleaner_took_are_not_missed(short_path: Path, ends: Ends) -> None:
    """Closing does not fail because old temporary files were removed, the lock among them."""
    a = await ends.open(f"ipc://{short_path}/n")
    for name in ("n", "n.data", "n.lock"):
        (short_path / name).unlink()
    await a.transport.close(0)
    assert not os.listdir(short_path)


async def test_platform_without_ipc_says_so(
    short_path: Path, ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And names what it has."""
    monkeypatch.setattr(claim, "fcntl", None)
    with pytest.raises(BindError, match=r"this platform has no ipc; bind tcp://127\.0\.0\.1"):
        await ends.open(f"ipc://{short_path}/n")


async def test_missing_directory_is_a_bind_error(short_path: Path, ends: Ends) -> None:
    """An ipc path in a directory that is not there says so."""
    with pytest.raises(BindError, match="No such file or directory"):
        await ends.open(f"ipc://{short_path}/none/n")
