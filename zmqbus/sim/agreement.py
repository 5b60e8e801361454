"""Whether everybody agrees: who is joined, what each knows of the others, who hosts which name."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from zmqbus.packets import ChannelId, NodeId
from zmqbus.sim.network import Host

_NAMED = 20
"""How many nodes a complaint names."""


def assert_agreed(hosts: Iterable[Host], names: dict[NodeId, str]) -> None:
    """All that live and turn have the same picture of each of their channels.

    Raises:
        AssertionError: The first difference, in words.
    """
    alive = {h.core.id: h for h in hosts if h.alive and not h.frozen}
    present: dict[ChannelId, set[NodeId]] = {}
    for node, host in alive.items():
        for channel_id, channel in host.core.channels.items():
            if channel.admitted:
                present.setdefault(channel_id, set()).add(node)
    routes: dict[tuple[ChannelId, str], NodeId] = {}
    for host in alive.values():
        for channel_id in host.core.channels:
            _assert_joined(host, channel_id, present.get(channel_id, set()), names)
            _assert_known(host, channel_id, alive, names)
            _assert_routes(host, channel_id, routes, names)


def _called(nodes: Collection[NodeId], names: dict[NodeId, str]) -> str:
    called = sorted(names[n] for n in nodes)
    more = f" and {len(called) - _NAMED} more" if len(called) > _NAMED else ""
    return (", ".join(called[:_NAMED]) or "nobody") + more


def _assert_joined(
    host: Host, channel_id: ChannelId, present: set[NodeId], names: dict[NodeId, str]
) -> None:
    members = host.core.channels[channel_id].members
    joined = {n for n, m in members.items() if m.joined}
    expected = present - {host.core.id} if host.core.id in present else set()
    assert joined == expected, (
        f"{host.name} is joined with {_called(joined, names)} "
        f"and should be with {_called(expected, names)}"
    )


def _assert_known(
    host: Host, channel_id: ChannelId, alive: dict[NodeId, Host], names: dict[NodeId, str]
) -> None:
    for node, member in host.core.channels[channel_id].members.items():
        if member.joined:
            known = host.snapshots.get((channel_id, node))
            said = tuple(alive[node].core.channels[channel_id].snapshots.values())
            assert known == said, f"{host.name} knows {known} of {names[node]}, which says {said}"


def _assert_routes(
    host: Host,
    channel_id: ChannelId,
    routes: dict[tuple[ChannelId, str], NodeId],
    names: dict[NodeId, str],
) -> None:
    channel = host.core.channels[channel_id]
    for name, (holder, *_) in channel.hosts.items():
        if name not in channel.interest.subscribers:  # else it stays there
            agreed = routes.setdefault((channel_id, name), holder)
            assert agreed == holder, (
                f"{host.name} sends {name!r} to {names[holder]}, others to {names[agreed]}"
            )
