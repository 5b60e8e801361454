"""The worlds in which every scenario of the contract has to end alike."""

from __future__ import annotations

import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from support.journal import Journal
from support.process import Child, RemoteSite, start_child
from support.site import Site, make_bus


@dataclass(frozen=True)
class World:
    """Two sites that share a channel.

    Parameters:
        near: The requester's, here.
        far: That of the workers under test; the same as `near` in a world of one runner.
        apart: Whether they are two.
    """

    near: Site
    far: Site | RemoteSite
    apart: bool


class ChildKeeper:
    """One child for the scenarios of this test process; a new one after it died."""

    def __init__(self) -> None:
        """Keep none until one is asked for."""
        self._child: Child | None = None

    def child(self) -> Child:
        """The child, alive."""
        if self._child is None or self._child.process.poll() is not None:
            self.reap()
            self._child = start_child()
        return self._child

    def reap(self) -> None:
        """End it."""
        if self._child is not None:
            self._child.reap()
            self._child = None


@asynccontextmanager
async def _one_process() -> AsyncIterator[World]:
    site = Site(make_bus("queue", {}), Journal(), "runner")
    await site.open()
    yield World(near=site, far=site, apart=False)
    await site.close()


@asynccontextmanager
async def _two_buses() -> AsyncIterator[World]:
    options = {"channel": f"contract-{uuid.uuid4().hex}"}
    near = Site(make_bus("zmq", options), Journal(), "near")
    far = Site(make_bus("zmq", options), Journal(), "far")
    await near.open()
    await far.open()
    yield World(near=near, far=far, apart=True)
    await near.close()
    await far.close()


@asynccontextmanager
async def _two_processes(keeper: ChildKeeper) -> AsyncIterator[World]:
    options = {"channel": f"contract-{uuid.uuid4().hex}"}
    with keeper.child().attached() as child:
        await child.started()
        near = Site(make_bus("zmq", options), Journal(), "near")
        far = RemoteSite(child, options["channel"])
        await near.open()
        await far.open("far", bus=options)
        yield World(near=near, far=far, apart=True)
        sys.stderr.write(child.story())  # shown where the scenario failed
        await near.close()
        try:
            await far.close()
        except AssertionError:
            keeper.reap()  # the next scenario gets a sound one
            raise


def open_world(name: str, keeper: ChildKeeper) -> AbstractAsyncContextManager[World]:
    """Open the world of that name; `keeper` has the other process where one is needed."""
    if name == "two processes":
        return _two_processes(keeper)
    return {"one process": _one_process, "two buses": _two_buses}[name]()


WORLDS = ("one process", "two buses", "two processes")
