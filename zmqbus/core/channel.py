"""One open channel: who takes part in it, who hosts whom, and its two streams."""

from __future__ import annotations

from bisect import insort
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

    Who holds a name and who hosts whom is kept up to date member by member (`settle_names`,
    `reroute`): of a thousand members each newcomer costs what one costs.

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
        self.admitted = True
        self.stalled = False
        self._me = me
        self._runners: dict[str, list[NodeId]] = {}  # who is present under a name, oldest first
        self._names: dict[NodeId, str] = {}  # under which name a member stands there
        self._hosting: dict[NodeId, tuple[str, ...]] = {}  # where a member stands in ``hosts``
        self._away: dict[NodeId, frozenset[str]] = {}  # what a member hosted that is owed more
        system = _outlet(interest.channel, Plane.SYSTEM, config, head)
        self.outlets = system, _outlet(interest.channel, Plane.DATA, config, head, system)
        self._readers = system.readers  # those of both planes are the same

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

        What a peer hosted that is lost and may return is for it, if nobody else hosts it. A target
        that nobody is known to host goes to everybody: a proxy may take it.
        """
        if not self._readers:
            return ()
        if target is None:
            return None
        if target in self.interest.subscribers:
            return self.observers
        hosts = self.hosts.get(target) or self._absent(target)
        if not hosts:
            return None
        if not self.observers:
            return hosts[:1]
        return (hosts[0], *(o for o in self.observers if o != hosts[0]))

    def _absent(self, target: str) -> tuple[NodeId, ...]:
        """Lost members that hosted a name and may return."""
        return tuple(n for n, its in self._away.items() if target in its)

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

    def alter(self, interest: Interest) -> list[tuple[str, NodeId, NodeId]]:
        """Replace what this node says of itself; returns names that came to be shared.

        As (name, holder, other): the holder gets what is sent here, this node itself if it can.
        """
        before, self.interest = self.interest, interest
        return [
            (name, self._me, self.hosts[name][-1])
            for name in interest.subscribers
            if name in self.hosts and name not in before.subscribers
        ]

    def reroute(self, node: NodeId) -> list[tuple[str, NodeId, NodeId]]:
        """Apply what a member hosts now; returns names that came to be shared, as `alter` does."""
        before = self._hosting.pop(node, ())
        for name in before:
            self.hosts[name] = tuple(n for n in self.hosts[name] if n != node)
            if not self.hosts[name]:
                del self.hosts[name]
        member = self.members[node]
        takes_part = member.admitted and node in self.outlets[Plane.DATA].readers
        if (takes_part and member.interest.observe_all) != (node in self.observers):
            others = tuple(n for n in self.observers if n != node)
            self.observers = others if len(others) < len(self.observers) else (*others, node)
        if node in self.outlets[Plane.DATA].readers and not member.present:
            self._away[node] = frozenset(member.interest.subscribers)
        else:
            self._away.pop(node, None)
        if not takes_part:
            return []
        self._hosting[node] = hosted = tuple(dict.fromkeys(member.interest.subscribers))
        for name in hosted:
            self.hosts[name] = tuple(sorted((*self.hosts.get(name, ()), node), key=self.age))
        return [shared for name in hosted if name not in before for shared in self._shared(name)]

    def _shared(self, name: str) -> list[tuple[str, NodeId, NodeId]]:
        hosts = self.hosts[name]
        if name in self.interest.subscribers:
            return [(name, self._me, hosts[-1])]
        return [(name, hosts[0], hosts[-1])] if len(hosts) > 1 else []

    def settle_names(self, node: NodeId) -> list[NodeId]:
        """Let the oldest runner of each name hold it (R6), now that a member came, went or changed.

        Returns:
            The members whose case that changed.
        """
        rivals = self._enlist(node)
        admitted, mine = self.admitted, self._runners.get(self.interest.runner)
        self.admitted = not mine or self.age(self._me) < self.age(mine[0])
        changed = []
        for other in rivals if self.admitted == admitted else self.members:
            member = self.members[other]
            admitted = self.admitted and member.present and self._holds(other)
            if admitted != member.admitted:
                member.admitted = admitted
                changed.append(other)
        return changed

    def _enlist(self, node: NodeId) -> dict[NodeId, None]:
        """Put a member where its name and age belong; returns who shares a name old or new."""
        rivals: dict[NodeId, None] = {node: None}
        name = self._names.pop(node, "")
        if name:
            self._runners[name].remove(node)
            rivals.update(dict.fromkeys(self._runners[name]))
            if not self._runners[name]:
                del self._runners[name]
        member = self.members[node]
        if member.present and member.interest.runner:
            self._names[node] = name = member.interest.runner
            insort(self._runners.setdefault(name, []), node, key=self.age)
            rivals.update(dict.fromkeys(self._runners[name]))
        return rivals

    def _holds(self, node: NodeId) -> bool:
        """Whether no older runner has the name of a member that is present."""
        name = self._names.get(node)
        return not name or (name != self.interest.runner and self._runners[name][0] == node)


def _outlet(
    channel: ChannelId, plane: Plane, config: MeshConfig, head: int, leader: Outlet | None = None
) -> Outlet:
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
        leader=leader,
    )
