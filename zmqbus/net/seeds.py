"""From a seed that a user wrote to every address it stands for, now."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from zmqbus.net.background import run_in_daemon
from zmqbus.net.endpoint import Endpoint

Resolver = Callable[[str, int], Awaitable[list[str]]]
"""From a host name and a port to numeric addresses; raises OSError if there are none."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """What a seed stands for.

    Parameters:
        endpoints: One for each address of its name, fit to be dialled in parallel (R31).
        reason: Why there are none; empty if there are.
    """

    endpoints: tuple[str, ...]
    reason: str = ""


async def resolve(
    seed: Endpoint, timeout_secs: float = 5.0, resolver: Resolver | None = None
) -> Resolution:
    """Look a seed up, anew each time (D20). A failure is no exception: it may work later.

    Args:
        seed: From `parse_seed`.
        timeout_secs: After which the lookup counts as failed.
        resolver: How to look up names, if not through the system.
    """
    if seed.path or seed.address:
        return Resolution((str(seed),))
    try:
        async with asyncio.timeout(timeout_secs):
            hosts = await (resolver or _system_resolver)(seed.host, seed.port)
    except TimeoutError:
        return Resolution((), f"{seed.host} did not resolve within {timeout_secs:g} s")
    except (OSError, UnicodeError) as error:
        return Resolution((), f"{seed.host} does not resolve: {error}")
    return Resolution(tuple(str(replace(seed, host=host)) for host in dict.fromkeys(hosts)))


async def _system_resolver(host: str, port: int) -> list[str]:
    """Ask the system, which knows /etc/hosts and the name servers; A and AAAA alike."""

    def look_up() -> list[str]:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return [str(address[0]) for *_, address in found]

    return await run_in_daemon(look_up, "zmqbus-dns")
