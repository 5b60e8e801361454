"""Frames between transports, over real sockets."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import zmq
from support.net_ends import TIMEOUT_SECS, Ends, Recorder

from zmqbus.config import DEFAULT, MeshConfig
from zmqbus.net.transport import Transport
from zmqbus.packets import Plane

SMALL = MeshConfig(max_message_bytes=1_000, batch_bytes=1_000, max_packet_bytes=20_000)


@pytest.fixture(params=["tcp", "ipc", "tcp6"])
def bind(request: pytest.FixtureRequest, short_path: Path) -> str:
    """Where the first end binds: each kind of address in turn (Z21)."""
    where = {"tcp": "tcp://127.0.0.1:*", "tcp6": "tcp://[::1]:*", "ipc": f"ipc://{short_path}/n"}
    return where[request.param]


async def test_frames_sent_on_both_planes_arrive_in_order(bind: str, ends: Ends) -> None:
    """What is sent and published comes out whole and in order, on every kind of address."""
    a, b = await ends.open(bind), await ends.open()
    await b.dial(7, a)
    await b.read(a, b"topic")
    for i in range(1_000):
        b.transport.send(7, b"s%d" % i)
        a.transport.publish(b"topic%d" % i)
        a.transport.publish(b"other%d" % i)
    await a.told.until(lambda: len(a.told.system) == 1_000)
    await b.told.until(lambda: len(b.told.data) == 1_000)
    assert a.told.system == [b"s%d" % i for i in range(1_000)]
    assert b.told.data == [b"topic%d" % i for i in range(1_000)]
    assert b.told.turns > 0


async def test_frames_sent_before_the_peer_listens_arrive_in_order(
    short_path: Path, ends: Ends
) -> None:
    """What exceeds libzmq's own queue waits in ours, and nothing overtakes it."""
    bind = f"ipc://{short_path}/late"
    a = await ends.open()
    a.transport.dial(1, bind)
    for i in range(3_000):
        a.transport.send(1, b"%d" % i)
    b = await ends.open(bind)
    await b.told.until(lambda: len(b.told.system) == 3_000)
    assert b.told.system == [b"%d" % i for i in range(3_000)]


async def test_full_queue_cuts_the_link_and_dials_anew(short_path: Path, ends: Ends) -> None:
    """A dial that takes no more is reported once per overflow, and works again afterwards."""
    bind = f"ipc://{short_path}/late"
    a = await ends.open(config=MeshConfig(system_hwm_msgs=10))
    a.transport.dial(1, bind)
    for i in range(41):
        a.transport.send(1, b"%d" % i)
    await a.told.until(lambda: a.told.links == [(1, False)])
    assert "full" in a.told.reasons[0]
    b = await ends.open(bind)
    await a.told.until(lambda: a.told.links == [(1, False), (1, True)])
    a.transport.send(1, b"again")
    await b.told.until(lambda: b.told.system == [b"again"])
    assert a.transport.counters["overflows"] == 1


async def test_link_breaks_and_heals_with_the_peer(short_path: Path, ends: Ends) -> None:
    """A peer that goes is told once; one that comes back at its address is linked by itself."""
    bind = f"ipc://{short_path}/n"
    a, b = await ends.open(), await ends.open(bind)
    await a.dial(1, b)
    await a.read(b, b"t")
    await b.transport.close(0)
    await a.told.until(lambda: a.told.links == [(1, True), (1, False)])
    c = await ends.open(bind)
    await a.told.until(lambda: a.told.links == [(1, True), (1, False), (1, True)])
    await c.told.until(lambda: c.told.readers == [(b"t", True)])
    a.transport.send(1, b"again")
    c.transport.publish(b"tune")
    await c.told.until(lambda: c.told.system == [b"again"])
    await a.told.until(lambda: a.told.data == [b"tune"])


async def test_stopped_process_breaks_the_link(ends: Ends) -> None:
    """A peer that no longer answers is noticed by libzmq's heartbeats (Z27)."""
    script = (
        "import zmq, time\n"
        "s = zmq.Context().socket(zmq.ROUTER)\n"
        "print(s.bind_to_random_port('tcp://127.0.0.1'), flush=True)\n"
        "time.sleep(1000)\n"
    )
    peer = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdout=subprocess.PIPE
    )
    try:
        assert peer.stdout is not None
        port = int(await peer.stdout.readline())
        a = await ends.open(config=MeshConfig(link_timeout_secs=0.4, heartbeat_secs=0.1))
        a.transport.dial(1, f"tcp://127.0.0.1:{port}")
        await a.told.until(lambda: a.told.links == [(1, True)])
        peer.send_signal(signal.SIGSTOP)
        await a.told.until(lambda: a.told.links == [(1, True), (1, False)])
    finally:
        peer.kill()
        await peer.wait()


