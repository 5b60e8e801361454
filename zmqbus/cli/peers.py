"""`zmqbus peers`: who is on a channel, as a newcomer sees it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from zmqbus.bus import ZmqBus
    from zmqbus.views import Peer

# What was seen has to stay the same this long to be the whole picture.
_SETTLE_SECS = 0.5
_POLL_SECS = 0.1

_NOBODY_STATUS = 1


def peers(
    channel: Annotated[
        str | None, typer.Option(help="The channel; else ZMQBUS_CHANNEL, else pipecat:bus.")
    ] = None,
    wait_secs: Annotated[
        float, typer.Option("--wait", min=0, help="Seconds to wait for somebody to be there.")
    ] = 3.0,
    watch: Annotated[bool, typer.Option("--watch", help="Go on, and print every change.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array per picture.")] = False,
) -> None:
    """List the runners on a channel: where they are, which workers they host, how they do."""
    from zmqbus.demo.quiet import quiet_pipecat

    quiet_pipecat()
    found = asyncio.run(_look(channel, wait_secs, watch, as_json))
    raise typer.Exit(0 if found else _NOBODY_STATUS)


async def _look(channel: str | None, wait_secs: float, watch: bool, as_json: bool) -> bool:
    """Join as a runner without workers, print who is there, and leave."""
    from pipecat.workers.runner import WorkerRunner

    from zmqbus.bus import ZmqBus

    bus = ZmqBus(channel=channel)
    runner = WorkerRunner(name=f"zmqbus-peers-{os.getpid()}", bus=bus)
    running = asyncio.create_task(runner.run(auto_end=False))
    looking = asyncio.create_task(_print_changes(bus, wait_secs, watch, as_json))
    await asyncio.wait({running, looking}, return_when=asyncio.FIRST_COMPLETED)
    looking.cancel()  # a look that has ended is not disturbed; Ctrl-C has ended the runner
    await runner.cancel()
    await running
    return bool(await looking) if looking.done() and not looking.cancelled() else False


async def _print_changes(bus: ZmqBus, wait_secs: float, watch: bool, as_json: bool) -> bool:
    """Print each picture once it has settled; without `watch`, the first one."""
    loop = asyncio.get_running_loop()
    began = changed = loop.time()
    seen: list[tuple[object, ...]] = []
    printed = None
    while True:
        await asyncio.sleep(_POLL_SECS)
        now, picture = loop.time(), [_outline(peer) for peer in bus.peers]
        if picture != seen:
            seen, changed = picture, now
        settled = seen and now - changed >= _SETTLE_SECS
        if seen != printed and (settled or now - began >= wait_secs):
            _print(bus.channel, sorted(bus.peers, key=str), as_json)
            printed = seen
            if not watch:
                return bool(seen)


def _outline(peer: Peer) -> tuple[object, ...]:
    """What makes another picture when it changes."""
    return peer.node, peer.state, peer.workers, peer.system_up, peer.data_out, peer.data_in


def _print(channel: str, peers: list[Peer], as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps([asdict(peer) for peer in peers]) + "\n")
    elif not peers:
        sys.stdout.write(f"Nobody is on channel {channel!r}.\n")
    for peer in () if as_json else peers:
        workers = ", ".join(peer.workers) or "no workers"
        sys.stdout.write(f"{peer}  {peer.state}  {peer.endpoint}  {workers}\n")
        sys.stdout.write(f"    {_health(peer)}\n")
    sys.stdout.flush()


def _health(peer: Peer) -> str:
    """How its links and its event loop do."""
    ways = [way for way, works in (("out", peer.data_out), ("in", peer.data_in)) if works]
    rtt = "not known" if peer.rtt_secs is None else f"{peer.rtt_secs * 1000:.2f} ms"
    return ", ".join(
        (
            f"round trip {rtt}",
            f"loop {peer.lag_secs * 1000:.0f} ms late",
            f"{peer.behind_msgs:,} messages behind",
            f"gaps {peer.open_gaps} open {peer.closed_gaps} closed",
            f"system plane {'up' if peer.system_up else 'down'}",
            f"data plane {' and '.join(ways) or 'down'}",
        )
    )
