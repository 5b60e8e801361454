"""Membership against plain models: names and routes of one channel, and a mesh of three.

The model of names is computed anew from everybody each time. That of the mesh is who lives and
which channels each has open: in the end all of them, and nobody else, are joined.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from support.scripted import ME, interest

from zmqbus.config import DEFAULT
from zmqbus.core.channel import Channel, Membership
from zmqbus.core.outbox import PeerGone, PeerJoined
from zmqbus.packets import ChannelId, NodeId, Plane, channel_id
from zmqbus.sim import Sim

NODES = tuple(NodeId(bytes([i]) * 8) for i in range(1, 5))
RUNNERS = ("", "mine", "a", "b")

nodes = st.sampled_from(NODES)
worker_names = st.lists(st.sampled_from("xyz"), max_size=3).map(tuple)


class Names(RuleBasedStateMachine):
    """One channel whose members come, change and go."""

    def __init__(self) -> None:
        super().__init__()
        self.channel = Channel(ME, interest("mine", "x", age=3), DEFAULT)

    def settle(self, node: NodeId) -> None:
        """Apply a change of one member, as `Attendance` does."""
        for changed in (*self.channel.settle_names(node), node):
            for outlet in self.channel.outlets:
                if not self.channel.members[changed].admitted:
                    outlet.drop_reader(changed)
                elif changed not in outlet.readers:
                    outlet.add_reader(changed)
            self.channel.reroute(changed)

    @rule(
        node=nodes,
        runner=st.sampled_from(RUNNERS),
        workers=worker_names,
        age=st.integers(1, 5),
        observes=st.booleans(),
        present=st.booleans(),
    )
    def say(
        self,
        node: NodeId,
        runner: str,
        workers: tuple[str, ...],
        age: int,
        observes: bool,
        present: bool,
    ) -> None:
        """A member says what it is, or that it is something else now, or is away."""
        its = interest(runner, *workers, age=age, observe_all=observes)
        member = self.channel.members.setdefault(node, Membership(its))
        member.interest, member.present = its, present
        self.settle(node)

    @rule(node=nodes)
    def forget(self, node: NodeId) -> None:
        """A member is forgotten."""
        if node in self.channel.members:
            self.channel.members[node].present = False
            self.settle(node)
            del self.channel.members[node]

    @rule(workers=worker_names)
    def alter(self, workers: tuple[str, ...]) -> None:
        """This node has other workers."""
        self.channel.alter(interest("mine", *workers, age=3))

    def oldest(self, runner: str) -> NodeId:
        """Who holds a runner's name."""
        present = {n: m.interest.runner for n, m in self.channel.members.items() if m.present}
        present[ME] = "mine"
        return min((n for n, r in present.items() if r == runner), key=self.channel.age)

    @invariant()
    def oldest_runner_of_each_name_takes_part(self) -> None:
        """And nobody does with whom has the name of this node (R6)."""
        assert self.channel.admitted == (self.oldest("mine") == ME)
        for node, member in self.channel.members.items():
            runner = member.interest.runner
            holds = member.present and (not runner or self.oldest(runner) == node)
            assert member.admitted == (self.channel.admitted and holds)

    @invariant()
    def routes_lead_to_who_takes_part(self) -> None:
        """Each worker's hosts, the oldest first, and all who observe."""
        members = {n: m.interest for n, m in self.channel.members.items() if m.admitted}
        by_age = sorted(members, key=self.channel.age)
        names = {name for its in members.values() for name in its.subscribers}
        hosts = {s: tuple(n for n in by_age if s in members[n].subscribers) for s in names}
        assert self.channel.hosts == hosts
        observers = {n for n, its in members.items() if its.observe_all}
        assert set(self.channel.observers) == observers
        assert len(self.channel.observers) == len(observers)


CHANNELS = ("acme", "other")
HOSTS = ("n0", "n1", "n2")
hosts = st.sampled_from(HOSTS)
pairs = st.sampled_from([("n0", "n1"), ("n0", "n2"), ("n1", "n2")])


