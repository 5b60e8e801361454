"""The vocabulary: immutable, append-only, and the same everywhere."""

from __future__ import annotations

import inspect
from dataclasses import MISSING, FrozenInstanceError, fields, is_dataclass
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.random_packets import packets as any_packets

from zmqbus import packets
from zmqbus.packets import (
    ID_BYTES,
    MIN_VERSION,
    NOBODY,
    VERSION,
    Bye,
    Interest,
    Member,
    Packet,
    Plane,
    Refusal,
    StreamState,
    channel_id,
)

RECORDS = [c for _, c in inspect.getmembers(packets, is_dataclass)]


@pytest.mark.parametrize(
    ("name", "hexed"),
    [
        ("pipecat:bus", "47f646d01ec00f19"),
        ("acme", "302657b33c4da281"),
        ("\udcff", "ce1f612d8fcdc6a2"),
    ],
)
def test_channel_id_is_the_same_in_every_process_and_version(name: str, hexed: str) -> None:
    """Two nodes that meet must derive the same id from a name, for ever."""
    assert channel_id(name).hex() == hexed


@given(st.text(st.characters(exclude_categories=())))
def test_channel_id_of_any_name_has_the_length_of_an_id(name: str) -> None:
    """Lone surrogates, which names from a file system can hold, are no error."""
    assert len(channel_id(name)) == ID_BYTES


def test_names_that_differ_only_in_case_or_space_are_other_channels() -> None:
    """Channels match exactly."""
    names = ["acme", "Acme", "acme ", " acme", "acme\0", ""]
    assert len({channel_id(n) for n in names}) == len(names)


def test_nobody_is_an_id() -> None:
    """The addressee of a first hello has its place in the header."""
    assert len(NOBODY) == ID_BYTES


def test_versions_are_a_range_that_fits_the_header() -> None:
    """A version is one byte on the wire."""
    assert 0 < MIN_VERSION <= VERSION < 256


def test_values_on_the_wire_never_change() -> None:
    """Tags are append-only."""
    assert [(p.name, p.value) for p in Plane] == [("SYSTEM", 0), ("DATA", 1)]
    assert [(r.name, r.value) for r in Refusal][:4] == [
        ("VERSION", 1),
        ("RUNNER_NAME", 2),
        ("CHANNEL_ID", 3),
        ("FULL", 4),
    ]


def test_packet_is_every_record_that_is_not_part_of_another() -> None:
    """Nothing can be said that `wire` was not told about."""
    assert set(get_args(Packet)) == set(RECORDS) - {Interest, Member, StreamState}


@pytest.mark.parametrize("record", RECORDS)
def test_fields_with_defaults_come_last(record: type[Any]) -> None:
    """So a field can be added at the end, and left out by an older peer."""
    optional = [f.default is not MISSING for f in fields(record)]
    assert optional == sorted(optional)
    assert all(f.default_factory is MISSING for f in fields(record))


@given(any_packets)
def test_packet_is_a_value(packet: Packet) -> None:
    """Packets are shared between nodes of a simulation, so they are immutable to the last field."""
    assert isinstance(hash(packet), int)


def test_packet_cannot_be_changed() -> None:
    """Beliefs are replaced, never mutated."""
    with pytest.raises(FrozenInstanceError):
        Bye("x").reason = "y"  # type: ignore[misc]