async def test_goodbye_before_hangup_arrives(ends: Ends) -> None:
    """The last frame leaves though the link is hung up at once (R23, F25)."""
    a, b = await ends.open(), await ends.open()
    await a.dial(1, b)
    for _ in range(1_000):
        a.transport.send(1, bytes(10_000))
    a.transport.send(1, b"bye")
    a.transport.hangup(1)
    a.transport.send(1, b"nobody hears this")
    a.transport.hangup(1)
    await b.told.until(lambda: len(b.told.system) == 1_001)
    assert b.told.system[-1] == b"bye"
    assert a.told.links == [(1, True)]


async def test_last_frames_before_close_arrive(ends: Ends) -> None:
    """Closing flushes both planes (R23, F25)."""
    a, b = await ends.open(), await ends.open()
    await a.dial(1, b)
    await b.read(a, b"t")
    for i in range(1_000):
        a.transport.send(1, b"s%d" % i)
        a.transport.publish(b"t%d" % i)
    await a.transport.close(5)
    await b.told.until(lambda: len(b.told.system) == 1_000 and len(b.told.data) == 1_000)


async def test_close_with_mail_for_nobody_returns(short_path: Path, ends: Ends) -> None:
    """What nobody takes holds the end up for the linger time only; a second close does nothing."""
    a = await ends.open()
    a.transport.dial(1, f"ipc://{short_path}/nobody")
    a.transport.send(1, b"unheard")
    await a.transport.close(0.05)
    await a.transport.close(0.05)
    assert not a.transport.counters["abandoned_contexts"]
    assert repr(a.transport) == "<Transport closed [0 dials, 0 attached]>"


async def test_close_from_a_handler_ends_the_turn(ends: Ends) -> None:
    """A handler that closes its transport is told nothing more (F26)."""
    a, b = await ends.open(), await ends.open()
    await a.dial(1, b)
    closing: list[asyncio.Task[None]] = []
    b.told.on_system = lambda _: closing.append(asyncio.create_task(b.transport.close(0)))
    for _ in range(100):
        a.transport.send(1, b"x")
    await b.told.until(lambda: bool(closing))
    await closing[0]
    known = len(b.told.system)
    await a.told.until(lambda: (1, False) in a.told.links)
    assert len(b.told.system) == known


async def test_reader_events_tell_each_coming_and_the_last_going(ends: Ends) -> None:
    """Every new reader of a topic is told, and that there is none when the last has gone (R4)."""
    a, b, c = await ends.open(), await ends.open(), await ends.open()
    await b.read(a, b"t")
    await c.read(a, b"t")
    await a.told.until(lambda: a.told.readers == [(b"t", True)] * 2)
    b.transport.unsubscribe(b"t")
    b.transport.subscribe(b"end of b")
    await a.told.until(lambda: (b"end of b", True) in a.told.readers)
    assert (b"t", False) not in a.told.readers
    await c.transport.close(0)
    await a.told.until(lambda: a.told.readers[-1] == (b"t", False))


async def test_attach_twice_delivers_once_and_detach_ends_it(ends: Ends) -> None:
    """One data endpoint is one connection, over IPv4 and IPv6 alike."""
    a, b, six = await ends.open(), await ends.open(), await ends.open("tcp://[::1]:*")
    await b.read(a, b"t")
    b.transport.attach(a.data_endpoint)
    await b.read(six, b"t")
    a.transport.publish(b"t1")
    six.transport.publish(b"t6")
    await b.told.until(lambda: len(b.told.data) == 2)
    assert sorted(b.told.data) == [b"t1", b"t6"]
    b.transport.detach(a.data_endpoint)
    b.transport.detach(six.data_endpoint)
    b.transport.detach("tcp://127.0.0.1:1")
    await a.told.until(lambda: a.told.readers[-1] == (b"t", False))
    await six.told.until(lambda: six.told.readers[-1] == (b"t", False))


async def test_refusal_returns_to_whoever_sent(ends: Ends) -> None:
    """A refusal reaches the dial that the frame came by; one for nobody is counted (R2, Z06)."""
    a, b = await ends.open(), await ends.open()
    await a.dial(5, b)
    a.transport.send(5, b"hello")
    await b.told.until(lambda: len(b.told.system) == 1)
    b.transport.refuse(b.told.strangers[0], b"no")
    await a.told.until(lambda: a.told.refusals == [(5, b"no")])
    b.transport.refuse(b"gone", b"no")
    assert b.transport.counters["unrefusable"] == 1


