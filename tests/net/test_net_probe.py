"""Whether anybody listens."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from zmqbus.net.probe import is_deserted, probe


async def test_listener_is_open_and_refused_when_it_has_gone() -> None:
    """A host that answers for a port tells at once that nobody listens there (R20)."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        assert await probe(endpoint, 10) == "open"
    assert await probe(endpoint, 10) == "refused"


async def test_port_that_closes_a_moment_after_its_connections_is_deserted() -> None:
    """So a killed process is lost at once, whichever of its descriptors ends first (R20, R22)."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        asyncio.get_running_loop().add_reader(server, _end, server)  # once the first look is here
        assert await is_deserted(endpoint, 10)


def _end(server: socket.socket) -> None:
    asyncio.get_running_loop().remove_reader(server)
    server.close()


async def test_port_that_stays_open_is_not_deserted() -> None:
    """Somebody may only have lost a connection (R20)."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert not await is_deserted(f"tcp://127.0.0.1:{server.getsockname()[1]}", 10)


async def test_probe_ends_with_a_reset() -> None:
    """So that a member that only looks is not named as a stranger that hung up (R30a)."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert await probe(f"tcp://127.0.0.1:{server.getsockname()[1]}", 10) == "open"
        with server.accept()[0] as connection:
            connection.setblocking(False)
            with pytest.raises(ConnectionResetError):
                await asyncio.wait_for(asyncio.get_running_loop().sock_recv(connection, 1), 10)


async def test_ipc_path_is_open_and_refused_when_it_has_gone(short_path: Path) -> None:
    """A path is open while it is served; a stale file and a missing one are refusals."""
    path = short_path / "n"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        assert await probe(f"ipc://{path}", 10) == "open"
    assert await probe(f"ipc://{path}", 10) == "refused"
    path.unlink()
    assert await probe(f"ipc://{path}", 10) == "refused"


@pytest.mark.parametrize("endpoint", ["tcp://name.example:5", "nonsense", "tcp://[fe80::1%no]:5"])
async def test_useless_address_is_unreachable(endpoint: str) -> None:
    """What cannot be dialled raises nothing."""
    assert await probe(endpoint, 10) == "unreachable"


async def test_full_listener_is_unreachable_in_time() -> None:
    """No answer within the time is no refusal: the host may only be busy."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        where = server.getsockname()
        waiting = [socket.socket() for _ in range(8)]
        for client in waiting:
            client.setblocking(False)
            client.connect_ex(where)
        assert await probe(f"tcp://127.0.0.1:{where[1]}", 0.05) == "unreachable"
        for client in waiting:
            client.close()
