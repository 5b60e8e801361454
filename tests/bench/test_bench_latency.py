"""Latencies, one way and there and back, alone and beside other flows."""

from __future__ import annotations

from bench import latency


async def test_every_way_is_measured_beside_a_bare_socket() -> None:
    """Both ways, idle and crowded; bare sockets give the floor, one way."""
    rows = await latency.measure(1, 0.2, ("bare", "tcp"))
    ways = [(row["way"], row["while"]) for row in rows]
    assert ways == [
        ("one way", "idle"),
        ("one way", "idle"),
        ("there and back", "idle"),
        ("one way", "beside ten flows"),
        ("there and back", "beside ten flows"),
    ]
    assert all(row["messages"] > 0 for row in rows)
    assert all(row["p50"] <= row["p90"] <= row["p99"] <= row["p99.9"] for row in rows)
    assert rows[0]["p50 by bare"] == 1.0