async def test_bursts_both_ways_leave_nothing_behind(ends: Ends) -> None:
    """Of 50,000 frames in bursts, sent while others come in, the last of each arrives (Z12)."""
    a, b = await ends.open(), await ends.open()
    await a.dial(1, b)
    await b.dial(1, a)
    await a.read(b, b"t")
    await b.read(a, b"t")
    a.told.on_system = lambda frame: b.transport.publish(b"t")
    b.told.on_system = lambda frame: a.transport.publish(b"t")
    for burst in range(1, 26):
        for _ in range(500):
            a.transport.send(1, b"x")
            b.transport.send(1, b"x")
        for end in (a, b):
            await end.told.until(lambda end=end, n=500 * burst: len(end.told.data) == n)  # type: ignore[misc]
            assert len(end.told.system) == 500 * burst


async def test_signal_swallowed_by_a_send_is_made_good(ends: Ends) -> None:
    """What comes in while we send on the same socket is taken though no signal is left (Z12)."""
    a = await ends.open()
    router, reader = ends.raw(zmq.ROUTER), ends.raw(zmq.XSUB)
    port = router.bind_to_random_port("tcp://127.0.0.1")
    router.setsockopt(zmq.RCVTIMEO, 15_000)
    reader.connect(a.data_endpoint)
    a.transport.dial(1, f"tcp://127.0.0.1:{port}")
    for turn in range(1, 31):
        a.transport.send(1, b"x")
        stranger, _ = router.recv_multipart()
        router.send_multipart([stranger, b"no"])
        reader.send(b"\1%d" % turn)
        for _ in range(100):  # a few milliseconds without the loop
            a.transport.send(1, b"x")
            for _ in range(10):
                a.transport.publish(b"x")
        for _ in range(100):
            router.recv_multipart()
        await a.told.until(
            lambda n=turn: len(a.told.refusals) == n and len(a.told.readers) == n  # type: ignore[misc]
        )


async def test_attempt_that_fails_is_no_news(ends: Ends) -> None:
    """A dial that is cut before the handshake tells nothing, however often it tries."""
    a, attempts = await ends.open(), asyncio.Semaphore(0)

    def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()
        attempts.release()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        a.transport.dial(1, f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        async with asyncio.timeout(TIMEOUT_SECS):
            for _ in range(3):
                await attempts.acquire()
    b = await ends.open()
    await a.dial(2, b)
    assert a.told.links == [(2, True)]


async def test_flood_leaves_the_loop_to_others(ends: Ends) -> None:
    """Between two rounds of the event loop at most two turns' batches are handed on (Z13)."""
    a, b = await ends.open(), await ends.open()
    await a.dial(1, b)
    await b.read(a, b"t")
    loop = asyncio.get_running_loop()
    rounds: list[int] = []

    def tick() -> None:
        rounds.append(len(b.told.data) + len(b.told.system))
        if rounds[-1] < 10_000:
            loop.call_soon(tick)

    for _ in range(1_000):
        a.transport.send(1, b"s")
    for _ in range(9_000):
        a.transport.publish(b"t")
    tick()
    await b.told.until(lambda: len(b.told.data) + len(b.told.system) == 10_000)
    rounds.append(10_000)
    planes = 2
    most = max(after - before for before, after in zip(rounds, rounds[1:], strict=False))
    assert most <= 2 * planes * DEFAULT.batch_msgs


@pytest.mark.parametrize("plane", Plane)
async def test_blocked_loop_hears_heartbeats_behind_all_that_may_be_sent(
    plane: Plane, ends: Ends
) -> None:
    """The I/O thread goes on reading: a busy process keeps its links, and lives (R16, R17, R20)."""
    most = 2_000
    brief = MeshConfig(
        heartbeat_secs=0.1, link_timeout_secs=0.3, window_msgs=64, system_hwm_msgs=most // 2
    )
    a, b = await ends.open(config=replace(brief, window_msgs=most)), await ends.open(config=brief)
    await a.dial(1, b)
    await b.read(a, b"t")
    for _ in range(most):
        if plane is Plane.DATA:
            a.transport.publish(b"t" + bytes(1_000))
        else:
            a.transport.send(1, bytes(1_000))
    await asyncio.sleep(0)
    time.sleep(5 * brief.link_timeout_secs)  # noqa: ASYNC251 - the loop is blocked on purpose
    got = b.told.data if plane is Plane.DATA else b.told.system
    await b.told.until(lambda: len(got) == most)
    assert a.told.links == [(1, True)]
    assert a.told.readers == [(b"t", True)]


async def test_handler_that_raises_loses_no_other_frame(ends: Ends) -> None:
    """An error of the handler goes to the loop's handler of errors, and the turns go on."""
    a, b = await ends.open(), await ends.open()
    await a.dial(1, b)
    errors: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: errors.append(context["exception"]))

    def fail(frame: bytes) -> None:
        if frame == b"bad":
            raise LookupError("the handler's own fault")

    b.told.on_system = fail
    for frame in (b"bad", b"good", b"bad", b"good"):
        a.transport.send(1, frame)
    await b.told.until(lambda: b.told.system == [b"bad", b"good", b"bad", b"good"])
    assert [type(error) for error in errors] == [LookupError, LookupError]


