"""A whole mesh in one thread: real cores, a virtual clock, and a network that does what it is told.

`Sim` does for every node what a shell does with sockets, and checks with every step what users may
count on: order, exactly once, no silent loss (`ledger`), bounded memory, no false death. Everything
random comes from one seed, so a fault that was found is a seed, and the same seed gives the same
`Sim.digest`.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from hashlib import blake2b
from math import inf

from zmqbus.config import DEFAULT, MeshConfig
from zmqbus.core import Node
from zmqbus.core.channel import Channel
from zmqbus.core.outbox import (
    Action,
    Attach,
    Delivered,
    Departure,
    Detach,
    Dial,
    Event,
    Hangup,
    MessagesLost,
    PeerGone,
    PeerWithdrew,
    Probe,
    Publish,
    Send,
    SnapshotsArrived,
)
from zmqbus.core.peers import Whereabouts
from zmqbus.packets import NOBODY, Batch, Hello, Interest, NodeId, Packet, Plane, channel_id
from zmqbus.sim.agreement import assert_agreed
from zmqbus.sim.ledger import Ledger
from zmqbus.sim.network import EXCUSED_SECS, Connection, Host, Network

_DISCOVERY_SECS = 1.0
_WEIGHED = 64
_SNAPSHOT = b"of "  # begins a registry message, and no other


class Sim(Network):
    """A mesh of simulated processes.

    Args:
        seed: Of everything random.
        config: Tunables of every node, unless `add` says otherwise.
        delay_secs: How long a packet travels, at least.
        jitter_secs: How much longer, at most.
        drop: Which share of batches a reader misses at the publisher's mark.
        keep_history: Whether to keep all events but deliveries in ``history``.
        weigh: Gives the bytes of a packet; asked for every 64th of a kind, to fill ``traffic``.

    Attributes:
        counters: Events, by name, and `PeerGone` also by how.
        traffic: Packets and bytes sent on the system plane, by kind.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        config: MeshConfig = DEFAULT,
        delay_secs: float = 0.0002,
        jitter_secs: float = 0.0005,
        drop: float = 0.0,
        keep_history: bool = True,
        weigh: Callable[[Packet], int] = lambda _: 0,
    ) -> None:
        super().__init__(random.Random(seed), delay_secs, jitter_secs)
        self.drop = drop
        self.names: dict[NodeId, str] = {}
        self.history: list[tuple[float, str, Event]] = []
        self.counters: Counter[str] = Counter()
        self.traffic: dict[str, tuple[int, float]] = {}
        self.ledger = Ledger()
        self._seed, self._config = seed, config
        self._digest = blake2b(digest_size=16)
        self._keep_history, self._weigh = keep_history, weigh

    def __repr__(self) -> str:
        up = sum(h.alive and h.stopped_at == inf for h in self.hosts.values())
        delivered, lost = self.ledger.counters["delivered"], self.ledger.counters["lost"]
        return (
            f"<Sim seed={self._seed} t={self.now:g} s step={self.steps} "
            f"[{up} up, {len(self.hosts) - up} down | {delivered:,} delivered, {lost:,} lost]>"
        )

    def digest(self) -> str:
        """Stands for the whole history: equal if and only if the same happened at the same time."""
        return self._digest.hexdigest()

    # -- processes

    def add(
        self,
        name: str,
        *,
        seeds: Iterable[str] = (),
        channels: Iterable[str] = ("acme",),
        workers: Iterable[str] = (),
        runner: str | None = None,
        ports: Iterable[str] = (),
        config: MeshConfig | None = None,
        version: tuple[int, int] | None = None,
    ) -> Host:
        """Start a process that listens on ``ports``, or else on one of its own name."""
        settings = {k: v for k, v in locals().items() if k not in ("self", "name")}
        me = NodeId(self.rng.randbytes(8))
        core = Node(me, config or self._config, seed=self.rng.getrandbits(32))
        endpoints = tuple(f"sim://{port}" for port in ports) or (f"sim://{name}",)
        host = self.hosts[name] = Host(name, core, endpoints, settings, version)
        self.names[me] = name
        self.at_address.update(dict.fromkeys(endpoints, host))
        core.start(Whereabouts("sim", 1, endpoints, tuple(e + "/data" for e in endpoints)), 0.0)
        for channel in channels:
            self.open(name, channel, workers=workers, runner=runner)
        self._discover(host, tuple(f"sim://{seed}" for seed in seeds))
        return host

    def _discover(self, host: Host, endpoints: tuple[str, ...]) -> None:
        """Try the seeds, again and again."""
        if host.alive:
            for endpoint in endpoints if not host.frozen else ():
                host.core.discovered((endpoint,), self.now)
            self.settle(host)
            self.at(self.now + _DISCOVERY_SECS, partial(self._discover, host, endpoints))

    def open(
        self, name: str, channel: str, *, workers: Iterable[str] = (), runner: str | None = None
    ) -> None:
        """Let a node take part in a channel."""
        host, runner = self.hosts[name], name if runner is None else runner
        started_at_ns = int(self.now * 1e9)
        interest = Interest(channel_id(channel), channel, runner, started_at_ns, tuple(workers))
        where = host.core.open_channel(interest, self.now)
        where.snapshots[runner] = _SNAPSHOT + runner.encode()
        self._send(host, where, None, Plane.SYSTEM, where.snapshots[runner])
        self.settle(host)

    def close(self, name: str, channel: str) -> None:
        """Let a node leave a channel."""
        self.hosts[name].core.close_channel(channel_id(channel))
        self.settle(self.hosts[name])

    def kill(self, name: str) -> None:
        """SIGKILL: nothing is said, connections break, the ports refuse."""
        host = self.hosts[name]
        host.alive = False
        self.excuses[host.core.id] = inf
        for endpoint in host.endpoints:
            if self.at_address.get(endpoint) is host:
                del self.at_address[endpoint]
        for guest in list(host.guests):
            self.break_off(guest)
        for key in list(host.links):
            self.hang_up(host, key)

    def stop(self, name: str) -> None:
        """Let a node say goodbye when all have everything, or after ``linger_secs``."""
        host = self.hosts[name]
        host.core.hasten_acks(self.now)
        self.settle(host)
        self._leave(host, self.now + host.core.config.linger_secs)

    def _leave(self, host: Host, until: float) -> None:
        drained = all(o.drained for c in host.core.channels.values() for o in c.outlets)
        if not host.alive:
            return
        if not drained and self.now < until:
            self.at(self.now + 0.01, partial(self._leave, host, until))
            return
        host.core.leave("it said goodbye")
        self.settle(host)
        host.frozen = True
        self.at(self.now + 2 * sum(self.delays), partial(self.kill, host.name))

    def restart(self, name: str) -> Host:
        """Start a dead process again, as it was started before."""
        assert not self.hosts[name].alive, f"{name} lives"
        return self.add(name, **self.hosts[name].settings)

    def pause(self, name: str, *, loop_only: bool = False) -> None:
        """SIGSTOP, or a handler that blocks the event loop: then connections stay alive."""
        host = self.hosts[name]
        host.frozen = True
        if not loop_only:
            host.stopped_at = self.now
            for connection in (*host.links.values(), *host.guests):
                self.fear(connection)

    def resume(self, name: str) -> None:
        """The end of `pause`: what came in is handled before any timer (R21)."""
        host = self.hosts[name]
        if host.stopped_at < inf:
            self.excuses[host.core.id] = self.now + EXCUSED_SECS
        host.frozen, host.stopped_at, host.tick_at = False, inf, None
        while host.inbox:
            host.inbox.popleft()()
        if (due := host.core.deadline()) is not None and due <= self.now:
            host.core.advance(self.now)
        self.settle(host)

    def slow(self, name: str, slow: bool = True) -> None:
        """Let the subscribers of a node take no more data, or take it again (R18)."""
        host = self.hosts[name]
        for channel in host.core.channels.values():
            host.core.stall(channel, slow, self.now)
            while channel.stalled and not slow:
                host.core.stall(channel, slow, self.now)
        self.settle(host)

    # -- traffic

    def publish(
        self,
        name: str,
        target: str | None = None,
        *,
        plane: Plane = Plane.DATA,
        channel: str = "acme",
        msgs: int = 1,
        size_bytes: int = 0,
    ) -> None:
        """Let a node send messages to whom they concern."""
        core = self.hosts[name].core
        where = core.channels[channel_id(channel)]
        outlet = where.outlets[plane]
        for _ in range(msgs):
            body = b"%d".ljust(size_bytes) % self.ledger.counters["sent"]
            self.ledger.counters["sent"] += 1
            self._send(self.hosts[name], where, target, plane, body)
        msgs_kept, bytes_kept = outlet.kept
        assert msgs_kept <= core.config.history_msgs, f"{self}: {name} keeps {msgs_kept} messages"
        assert bytes_kept <= core.config.history_bytes or msgs_kept == 1, (
            f"{self}: {name} keeps {bytes_kept} bytes"
        )
        self.settle(self.hosts[name])

    def _send(
        self, host: Host, where: Channel, target: str | None, plane: Plane, body: bytes
    ) -> None:
        audience, readers = where.audience(target), where.outlets[plane].readers
        for node in {**host.readers, **readers} if audience is None else audience:
            stream = (host.core.id, node, where.interest.channel, plane)
            self.ledger.publish(stream, readers.get(node), body)
        host.core.publish(where, plane, audience, body)

    def blockers(self, name: str, *, plane: Plane = Plane.DATA, channel: str = "acme") -> list[str]:
        """Whom a node has to wait for before it sends more (R17)."""
        outlet = self.hosts[name].core.channels[channel_id(channel)].outlets[plane]
        return [self.names[node] for node in outlet.blockers()]

    def give_up(self, name: str, *, plane: Plane = Plane.DATA, channel: str = "acme") -> None:
        """Let a node wait no longer for those it has to wait for."""
        host = self.hosts[name]
        blockers = host.core.give_up_waiting(
            host.core.channels[channel_id(channel)], plane, self.now
        )
        if plane is Plane.SYSTEM:
            self.excuses.update(dict.fromkeys(blockers, self.now + EXCUSED_SECS))
        self.settle(host)

    # -- what a shell does

    def settle(self, host: Host) -> None:
        """Report the events of a node, do its actions, set its timer."""
        try:
            for event in host.core.take_events():
                self._note(host, event)
        except AssertionError as error:
            raise AssertionError(f"{self}: {host.name}: {error}") from None
        for action in host.core.take_actions():
            self._do(host, action)
        if (due := host.core.deadline()) is not None and due < (host.tick_at or inf):
            host.tick_at = due
            late_secs = self.rng.random() * host.late_secs if host.late_secs else 0.0
            self.at(due + late_secs, partial(self._tick, host, due))

    def _tick(self, host: Host, at: float) -> None:
        if host.alive and not host.frozen and host.tick_at == at:
            host.tick_at = None
            host.core.advance(self.now)
            self.settle(host)

    def _do(self, host: Host, action: Action) -> None:
        match action:
            case Dial(dial, endpoint):
                self._open_link(host, dial, endpoint)
            case Attach(endpoint):
                self._open_link(host, endpoint, endpoint)
            case Hangup(dial):
                self.hang_up(host, dial)
            case Detach(endpoint):
                self.hang_up(host, endpoint)
            case Probe(dial, endpoint):
                self.at(self.now + 2 * self.delays[0], partial(self._probe, host, dial, endpoint))
            case Publish(reader, batch):
                self._publish(host, reader, batch)
            case Send(dial, addressee, packet):
                connection = host.links[dial]
                if isinstance(packet, Hello) and host.version:
                    low, high = host.version
                    packet = replace(packet, min_version=low, max_version=high)
                self._count(packet)
                if connection.to:
                    call = partial(self._receive, connection, connection.to, packet, addressee)
                    self.carry(connection, connection.to, call)

    def _count(self, packet: Packet) -> None:
        kind = type(packet).__name__
        packets, mean_bytes = self.traffic.get(kind, (0, 0.0))
        if not packets % _WEIGHED:
            mean_bytes += (self._weigh(packet) - mean_bytes) / (packets // _WEIGHED + 1)
        self.traffic[kind] = packets + 1, mean_bytes

    def _open_link(self, host: Host, key: int | str, endpoint: str) -> None:
        connection = host.links[key] = Connection(host, key, endpoint)
        limit = host.core.config.max_dials + host.core.config.max_peers
        assert len(host.links) <= limit, f"{self}: {host} has {len(host.links)} connections"
        self.at(self.now + self.delays[0], partial(self.connect, connection))

    def _probe(self, host: Host, dial: int, endpoint: str) -> None:
        if host.alive and endpoint not in self.at_address:
            self.feed(host, lambda: host.core.refused(dial, self.now))

    def _publish(self, host: Host, reader: NodeId | None, batch: Batch) -> None:
        for node in list(host.readers) if reader is None else [reader]:
            connection = host.readers.get(node)
            if connection and batch.channel in connection.host.core.channels:
                if self.drop and self.rng.random() < self.drop:
                    continue
                call = partial(self._take, connection.host, batch, host.core.id, reader or NOBODY)
                self.carry(connection, connection.host, call)

    def _receive(self, connection: Connection, to: Host, packet: Packet, addressee: NodeId) -> None:
        host, dial = connection.host, connection.key
        refuse = to.core.receive(packet, host.core.id, addressee, self.now)
        if refuse and isinstance(dial, int):
            self.carry(connection, host, lambda: host.core.refusal(dial, refuse, self.now))

    def _take(self, host: Host, batch: Batch, sender: NodeId, addressee: NodeId) -> None:
        host.core.receive(batch, sender, addressee, self.now)
        channel = host.core.channels.get(batch.channel)
        member = channel.members.get(sender) if channel else None
        if member and member.inlets:
            early_msgs = member.inlets[batch.plane].early_msgs
            assert early_msgs <= host.core.config.early_msgs, f"{self}: {host} holds {early_msgs}"

    # -- what is promised

    def _note(self, host: Host, event: Event) -> None:
        self._digest.update(repr((self.now, host.name, event)).encode())
        self.counters[type(event).__name__] += 1
        match event:
            case Delivered(channel, node, plane, bodies):
                self.ledger.deliver((node, host.core.id, channel, plane), bodies)
                for body in bodies if plane is Plane.SYSTEM else ():
                    if body.startswith(_SNAPSHOT):
                        host.snapshots[channel, node] = (body,)
                return
            case MessagesLost(channel, node, plane, lost_msgs):
                self.ledger.lose((node, host.core.id, channel, plane), lost_msgs)
            case SnapshotsArrived(channel, node, bodies):
                host.snapshots[channel, node] = bodies
            case PeerWithdrew(channel, node):
                host.snapshots.pop((channel, node), None)
            case PeerGone(channel, node, _, how, reason):
                host.snapshots.pop((channel, node), None)
                self.counters[how.value] += 1
                if how is Departure.LOST and "same name" not in reason:
                    self._mind_death(host, node, reason)
        if self._keep_history:
            self.history.append((self.now, host.name, event))

    def _mind_death(self, host: Host, node: NodeId, reason: str) -> None:
        pair = frozenset((host.name, self.names[node]))
        until = max(self.excuses.get(k, -inf) for k in (host.core.id, node, pair))
        assert until >= self.now, f"false death of {self.names[node]}: {reason}"

    def assert_settled(self) -> None:
        """All that live are joined, know each other, agree on routes, owe each other nothing.

        Raises:
            AssertionError: They do not.
        """
        try:
            assert_agreed(self.hosts.values(), self.names)
            alive = {h.core.id: h.core for h in self.hosts.values() if h.alive and not h.frozen}
            self.ledger.assert_settled(alive, self.names)
        except AssertionError as error:
            raise AssertionError(f"{self}: {error}") from None
