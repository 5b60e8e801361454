"""Addresses as users write them and as peers send them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from zmqbus.errors import ConfigError
from zmqbus.net.endpoint import (
    IPC_PATH_BYTES,
    Endpoint,
    parse_advertise,
    parse_bind,
    parse_dialable,
    parse_seed,
)

GOOD = {
    "tcp://127.0.0.1:5555": Endpoint("127.0.0.1", 5555),
    "tcp://[::1]:1": Endpoint("::1", 1),
    "tcp://[2001:DB8:0::1]:65535": Endpoint("2001:db8::1", 65535),
    "tcp://[fe80::1%eth0]:5": Endpoint("fe80::1%eth0", 5),
    "tcp://worker-1.example_x.com:80": Endpoint("worker-1.example_x.com", 80),
    "ipc:///run/zmqbus/n": Endpoint(path="/run/zmqbus/n"),
    "ipc:///" + "x" * (IPC_PATH_BYTES - 1): Endpoint(path="/" + "x" * (IPC_PATH_BYTES - 1)),
}

BAD_ANYWHERE = {
    "": "starts with neither",
    "127.0.0.1:5555": "starts with neither",
    "udp://127.0.0.1:5555": "starts with neither",
    "TCP://127.0.0.1:5555": "starts with neither",
    "tcp://127.0.0.1": "has no port",
    "tcp://": "has no port",
    "tcp://[::1]": "has no port",
    "tcp://127.0.0.1:": "'' is no port",
    "tcp://127.0.0.1:http": "'http' is no port",
    "tcp://127.0.0.1:99999": "'99999' is no port",
    "tcp://127.0.0.1:-1": "'-1' is no port",
    "tcp://127.0.0.1:5 ": "'5 ' is no port",
    "tcp://127.0.0.1:٥": "is no port",
    "tcp://127.0.0.256:5": "127.0.0.256 is no IPv4",
    "tcp://10.1:5": "10.1 is no IPv4",
    "tcp://::1:5": "more than one colon",
    "tcp://[::g]:5": "is no IPv6",
    "tcp://[127.0.0.1]:5": "is no IPv6",
    "tcp://:5": "no host name",
    "tcp://a b:5": "no host name",
    "tcp://user@host:5": "no host name",
    "tcp://-x:5": "no host name",
    "ipc://": "absolute path",
    "ipc://@abstract": "absolute path",
    "ipc://relative/n": "absolute path",
    "ipc:///a\0b": "absolute path",
    "ipc:///" + "x" * IPC_PATH_BYTES: f"{IPC_PATH_BYTES + 1} bytes, the system allows",
    "ipc:///" + "ä" * (IPC_PATH_BYTES // 2 + 1): "bytes, the system allows",
}

NO_SEEDS = {
    "tcp://127.0.0.1:*": "no port to dial",
    "tcp://127.0.0.1:0": "no port to dial",
    "tcp://*:5": "no address that can be dialled",
    "tcp://0.0.0.0:5": "no address that can be dialled",
    "tcp://[::]:5": "no address that can be dialled",
    "tcp://[0:0::0]:5": "no address that can be dialled",
    "tcp://224.0.0.1:5": "no address that can be dialled",
    "tcp://[fe80::1]:5": "needs the interface",
}

NO_BINDS = {
    "tcp://127.0.0.1:65535": "the next port",
    "tcp://[fe80::1%eth0]:5": "link-local",
    "ipc:///" + "x" * (IPC_PATH_BYTES - 5): "bytes, the system allows",
}


@pytest.mark.parametrize(("text", "endpoint"), GOOD.items())
def test_seed_is_taken_apart(text: str, endpoint: Endpoint) -> None:
    """Each form of a seed parses, and is written again in its plainest form."""
    assert parse_seed(text) == endpoint
    assert parse_seed(str(endpoint)) == endpoint


@pytest.mark.parametrize(("text", "reason"), (BAD_ANYWHERE | NO_SEEDS).items())
def test_bad_seed_is_refused_with_value_and_reason(text: str, reason: str) -> None:
    """What libzmq would accept and never connect is an error with the text in it (Z26, Z18)."""
    with pytest.raises(ConfigError) as caught:
        parse_seed(text)
    assert caught.value.setting == "peers"
    assert caught.value.value == text
    assert reason in str(caught.value)


@pytest.mark.parametrize(("text", "reason"), (BAD_ANYWHERE | NO_BINDS).items())
def test_bad_bind_is_refused_with_value_and_reason(text: str, reason: str) -> None:
    """So is what cannot be bound."""
    with pytest.raises(ConfigError) as caught:
        parse_bind(text)
    assert caught.value.setting == "bind"
    assert caught.value.value == text
    assert reason in str(caught.value)


@pytest.mark.parametrize("text", ["tcp://*:*", "tcp://[::]:0", "tcp://eth0:5555", "ipc:///n"])
def test_bind_takes_wildcards_names_and_any_port(text: str) -> None:
    """What only makes sense for a bind is taken there."""
    assert parse_bind(text).port in (0, 5555)


@pytest.mark.parametrize("text", [*BAD_ANYWHERE, *NO_SEEDS, "tcp://name:5", "ipc:///\ud800"])
def test_useless_address_of_a_peer_is_none(text: str) -> None:
    """Addresses from the network raise nothing, and names are not among them (R26)."""
    assert parse_dialable(text) is None


@pytest.mark.parametrize(
    ("text", "local"),
    [
        ("tcp://127.0.0.1:5", True),
        ("tcp://127.8.9.1:5", True),
        ("tcp://[::1]:5", True),
        ("tcp://[::ffff:127.0.0.1]:5", True),
        ("ipc:///n", True),
        ("tcp://192.168.0.1:5", False),
        ("tcp://[2001:db8::1]:5", False),
        ("tcp://[::ffff:192.168.0.1]:5", False),
    ],
)
def test_local_addresses_are_loopback_and_ipc(text: str, local: bool) -> None:
    """Only what this machine alone can reach is local (R29, R31)."""
    parsed = parse_dialable(text)
    assert parsed is not None
    assert parsed.is_local is local


def test_localhost_may_be_bound_without_a_key() -> None:
    """The name everybody writes counts as local, other names do not."""
    assert parse_bind("tcp://localhost:5").is_local
    assert not parse_bind("tcp://localhost.example:5").is_local


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("host", ("host", 0, 0)),
        ("tcp://10.0.0.1", ("10.0.0.1", 0, 0)),
        ("[::1]", ("::1", 0, 0)),
        ("host:5", ("host", 5, 6)),
        ("[2001:db8::1]:5", ("2001:db8::1", 5, 6)),
        ("host:5+9", ("host", 5, 9)),
    ],
)
def test_advertised_address_has_all_its_ports(text: str, parsed: tuple[str, int, int]) -> None:
    """The data plane's port follows the other one, unless it is said (Z23)."""
    (found,) = parse_advertise(text)
    assert (found.host, found.port, found.data_port) == parsed


@pytest.mark.parametrize(
    "text", ["", "*", "0.0.0.0:5", "host:0", "host:*", "host:65535", "host:5+", "host:5+0", "a,,b"]
)
def test_bad_advertised_address_is_refused(text: str) -> None:
    """What peers could not dial is refused with all of what was written (Z22)."""
    with pytest.raises(ConfigError) as caught:
        parse_advertise(text)
    assert (caught.value.setting, caught.value.value) == ("advertise", text)


@pytest.mark.parametrize("parse", [parse_seed, parse_bind, parse_advertise])
@pytest.mark.parametrize("value", [7400, b"tcp://127.0.0.1:7400", ["tcp://127.0.0.1:7400"]])
def test_address_that_is_no_text_is_refused_with_its_type(
    parse: Callable[[Any], object], value: object
) -> None:
    """A number, bytes or a list in the place of an address is a ConfigError like any other."""
    with pytest.raises(ConfigError, match=f"a {type(value).__name__}, not a str; write "):
        parse(value)
