"""The order between the two streams of a sender, whatever the two connections do (R13a)."""

from __future__ import annotations

from collections import deque
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from support.scripted import ANNE, BERT, ROOM

from zmqbus.core.inlet import Inlet
from zmqbus.core.outlet import Outlet
from zmqbus.packets import Batch, NodeId, Plane

READERS = ANNE, BERT
LIMITS: dict[str, Any] = {
    "history_msgs": 100,
    "history_bytes": 1000,
    "window_msgs": 100,
    "window_bytes": 1000,
    "batch_msgs": 3,
    "batch_bytes": 1000,
}
lanes = st.sampled_from([None, (ANNE,), (BERT,), (ANNE, BERT)])
sendings = st.lists(st.tuples(st.sampled_from(Plane), lanes, st.booleans()), max_size=15)


class Pair:
    """Both streams of one sender, and their readers."""

    def __init__(self) -> None:
        system = Outlet(ROOM, Plane.SYSTEM, **LIMITS)
        self.outlets = system, Outlet(ROOM, Plane.DATA, **LIMITS, leader=system)
        self.inlets: dict[NodeId, tuple[Inlet, Inlet]] = {}
        self.ways: dict[tuple[NodeId, Plane], deque[Batch]] = {}
        self.sent: dict[NodeId, list[tuple[Plane, bytes]]] = {r: [] for r in READERS}
        self.given: dict[NodeId, list[tuple[Plane, bytes]]] = {r: [] for r in READERS}
        for reader in READERS:
            leader = Inlet(reader, 0, 100, 1000)
            self.inlets[reader] = leader, Inlet(reader, 0, 100, 1000, leader)
            for outlet in self.outlets:
                outlet.add_reader(reader)
                self.ways[reader, outlet.plane] = deque()

    def send(self, plane: Plane, lane: tuple[NodeId, ...] | None, body: bytes, now: bool) -> None:
        """Send a message, which leaves ``now`` or in company."""
        self.outlets[plane].append(body, lane)
        for reader in READERS if lane is None else lane:
            self.sent[reader].append((plane, body))
        if now:
            self.flush()

    def flush(self) -> None:
        """What was sent leaves."""
        for outlet in self.outlets:
            for to, batch in outlet.take():
                for reader in READERS if to is None else (to,):
                    self.ways[reader, outlet.plane].append(batch)

    def arrive(self, reader: NodeId, plane: Plane) -> None:
        """The next batch arrives."""
        system, data = self.inlets[reader]
        bodies = self.inlets[reader][plane].accept(self.ways[reader, plane].popleft())
        self.given[reader] += [(plane, body) for body in bodies]
        if plane is Plane.SYSTEM:
            self.given[reader] += [(Plane.DATA, body) for body in data.follow()]
        assert self.outlets[plane].acknowledge(reader, (system, data)[plane].cursor)

    def repair(self, reader: NodeId, plane: Plane) -> None:
        """What is missing is sent again."""
        inlet, outlet = self.inlets[reader][plane], self.outlets[plane]
        inlet.note_head(outlet.last_owed(reader))
        if inlet.hole:
            gone, batches = outlet.repair(reader, inlet.cursor, inlet.hole, 1, 0.0)
            self.ways[reader, plane].extend(batches)
            if gone and not inlet.waiting(gone.upto):
                assert inlet.skip(gone) == (0, []), "nothing is lost, so nothing was waited for"


@given(sendings, st.data())
def test_data_is_never_given_before_a_system_message_sent_before_it(
    sends: list[tuple[Plane, tuple[NodeId, ...] | None, bool]], data: st.DataObject
) -> None:
    """Neither delay nor loss nor repair on either connection lets data overtake; all arrives."""
    pair = Pair()
    for number, (plane, lane, now) in enumerate(sends):
        pair.send(plane, lane, b"%d" % number, now)
    pair.flush()
    while ways := [way for way, batches in pair.ways.items() if batches]:
        way = data.draw(st.sampled_from(ways))
        if data.draw(st.booleans()):
            pair.arrive(*way)
        else:
            pair.ways[way].popleft()
    for _ in sends:
        for way in pair.ways:
            pair.repair(*way)
            while pair.ways[way]:
                pair.arrive(*way)

    for reader in READERS:
        assert sorted(pair.given[reader]) == sorted(pair.sent[reader])
        for place, (plane, body) in enumerate(pair.sent[reader]):
            if plane is Plane.SYSTEM:
                overtaken = set(pair.given[reader][: pair.given[reader].index((plane, body))])
                assert not overtaken & {s for s in pair.sent[reader][place:] if s[0] is Plane.DATA}
