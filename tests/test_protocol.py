"""PROTOCOL.md against the code: what it says is so."""

from __future__ import annotations

import re
from dataclasses import MISSING, fields
from typing import get_args

import pytest
from support.protocol import PROTOCOL, VECTORS, Vector

from zmqbus import packets, records, wire
from zmqbus.packets import Packet

TEXT = PROTOCOL.read_text()


def test_every_kind_of_packet_has_a_vector() -> None:
    """Whoever writes another implementation can check each packet."""
    assert {type(v.packet) for v in VECTORS} == set(get_args(Packet))


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
def test_vector_says_what_its_packet_is(vector: Vector) -> None:
    """The middle column is the packet, field by field."""
    assert vector.said == repr(vector.packet)


def test_tables_of_fields_are_the_fields() -> None:
    """Names, order, and which fields may be missing, of each packet and record."""
    rows = re.findall(r"^\| \d* ?\| `(\w+)` \| (.*) \|$", TEXT, re.MULTILINE)
    assert len(rows) == len(get_args(Packet)) - 1 + 3
    for name, said in rows:
        parts: list[list[str]] = [[], []]
        for field in fields(getattr(packets, name)):
            parts[field.default is not MISSING].append(field.name)
        needed, optional = (", ".join(part) for part in parts)
        assert said.strip() == (f"{needed}; {optional}" if optional else needed).strip()


def test_tags_are_those_of_the_vectors() -> None:
    """The tag in the table is the fourth byte of the frame."""
    tags = {name: int(tag) for tag, name in re.findall(r"^\| (\d+) \| `(\w+)`", TEXT, re.MULTILINE)}
    sent = {type(v.packet).__name__: v.frame[3] for v in VECTORS if v.frame.startswith(b"ZB")}
    assert tags | {"Batch": 5} == sent


def test_limits_are_those_of_the_code() -> None:
    """Every figure of the table of limits, in its order."""
    table = TEXT.partition("## Limits\n")[2].partition("Whatever breaks")[0]
    said = [row.rpartition(" | ")[2] for row in table.splitlines() if row.endswith(" |")][1:]
    assert said == [
        f"{packets.MAX_NAME_BYTES} bytes |",
        f"{records.MAX_TEXT_BYTES:,} bytes |",
        f"{records.MAX_ENDPOINTS} |",
        f"{records.MAX_INTERESTS:,} |",
        f"{records.MAX_SUBSCRIBERS:,} |",
        f"{records.MAX_MEMBERS:,} |",
        f"{records.MAX_SNAPSHOTS:,} |",
        f"{records.MAX_STATES:,} |",
        f"{records.MAX_ITEMS:,} |",
        f"{wire.CONTROL_BYTES // 2**20} MiB |",
        f"{wire.MAX_BODIES:,} |",
        f"{wire.MAX_EXCEPTIONS:,} |",
        "0 to 2^63 - 1; -1 in a `StreamState` means nothing to say |",
    ]


def test_reasons_are_those_of_the_code() -> None:
    """Each label that a counter can have is explained."""
    sentence = TEXT.partition("one of these reasons: ")[2].partition("## Test vectors")[0]
    assert tuple(re.findall(r"`(\w+)`", sentence)) == wire.REASONS


def test_rules_are_numbered_without_a_gap() -> None:
    """R1 to R32, each once, so that one search leads from the rule to code and test."""
    rules = re.findall(r"^- \*\*R(\d+)\*\*", TEXT, re.MULTILINE)
    assert rules == [str(n) for n in range(1, 33)]
