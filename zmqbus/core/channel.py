"""One open channel: who takes part in it, who hosts whom, and its two streams."""

from __future__ import annotations

from dataclasses import dataclass

from zmqbus.config import MeshConfig
from zmqbus.core.inlet import Inlet
from zmqbus.core.outlet import Outlet
from zmqbus.packets import ChannelId, Interest, NodeId, Plane


@dataclass(slots=True)
class Membership:
    """A peer on this channel.

    Parameters:
        interest: What it last said of itself.
        present: Whether it was reached and not lost since, so that it counts in matters of names.
        admitted: Whether it is present and no older runner has its name, or ours (R6).
        inlets: Its two streams, by plane; None before its welcome.
        confirmed: Whether it has heard our welcome.
        heard: Whether its messages were delivered since it came.
        joined: Whether it was announced as joined.
    """

    interest: Interest
    present: bool = False
    admitted: bool = False
    inlets: tuple[Inlet, Inlet] | None = None
    confirmed: bool = False
    heard: bool = False
    joined: bool = False


class Channel:
    """State of one channel on this node.

    Args:
        me: This node.
        interest: What this node says of itself.
        config: Limits of the streams.
        head: What its streams are numbered after.
    """

    def __init__(self, me: NodeId, interest: Interest, config: MeshConfig, head: int = 0) -> None:
        self.interest = interest
        self.members: dict[NodeId, Membership] = {}
        self.snapshots: dict[str, bytes] = {}
        self.hosts: dict[str, tuple[NodeId, ...]] = {}
        self.observers: tuple[NodeId, ...] = ()
        self._sharers: dict[str, int] = {}
        self.admitted = True
        self.stalled = False
        self._me = me
        self.outlets = (
            _outlet(interest.channel, Plane.SYSTEM, config, head),
            _outlet(interest.channel, Plane.DATA, config, head),
        )

    def age(self, node: NodeId) -> tuple[int, NodeId]:
        """What runners and hosts are ordered by: the older first."""
        interest = self.interest if node == self._me else self.members[node].interest
        return interest.started_at_ns, node

    def name_of(self, node: NodeId) -> str:
        """What people call a node: its runner's name, or the start of its id."""
        if node == self._me:
            runner = self.interest.runner
        else:
            runner = self.members[node].interest.runner if node in self.members else ""
        return runner or node.hex()[:8]

    def audience(self, target: str | None) -> tuple[NodeId, ...] | None:
        """Who has to receive a message for ``target``; None for all, empty for nobody elsewhere.

        A target that nobody is known to host goes to everybody: a proxy may take it.
        """
        readers = self.outlets[Plane.DATA].readers
        if not readers:
            return ()
        if target is None:
            return None
        if target in self.interest.subscribers:
            return self.observers
        hosts = self.hosts.get(target)
        if not hosts:
            return None
        return (hosts[0], *(o for o in self.observers if o != hosts[0]))

    def may_speak_as(self, node: NodeId, source: str) -> bool:
        """Whether ``source`` belongs to ``node``, or to nobody (R31a)."""
        hosts = self.hosts.get(source, ())
        if node in hosts:
            return True
        return not hosts and source not in self.interest.subscribers

    def owner_of(self, runner: str) -> NodeId | None:
        """The live node whose runner has this name, be it this node."""
        if runner == self.interest.runner:
            return self._me
        for node, member in self.members.items():
            if member.admitted and member.interest.runner == runner:
                return node
        return None

    def rebuild_routes(self) -> list[tuple[str, NodeId, NodeId]]:
        """Recompute who hosts whom; returns names that came to be shared: (name, holder, other).

        The holder is who gets what is sent here: this node itself, or else the oldest runner.
        """
        hosts: dict[str, list[NodeId]] = {}
        readers = self.outlets[Plane.DATA].readers
        nodes = [n for n, m in self.members.items() if m.admitted and n in readers]
        for node in sorted(nodes, key=self.age):
            for name in self.members[node].interest.subscribers:
                hosts.setdefault(name, []).append(node)
        self.hosts = {name: tuple(nodes) for name, nodes in hosts.items()}
        self.observers = tuple(n for n in nodes if self.members[n].interest.observe_all)
        for name in self.interest.subscribers:
            if name in hosts:
                hosts[name].insert(0, self._me)
        before, self._sharers = self._sharers, {n: len(on) for n, on in hosts.items()}
        return [
            (name, on[0], on[-1])
            for name, on in hosts.items()
            if len(on) > max(1, before.get(name, 0))
        ]

    def settle_names(self) -> list[NodeId]:
        """Let the oldest runner of each name hold it (R6); returns members whose case changed."""
        present = {n: m.interest.runner for n, m in self.members.items() if m.present}
        present[self._me] = self.interest.runner
        holders: dict[str, NodeId] = {}
        for node in sorted(present, key=self.age):
            holders.setdefault(present[node], node)
        holders.pop("", None)
        self.admitted = holders.get(self.interest.runner, self._me) == self._me
        changed = []
        for node, member in self.members.items():
            holds = holders.get(member.interest.runner, node) == node
            admitted = self.admitted and member.present and holds
            if admitted != member.admitted:
                member.admitted = admitted
                changed.append(node)
        return changed


def _outlet(channel: ChannelId, plane: Plane, config: MeshConfig, head: int) -> Outlet:
    system = plane is Plane.SYSTEM
    return Outlet(
        channel,
        plane,
        history_msgs=config.history_msgs,
        history_bytes=config.history_bytes,
        window_msgs=config.system_hwm_msgs if system else config.window_msgs,
        window_bytes=config.history_bytes if system else config.window_bytes,
        batch_msgs=config.batch_msgs,
        batch_bytes=config.batch_bytes,
        head=head,
    )