async def test_frame_over_the_limit_costs_the_connection_only(ends: Ends) -> None:
    """A packet above ``max_packet_bytes`` never arrives, and what follows does (R25, R26)."""
    a, b = await ends.open(), await ends.open(config=SMALL)
    await a.dial(1, b)
    a.transport.send(1, bytes(30_000))
    await a.told.until(lambda: a.told.links == [(1, True), (1, False), (1, True)])
    a.transport.send(1, b"small")
    await b.told.until(lambda: b.told.system == [b"small"])


async def test_message_of_several_parts_is_counted_and_dropped(ends: Ends) -> None:
    """Nobody here sends more than one part; who does is not heard, and disturbs nobody (R26)."""
    b = await ends.open()
    assert not b.transport.counters
    stranger = ends.raw(zmq.DEALER)
    stranger.connect(b.endpoint)
    stranger.send_multipart([b"one", b"two", b"three"])
    stranger.send(b"single")
    reader = ends.raw(zmq.XSUB)
    reader.connect(b.data_endpoint)
    reader.send_multipart([b"not a", b"subscription"])
    reader.send(b"nor is this")
    reader.send(b"\1topic")
    await b.told.until(lambda: bool(b.told.system and b.told.readers))
    assert b.told.system == [b"single"]
    assert b.told.readers == [(b"topic", True)]
    assert b.transport.counters == {"multipart": 2, "foreign": 1}


@pytest.mark.parametrize(
    "endpoint",
    ["tcp://0.0.0.0:5", "tcp://host.example:5", "tcp://127.0.0.1:99999", "udp://127.0.0.1:5", ""],
)
async def test_dial_of_a_useless_address_is_reported(endpoint: str, ends: Ends) -> None:
    """What a peer claims as its address raises nothing and hangs nothing (R26, R31, Z26)."""
    a = await ends.open()
    a.transport.dial(1, endpoint)
    a.transport.attach(endpoint)
    await a.told.until(lambda: a.told.links == [(1, False)])
    assert endpoint in a.told.reasons[0]
    assert a.transport.counters["failed_dials"] == 1


def test_transport_made_outside_serves_one_loop_after_another() -> None:
    """Constructing touches no loop; three runs in a row work (Z38)."""

    async def run(here: Transport, told: Recorder) -> None:
        await here.open()
        here.dial(1, here.endpoints[0])
        here.send(1, b"to myself")
        await told.until(lambda: told.system == [b"to myself"])
        await here.close(0)

    for _ in range(3):
        told = Recorder()
        here = Transport(told, bind="tcp://127.0.0.1:*", advertise=None, config=DEFAULT)
        asyncio.run(run(here, told))


def test_process_ends_without_close() -> None:
    """A process that never closes, with mail for a peer that does not exist, ends (Z15)."""
    script = (
        "import asyncio\n"
        "from support.net_ends import Recorder\n"
        "from zmqbus.config import DEFAULT\n"
        "from zmqbus.net.transport import Transport\n"
        "async def main():\n"
        "    t = Transport(Recorder(), bind='tcp://127.0.0.1:*', advertise=None, config=DEFAULT)\n"
        "    await t.open()\n"
        "    t.dial(1, 'tcp://127.0.0.1:1')\n"
        "    t.send(1, b'unheard')\n"
        "    raise SystemExit(3)\n"
        "asyncio.run(main())\n"
    )
    here = os.path.dirname(os.path.dirname(__file__))
    ended = subprocess.run([sys.executable, "-c", script], cwd=here, timeout=20, check=False)
    assert ended.returncode == 3
