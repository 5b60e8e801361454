"""What a bus on this host would be given: options, else the environment, else the defaults."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from zmqbus.errors import ConfigError, InsecureBindError
from zmqbus.keys import KeyRing, choose_ring
from zmqbus.keys.files import read_ring
from zmqbus.net.endpoint import Endpoint, parse_bind, parse_seed
from zmqbus.node import MeshNode
from zmqbus.settings import check_name, choose, switch, text, words

_LOCAL: Sequence[str] = ("local",)
_NONE: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Options:
    """What was said on the command line; None: nothing, see `ZmqBus`."""

    channel: str | None = None
    bind: str | None = None
    advertise: str | None = None
    peers: str | None = None
    discovery: str | None = None
    key_file: Path | None = None
    insecure: bool | None = None


@dataclass(frozen=True, slots=True)
class Setup:
    """What a bus would use.

    Parameters:
        channel: The name of the channel.
        bind: Where it binds.
        advertise: What peers are told instead; None: what was bound.
        seeds: The addresses of others.
        methods: How others are found.
        insecure: Whether others may reach it without a key.
        ring: Its keys; None: it has none.
        key_error: Why the key cannot be used, if it cannot.
        bind_error: Why ``bind`` is refused, if it is.
    """

    channel: str
    bind: str
    advertise: str | None
    seeds: tuple[Endpoint, ...]
    methods: tuple[str, ...]
    insecure: bool
    ring: KeyRing | None
    key_error: ConfigError | None = None
    bind_error: InsecureBindError | None = None

    @property
    def at(self) -> Endpoint:
        """Where it binds, taken apart."""
        return parse_bind(self.bind)


def read_setup(options: Options) -> Setup:
    """Read all settings as a bus does; a broken key and an insecure bind are findings, no errors.

    Raises:
        ConfigError: No bus would start with one of the others.
    """
    ring, key_error = _read_ring(options.key_file)
    peers = _words(options.peers)
    discovery = _words(options.discovery)
    methods = tuple(choose("discovery", discovery, _LOCAL, words))
    insecure = choose("insecure", options.insecure, False, switch)
    bind_error = None
    try:
        if key_error is None:
            MeshNode(
                bind=options.bind,
                advertise=options.advertise,
                peers=peers,
                discovery=discovery,
                key=ring,
                insecure=insecure,
            )
    except InsecureBindError as error:
        bind_error = error
    everywhere = "tcp://*:*" if "lan" in methods else "tcp://127.0.0.1:*"
    return Setup(
        channel=check_name("channel", choose("channel", options.channel, "pipecat:bus", text)),
        bind=choose("bind", options.bind, everywhere, text),
        advertise=choose("advertise", options.advertise, "", text) or None,
        seeds=tuple(map(parse_seed, choose("peers", peers, _NONE, words))),
        methods=methods,
        insecure=insecure,
        ring=ring,
        key_error=key_error,
        bind_error=bind_error,
    )


def _words(given: str | None) -> Sequence[str] | None:
    return None if given is None else words("", given)


def _read_ring(key_file: Path | None) -> tuple[KeyRing | None, ConfigError | None]:
    try:
        return (choose_ring(None) if key_file is None else read_ring(key_file)), None
    except ConfigError as error:
        return None, error
