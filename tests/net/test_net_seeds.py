"""Seeds and what they resolve to."""

from __future__ import annotations

import asyncio

import pytest

from zmqbus.net.endpoint import parse_seed
from zmqbus.net.seeds import resolve


async def test_name_stands_for_all_its_addresses_once() -> None:
    """A and AAAA records all become endpoints, each of them once (R31)."""

    async def resolver(host: str, port: int) -> list[str]:
        assert (host, port) == ("mesh.example", 5555)
        return ["10.0.0.1", "2001:db8::1", "10.0.0.1"]

    found = await resolve(parse_seed("tcp://mesh.example:5555"), resolver=resolver)
    assert found.endpoints == ("tcp://10.0.0.1:5555", "tcp://[2001:db8::1]:5555")
    assert found.reason == ""


async def test_name_is_looked_up_anew_each_time() -> None:
    """A name that fails first, and moves later, is followed (D20)."""
    answers: list[list[str] | OSError] = [OSError("not yet"), ["10.0.0.1"], ["10.0.0.2"]]

    async def resolver(_host: str, _port: int) -> list[str]:
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    seed = parse_seed("tcp://mesh.example:5555")
    found = [await resolve(seed, resolver=resolver) for _ in range(3)]
    assert [f.endpoints for f in found] == [(), ("tcp://10.0.0.1:5555",), ("tcp://10.0.0.2:5555",)]
    assert found[0].reason == "mesh.example does not resolve: not yet"


async def test_slow_name_server_is_a_reason() -> None:
    """A lookup that does not end is given up."""

    async def resolver(_host: str, _port: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    found = await resolve(parse_seed("tcp://slow.example:5"), 0.01, resolver)
    assert found.reason == "slow.example did not resolve within 0.01 s"


@pytest.mark.parametrize("text", ["tcp://127.0.0.1:5", "tcp://[::1]:5", "ipc:///n"])
async def test_address_needs_no_lookup(text: str) -> None:
    """Numeric seeds and paths stand for themselves."""

    async def resolver(_host: str, _port: int) -> list[str]:
        raise AssertionError("looked up")

    assert (await resolve(parse_seed(text), resolver=resolver)).endpoints == (text,)


async def test_system_knows_localhost_and_not_the_invalid() -> None:
    """Without a resolver of one's own the system is asked."""
    found = await resolve(parse_seed("tcp://localhost:5"))
    assert "tcp://127.0.0.1:5" in found.endpoints
    lost = await resolve(parse_seed("tcp://nowhere.invalid:5"))
    assert lost.endpoints == ()
    assert lost.reason.startswith("nowhere.invalid ")
    long = await resolve(parse_seed(f"tcp://{'x' * 70}.example:5"))
    assert "does not resolve" in long.reason
