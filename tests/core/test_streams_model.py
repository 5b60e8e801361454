"""Outlet and inlets over a network that loses, repeats and delays, against a plain list.

Each reader has a data connection, which keeps its order but loses and repeats batches, and a
system connection, which only delays. The model is the list of what each reader was owed.
"""

from __future__ import annotations

from collections import deque

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from support.scripted import ROOM

from zmqbus.core.inlet import Inlet
from zmqbus.core.outlet import Outlet
from zmqbus.packets import Batch, Gone, NodeId, Plane

READERS = tuple(NodeId(bytes([i]) * 8) for i in range(3))
HISTORY_MSGS, HISTORY_BYTES, EARLY_MSGS = 6, 40, 5

readers = st.sampled_from(READERS)


class Streams(RuleBasedStateMachine):
    """One sender and up to three readers, who may join late and leave."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.outlet = Outlet(
            ROOM,
            Plane.DATA,
            history_msgs=HISTORY_MSGS,
            history_bytes=HISTORY_BYTES,
            window_msgs=4,
            window_bytes=30,
            batch_msgs=3,
            batch_bytes=15,
        )
        self.inlets: dict[NodeId, Inlet] = {}
        self.owed: dict[NodeId, list[bytes]] = {}
        self.given: dict[NodeId, list[bytes]] = {}
        self.lost: dict[NodeId, int] = {}
        self.data: dict[NodeId, deque[Batch]] = {}
        self.system: dict[NodeId, deque[Gone]] = {}
        for reader in READERS[:2]:
            self.join(reader)

    def send(self, to: NodeId | None, batch: Batch) -> None:
        """Put a batch on its connections."""
        for reader in self.data if to is None else (to,):
            self.data[reader].append(batch)

    @rule(reader=readers)
    def join(self, reader: NodeId) -> None:
        """A reader comes, or comes back having forgotten everything."""
        self.flush()
        self.leave(reader)
        self.outlet.add_reader(reader)
        self.inlets[reader] = Inlet(reader, self.outlet.readers[reader].acked, EARLY_MSGS, 100)
        self.owed[reader], self.given[reader], self.lost[reader] = [], [], 0
        self.data[reader], self.system[reader] = deque(), deque()

    @rule(reader=readers)
    def leave(self, reader: NodeId) -> None:
        """A reader goes."""
        self.flush()
        self.outlet.drop_reader(reader)
        self.inlets.pop(reader, None)
        self.data.pop(reader, None)

    @rule(size=st.integers(0, 9))
    def broadcast(self, size: int) -> None:
        """A message for all."""
        self.publish(None, tuple(self.inlets), size)

    @rule(to=st.lists(readers, unique=True), size=st.integers(0, 9))
    def target(self, to: list[NodeId], size: int) -> None:
        """A message for some."""
        some = tuple(r for r in to if r in self.inlets)
        self.publish(some, some, size)

    def publish(
        self, audience: tuple[NodeId, ...] | None, hearers: tuple[NodeId, ...], size: int
    ) -> None:
        """Send a message, and note who is owed it."""
        self.count += 1
        body = b"%d" % self.count + b"." * size
        self.outlet.append(body, audience)
        for reader in hearers:
            self.owed[reader].append(body)

    @rule()
    def flush(self) -> None:
        """What was sent leaves."""
        for to, batch in self.outlet.take():
            self.send(to, batch)

    @rule(reader=readers)
    def drop(self, reader: NodeId) -> None:
        """The next batch is lost at the mark."""
        if self.data.get(reader):
            self.data[reader].popleft()

    @rule(reader=readers)
    def repeat(self, reader: NodeId) -> None:
        """The next batch arrives twice."""
        if self.data.get(reader):
            self.data[reader].appendleft(self.data[reader][0])

    @rule(reader=readers)
    def deliver(self, reader: NodeId) -> None:
        """The next batch arrives."""
        if self.data.get(reader):
            self.given[reader] += self.inlets[reader].accept(self.data[reader].popleft())

    @rule(reader=readers)
    def stall(self, reader: NodeId) -> None:
        """The reader's subscribers are behind, or no more so."""
        inlet = self.inlets.get(reader)
        if inlet and inlet.stalled:
            self.given[reader] += inlet.resume()
        elif inlet:
            inlet.stall()

    @rule(reader=readers, budget=st.integers(1, 60))
    def ask(self, reader: NodeId, budget: int) -> None:
        """The reader asks for what it misses."""
        inlet = self.inlets.get(reader)
        if inlet and inlet.hole:
            gone, batches = self.outlet.repair(reader, inlet.cursor, inlet.hole, budget, 0.0)
            self.data[reader].extend(batches)
            if gone:
                self.system[reader].append(gone)

    @rule(reader=readers)
    def hear(self, reader: NodeId) -> None:
        """The next answer on the system plane arrives."""
        inlet = self.inlets.get(reader)
        if inlet and self.system[reader]:
            gone = self.system[reader].popleft()
            if gone.upto > inlet.cursor and not inlet.stalled:
                lost, bodies = inlet.skip(gone)
                self.lost[reader] += lost
                self.given[reader] += bodies

    @rule(reader=readers)
    def acknowledge(self, reader: NodeId) -> None:
        """The sender hears where the reader stands, and the reader where the sender does."""
        if reader in self.inlets:
            assert self.outlet.acknowledge(reader, self.inlets[reader].cursor)
            if not self.outlet.pending:
                self.inlets[reader].note_head(self.outlet.last_owed(reader))

    @invariant()
    def given_in_order_once(self) -> None:
        """What was given is a subsequence of what was owed."""
        for reader in self.inlets:
            owed = iter(self.owed[reader])
            assert all(body in owed for body in self.given[reader])

    @invariant()
    def no_silent_loss(self) -> None:
        """What was passed over is announced, exactly."""
        for reader, inlet in self.inlets.items():
            assert inlet.taken == len(self.given[reader]) + self.lost[reader]
            last = self.given[reader][-1:] or [b""]
            passed = self.owed[reader].index(last[0]) + 1 if last != [b""] else 0
            assert passed - len(self.given[reader]) <= self.lost[reader]

    @invariant()
    def memory_is_bounded(self) -> None:
        """History and early messages stay within their limits."""
        msgs, size_bytes = self.outlet.kept
        assert msgs <= HISTORY_MSGS
        assert size_bytes <= HISTORY_BYTES or msgs == 1
        assert all(inlet.early_msgs <= EARLY_MSGS for inlet in self.inlets.values())

    def teardown(self) -> None:
        """Once the network behaves, everything owed is given or announced, exactly."""
        self.flush()
        for reader, inlet in self.inlets.items():
            if inlet.stalled:
                self.stall(reader)
            for _ in range(200):
                self.hear(reader)
                self.deliver(reader)
                self.acknowledge(reader)
                if not self.data[reader] and not self.system[reader]:
                    self.ask(reader, 1)
            assert len(self.given[reader]) + self.lost[reader] == len(self.owed[reader])
        assert self.outlet.drained
        assert self.outlet.kept == (0, 0)
        self.no_silent_loss()


TestStreams = Streams.TestCase
TestStreams.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)


@given(st.lists(st.sampled_from([(), READERS[:1], READERS[1:2], READERS[:2], None]), max_size=12))
def test_any_mixture_of_lanes_arrives_in_order(lanes: list[tuple[NodeId, ...] | None]) -> None:
    """Broadcast and targeted messages keep one order for each reader, without any repair (R12)."""
    streams = Streams()
    for number, lane in enumerate(lanes):
        streams.publish(lane, tuple(streams.inlets) if lane is None else lane, number)
    streams.flush()
    for reader in streams.inlets:
        while streams.data[reader]:
            streams.deliver(reader)

        assert streams.given[reader] == streams.owed[reader]
