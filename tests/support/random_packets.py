"""Hypothesis strategies for every packet, within the limits of the wire."""

from __future__ import annotations

from hypothesis import strategies as st

from zmqbus.packets import (
    Announce,
    Batch,
    Bye,
    ChannelId,
    Gone,
    Hello,
    Interest,
    Member,
    Members,
    Nack,
    NodeId,
    Packet,
    Plane,
    Refusal,
    Refuse,
    Status,
    StreamState,
    Welcome,
)

_ids = st.binary(min_size=8, max_size=8)
nodes = _ids.map(NodeId)
channels = _ids.map(ChannelId)
planes = st.sampled_from(Plane)
counts = st.integers(0, 2**63 - 1)
versions = st.integers(0, 255)
cursors = st.integers(-1, 2**63 - 1)
#: Any characters, lone surrogates too; 63 of the longest are 252 bytes.
names = st.text(st.characters(exclude_categories=()), max_size=63)


def _tuples(
    items: st.SearchStrategy[object], most: int = 3
) -> st.SearchStrategy[tuple[object, ...]]:
    return st.lists(items, max_size=most).map(tuple)


interests = st.builds(Interest, channels, names, names, counts, _tuples(names), st.booleans())
_endpoints = _tuples(names, 16)

records: st.SearchStrategy[Packet] = st.one_of(
    st.builds(
        Hello,
        versions,
        versions,
        counts,
        counts,
        names,
        counts,
        _endpoints,
        _endpoints,
        _tuples(interests),
        counts,
        counts,
    ),
    st.builds(Announce, _tuples(interests), _tuples(channels)),
    st.builds(Welcome, channels, counts, counts, _tuples(st.binary(max_size=300)), st.booleans()),
    st.builds(
        Status,
        counts,
        st.booleans(),
        counts,
        counts,
        counts,
        _tuples(st.builds(StreamState, channels, planes, cursors, cursors)),
        counts,
    ),
    st.builds(Nack, channels, planes, counts, counts),
    st.builds(Gone, channels, planes, counts, counts),
    st.builds(Members, _tuples(st.builds(Member, nodes, _endpoints))),
    st.builds(Bye, names),
    st.builds(Refuse, st.sampled_from(Refusal), names, channels),
)
"""Every packet but `Batch`."""


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    """Batches whose numbers are possible ones."""
    bodies = draw(st.lists(st.binary(max_size=50), min_size=1, max_size=9))
    first = draw(st.integers(1, 2**63 - 1 - len(bodies)))
    before = st.integers(0, first - 1)
    exceptions = draw(st.lists(st.tuples(nodes, before, counts), max_size=3))
    previous, after = draw(before), draw(counts)
    return Batch(
        draw(channels), draw(planes), first, previous, tuple(bodies), tuple(exceptions), after
    )


packets = records | batches()
