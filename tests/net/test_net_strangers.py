"""Whatever connects to the ports and is no peer (R26, Z36)."""

from __future__ import annotations

import asyncio
import random
from time import monotonic

import pytest
import zmq
from support.net_ends import TIMEOUT_SECS, End, Ends

from zmqbus.config import MeshConfig
from zmqbus.net.endpoint import parse_dialable
from zmqbus.net.zap import COMERS_PER_SEC

HTTP = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
TLS = bytes.fromhex("16030100c8010000c40303") + bytes(200)
NOISE = random.Random(36).randbytes(4096)
#: The greeting of ZMTP/3.0 with a security mechanism that nobody has.
ODD_GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"ODD".ljust(20, b"\0") + bytes(32)


async def shout(endpoint: str, noise: bytes) -> None:
    """Send bytes to a port, and wait until the other side has read or cut them."""
    to = parse_dialable(endpoint)
    assert to is not None
    reader, writer = await asyncio.open_connection(to.host, to.port)
    writer.write(noise)
    async with asyncio.timeout(TIMEOUT_SECS):
        try:
            writer.write_eof()
            await reader.read()
            await writer.drain()
        except OSError:
            pass
        writer.close()


async def serves(a: End, peer: End) -> None:
    """Check that both planes of an end still work."""
    await peer.dial(1, a)
    await peer.read(a, b"t")
    peer.transport.send(1, b"mine")
    a.transport.publish(b"tune")
    await a.told.until(lambda: b"mine" in a.told.system)
    await peer.told.until(lambda: peer.told.data == [b"tune"])


@pytest.mark.parametrize("noise", [b"", HTTP, TLS, NOISE, ODD_GREETING])
async def test_noise_on_either_port_is_counted_and_leaves_it_serving(
    noise: bytes, ends: Ends
) -> None:
    """Port scanners, browsers and random bytes neither raise nor stop anything, nor come in."""
    a, peer = await ends.open(), await ends.open()
    assert not a.transport.counters
    for endpoint in (a.endpoint, a.data_endpoint):
        for _ in range(3):
            await shout(endpoint, noise)
    await serves(a, peer)
    await a.told.until(lambda: a.transport.counters["failed_handshakes"] > 0)
    assert set(a.transport.counters) == {"failed_handshakes"}
    assert a.told.system == [b"mine"]


async def test_failed_handshake_is_counted(ends: Ends) -> None:
    """Who greets and then speaks nonsense leaves a trace in the counters."""
    a = await ends.open()
    assert not a.transport.counters
    for endpoint in (a.endpoint, a.data_endpoint):
        await shout(endpoint, ODD_GREETING)
    await a.told.until(lambda: a.transport.counters == {"failed_handshakes": 2})


async def test_frames_of_the_oldest_protocol_do_not_come_in(ends: Ends) -> None:
    """ZMTP/1.0 has no handshake: whatever is no greeting would be taken for its frames."""
    a, peer = await ends.open(), await ends.open()
    assert not a.transport.counters
    frame = b"\x07\x00forged"
    await shout(a.endpoint, b"\x01\x00" + frame)
    await shout(a.data_endpoint, b"\x01\x00" + frame)
    await serves(a, peer)
    assert a.told.system == [b"mine"]
    await a.told.until(lambda: a.transport.counters == {"failed_handshakes": 2})


async def test_messages_that_nobody_here_sends_are_counted(ends: Ends) -> None:
    """Plain ZeroMQ comes in without a key: several frames in one, and no subscription (R26)."""
    a, peer = await ends.open(), await ends.open()
    dealer, sub = ends.raw(zmq.DEALER), ends.raw(zmq.XSUB)
    dealer.connect(a.endpoint)
    dealer.send_multipart((b"two", b"frames"))
    sub.connect(a.data_endpoint)
    sub.send(b"\x07no topic")
    await a.told.until(lambda: a.transport.counters == {"multipart": 1, "foreign": 1})
    await serves(a, peer)
    assert a.told.system == [b"mine"]


async def test_too_many_at_once_come_in_later(ends: Ends) -> None:
    """In a crowd nobody is let in for a moment; libzmq tries again by itself (Z36)."""
    a, peer = await ends.open(), await ends.open()
    comers = a.transport._door._comers
    comers.is_there(monotonic())
    comers.events = 2 * COMERS_PER_SEC
    await serves(a, peer)
    assert a.transport.counters["failed_handshakes"] >= 1
    assert a.told.turned_away_texts == peer.told.turned_away_texts == []


async def test_silent_client_is_cut(ends: Ends) -> None:
    """Who connects and says nothing does not hold its place for ever."""
    a = await ends.open(config=MeshConfig(dial_timeout_secs=0.2))
    to = parse_dialable(a.endpoint)
    assert to is not None
    reader, writer = await asyncio.open_connection(to.host, to.port)
    async with asyncio.timeout(TIMEOUT_SECS):
        await reader.read()  # returns at the end of the connection
    writer.close()