class Mesh(RuleBasedStateMachine):
    """Three processes with two channels, to which everything happens that the simulator knows."""

    def __init__(self) -> None:
        super().__init__()
        self.sim = Sim(1)
        self.seen = 0
        self.joined: set[tuple[str, ChannelId, NodeId]] = set()
        for host in HOSTS:
            self.sim.add(host, seeds=[h for h in HOSTS[:2] if h != host], workers=(f"w{host}",))
        self.sim.run(1.0)

    def is_well(self, host: str) -> bool:
        """Whether a process lives and turns."""
        return self.sim.hosts[host].alive and not self.sim.hosts[host].frozen

    @rule(secs=st.sampled_from([0.001, 0.05, 0.7, 3.0, 7.0]))
    def wait(self, secs: float) -> None:
        """Time passes."""
        self.sim.run(secs)

    @rule(host=hosts, channel=st.sampled_from(CHANNELS))
    def toggle(self, host: str, channel: str) -> None:
        """A channel is opened, or closed."""
        if self.is_well(host):
            is_open = channel_id(channel) in self.sim.hosts[host].core.channels
            (self.sim.close if is_open else self.sim.open)(host, channel)
            self.forget(host, *([channel] if is_open else []))

    @rule(host=hosts, plane=st.sampled_from(Plane))
    def publish(self, host: str, plane: Plane) -> None:
        """Messages are sent."""
        for channel in CHANNELS:
            if self.is_well(host) and channel_id(channel) in self.sim.hosts[host].core.channels:
                self.sim.publish(host, plane=plane, channel=channel, msgs=3)

    @rule(host=hosts, says_goodbye=st.booleans())
    def end(self, host: str, says_goodbye: bool) -> None:
        """A process ends, or starts again."""
        if self.is_well(host):
            (self.sim.stop if says_goodbye else self.sim.kill)(host)
        elif not self.sim.hosts[host].alive:
            self.sim.restart(host)
            self.forget(host, *CHANNELS)

    @rule(host=hosts, loop_only=st.booleans())
    def pause(self, host: str, loop_only: bool) -> None:
        """A process stops, or its loop does."""
        if self.is_well(host):
            self.sim.pause(host, loop_only=loop_only)

    @rule(host=hosts)
    def resume(self, host: str) -> None:
        """It goes on."""
        if self.is_paused(host):
            self.sim.resume(host)

    def is_paused(self, host: str) -> bool:
        """Whether a process stands still, but not because it is leaving."""
        process = self.sim.hosts[host]
        return process.alive and process.frozen and process.core.deadline() is not None

    @rule(pair=pairs)
    def cut(self, pair: tuple[str, str]) -> None:
        """Two are cut off from each other, or no more so."""
        (self.sim.heal if self.sim.is_cut(*pair) else self.sim.cut)(*pair)

    @rule(pair=pairs)
    def reset(self, pair: tuple[str, str]) -> None:
        """Connections break."""
        self.sim.reset(*pair)

    @invariant()
    def peers_come_and_go_in_turns(self) -> None:
        """Nobody joins twice, and nobody goes who had not joined."""
        for _, host, event in self.sim.history[self.seen :]:
            if isinstance(event, PeerJoined | PeerGone):
                pair = (host, event.channel, event.node)
                assert (pair in self.joined) is isinstance(event, PeerGone), (host, event)
                self.joined ^= {pair}
        self.seen = len(self.sim.history)

    def forget(self, host: str, *channels: str) -> None:
        """What a process has seen on channels that it closed itself is over."""
        gone = {channel_id(channel) for channel in channels}
        self.joined = {pair for pair in self.joined if pair[0] != host or pair[1] not in gone}

    def teardown(self) -> None:
        """Once all is whole, everybody is joined with whom it shares a channel."""
        for pair in (("n0", "n1"), ("n0", "n2"), ("n1", "n2")):
            if self.sim.is_cut(*pair):
                self.sim.heal(*pair)
        self.sim.run(3.0)  # who is leaving has left
        for host in HOSTS:
            if not self.sim.hosts[host].alive:
                self.sim.restart(host)
            elif self.sim.hosts[host].frozen:
                self.sim.resume(host)
        self.sim.run(12.0)
        self.sim.assert_settled()


TestNames = Names.TestCase
TestNames.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestMesh = Mesh.TestCase
TestMesh.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
