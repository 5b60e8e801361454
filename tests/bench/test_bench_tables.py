"""How results are printed."""

from __future__ import annotations

import json

from bench.tables import as_json, as_text


def test_table_has_every_column_units_and_versions() -> None:
    """A column that only a later row has is there, and rows without it have a gap."""
    text = as_text("idle", "units", [[{"a": 1234.0}, {"a": None, "b": "x"}]], "What it shows not.")
    head, on, columns, first, second, foot = text.splitlines()
    assert head == "idle: units"
    assert "pyzmq" in on
    assert "CPU" in on
    assert columns.split() == ["a", "b"]
    assert first.split() == ["1,234"]
    assert second.split() == ["x"]
    assert foot == "What it shows not."


def test_json_says_what_was_measured_and_with_what() -> None:
    """One object with the rows as they are."""
    said = json.loads(as_json("idle", [{"a": 1}]))
    assert (said["what"], said["rows"]) == ("idle", [{"a": 1}])
    assert "pipecat-zmqbus" in said["on"]
