"""Whether anybody listens at an endpoint: the quick answer that libzmq does not give (R20)."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from typing import Literal

from zmqbus.net.endpoint import Endpoint, parse_dialable

Verdict = Literal["open", "refused", "unreachable"]

_LOOK_AGAIN_SECS = 0.05


async def is_deserted(endpoint: str, timeout_secs: float) -> bool:
    """Whether its host says that nobody listens at an endpoint any more.

    Looks twice: of a process that is killed, connections may end a moment before its port.
    """
    if await probe(endpoint, timeout_secs) == "refused":
        return True
    await asyncio.sleep(_LOOK_AGAIN_SECS)
    return await probe(endpoint, timeout_secs) == "refused"


async def probe(endpoint: str, timeout_secs: float) -> Verdict:
    """Connect, and hang up at once.

    Args:
        endpoint: A numeric tcp endpoint or an ipc path.
        timeout_secs: After which it counts as unreachable.

    Returns:
        "open": somebody listens. "refused": its host says that nobody does. "unreachable": no
        answer, no way there, or no such endpoint; the host itself may be down.
    """
    parsed = parse_dialable(endpoint)
    if parsed is None:
        return "unreachable"
    try:
        async with asyncio.timeout(timeout_secs):
            await _connect(parsed)
    except (ConnectionRefusedError, FileNotFoundError):
        return "refused"
    except OSError:  # TimeoutError is one
        return "unreachable"
    return "open"


async def _connect(endpoint: Endpoint) -> None:
    loop = asyncio.get_running_loop()
    if endpoint.path:
        if not hasattr(socket, "AF_UNIX"):
            raise OSError("this platform has no ipc")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.setblocking(False)
            await loop.sock_connect(client, endpoint.path)
        return
    transport, _ = await loop.create_connection(asyncio.Protocol, endpoint.host, endpoint.port)
    # A reset, which whoever listens does not take for a handshake that was broken off.
    linger = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    transport.abort()
