"""The list of all checks, in the order in which each can build on those before it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

from zmqbus.doctor import here, others
from zmqbus.doctor.case import Case
from zmqbus.doctor.findings import Finding

Check = Callable[[Case], Awaitable[list[Finding]]]

HERE: tuple[Check, ...] = (
    here.check_versions,
    here.check_curve,
    here.check_interfaces,
    here.check_directory,
    here.check_key,
)
PORT: tuple[Check, ...] = (here.check_bind,)
"""What is left out where no key can be used: without it the answers would be other ones."""
MESH: tuple[Check, ...] = (
    here.check_advertise,
    here.check_multicast,
    others.check_peers,
    others.check_strangers,
    others.check_channel,
    others.check_names,
    others.check_clocks,
    here.check_loop,
)
"""What is left out where nothing could be bound."""


async def examine(case: Case) -> AsyncIterator[Finding]:
    """Make all checks that can be made; gives each finding as soon as it is there."""
    setup = case.setup
    try:
        for checks in (HERE, PORT, MESH):
            if checks is PORT and (setup.key_error or setup.bind_error):
                return
            if checks is MESH and case.observer is None:
                return
            for check in checks:
                for finding in await check(case):
                    yield finding
    finally:
        if case.observer is not None:
            await case.observer.stop()
