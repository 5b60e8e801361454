"""Stale audio (zmqbus/stale.py): what is skipped, and that nothing else is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from pipecat.bus import BusFrameMessage, BusMessage
from pipecat.frames import frames
from pipecat.frames.frames import Frame, TextFrame
from pipecat.processors.frame_processor import FrameDirection
from support.buses import Inbox, Mesh, data, open_mesh, until
from support.journal import TIMEOUT_SECS

from zmqbus import MeshConfig, ZmqBus
from zmqbus.bell import Bell
from zmqbus.core.outbox import Delivered
from zmqbus.packets import NodeId, Plane
from zmqbus.stale import SKIPPED_HERE, SKIPPED_THERE, AudioGate, StaleAudio

NODE, OTHER = NodeId(b"node-one"), NodeId(b"node-two")
AUDIO = sorted(
    name
    for name, kind in vars(frames).items()
    if isinstance(kind, type) and issubclass(kind, frames.AudioRawFrame) and issubclass(kind, Frame)
)
"""The family: every frame class that carries raw audio."""


def carrying(frame: Frame) -> BusMessage:
    """A message that carries a frame."""
    return BusFrameMessage(source="a", frame=frame, direction=FrameDirection.DOWNSTREAM)


def audio(kind: str = "OutputAudioRawFrame") -> BusMessage:
    """A message with 20 ms of silence."""
    who = {"user_id": "u"} if kind == "UserAudioRawFrame" else {}
    pcm = {"audio": bytes(640), "sample_rate": 16_000, "num_channels": 1}
    return carrying(getattr(frames, kind)(**who, **pcm))


class Clocked:
    """What skips stale audio, at time ``now``, and a subscriber behind its gate."""

    def __init__(self, max_age_secs: float | None = 1.0) -> None:
        self.now = 100.0
        self.told: list[tuple[NodeId, int, str]] = []
        self.bell = Bell()
        self.stale = StaleAudio(max_age_secs, lambda: self.now, self._tell)
        self.inbox = Inbox("b")
        self.gate = AudioGate(self.inbox)

    def _tell(self, *told: object) -> None:
        self.told.append(told)  # type: ignore[arg-type]
        self.bell.ring()

    async def take(self, message: BusMessage, waited_secs: float) -> bool:
        """Let a message arrive, wait, and come to its turn; returns whether it was handed on."""
        self.stale.arrived(message, NODE, self.now)
        self.now += waited_secs
        await self.gate.on_bus_message(message)
        return message in self.inbox.messages


def test_family_of_audio_frames_is_known() -> None:
    """All that carry raw audio, and no other frame."""
    assert {"InputAudioRawFrame", "OutputAudioRawFrame", "TTSAudioRawFrame"} <= set(AUDIO)
    assert not {"TextFrame", "OutputImageRawFrame", "StartFrame"} & set(AUDIO)


@pytest.mark.parametrize("kind", AUDIO)
async def test_audio_that_waited_too_long_is_skipped(kind: str) -> None:
    """Just in time it is handed on; at the limit it is skipped and counted (R18a)."""
    clocked = Clocked()
    assert await clocked.take(audio(kind), 0.99)
    assert not await clocked.take(audio(kind), 1.0)
    clocked.stale.announce()
    assert clocked.told == [(NODE, 1, SKIPPED_HERE)]


@pytest.mark.parametrize("message", [carrying(TextFrame("x")), data(1)], ids=["text", "no frame"])
async def test_nothing_but_audio_becomes_stale(message: BusMessage) -> None:
    """However long it waits, here or at the sender."""
    clocked = Clocked()
    assert await clocked.take(message, 1e6)
    assert clocked.stale.expires_at(message) == float("inf")
    clocked.stale.announce()
    assert clocked.told == []


async def test_without_a_limit_nothing_is_stale() -> None:
    """The default."""
    clocked = Clocked(None)
    assert clocked.stale.expires_at(audio()) == float("inf")
    assert await clocked.take(audio(), 1e6)


async def test_local_audio_is_never_skipped() -> None:
    """What did not come from a peer has no time of arrival."""
    clocked, message = Clocked(), audio()
    await clocked.gate.on_bus_message(message)
    assert clocked.inbox.messages == [message]


async def test_frame_that_several_subscribers_skip_is_counted_once() -> None:
    """It is one message; who was in time has it."""
    clocked, message = Clocked(), audio()
    other = Inbox("c")
    clocked.stale.arrived(message, NODE, clocked.now)
    await AudioGate(other).on_bus_message(message)
    clocked.now += 2.0
    for _ in range(2):
        await clocked.gate.on_bus_message(message)
    clocked.stale.announce()
    assert (other.messages, clocked.inbox.messages) == ([message], [])
    assert clocked.told == [(NODE, 1, SKIPPED_HERE)]


async def test_skipped_frames_are_announced_together() -> None:
    """By sender and by place, once in a while, each once."""
    clocked = Clocked()
    for node, where in ((NODE, SKIPPED_HERE), (OTHER, SKIPPED_THERE), (NODE, SKIPPED_HERE)):
        clocked.stale.skipped(node, where)
    assert clocked.told == []
    assert await clocked.bell.wait(TIMEOUT_SECS)
    assert clocked.told == [(NODE, 2, SKIPPED_HERE), (OTHER, 1, SKIPPED_THERE)]
    clocked.stale.announce()
    assert len(clocked.told) == 2


def test_sender_knows_when_audio_becomes_stale() -> None:
    """That goes with the message to the core."""
    clocked = Clocked(0.25)
    assert clocked.stale.expires_at(audio()) == 100.25


# -- over real sockets


@pytest.fixture
async def mesh() -> AsyncIterator[Mesh]:
    """Buses that are stopped at the end, and leave nothing."""
    async with open_mesh() as opened:
        yield opened


def listen(bus: ZmqBus) -> asyncio.Queue[tuple[int, str, str]]:
    """What `on_messages_lost` tells from now on."""
    told: asyncio.Queue[tuple[int, str, str]] = asyncio.Queue()

    async def note(_bus: object, _peer: object, *rest: object) -> None:
        told.put_nowait(rest)  # type: ignore[arg-type]

    bus.add_event_handler("on_messages_lost", note)
    return told


async def test_slow_subscriber_skips_stale_audio_and_gets_all_else(mesh: Mesh) -> None:
    """Exactly counted in the stats, and announced with plane and reason (R18a)."""
    inbox = Inbox("b")
    a = await mesh.make(Inbox("a"))
    b = await mesh.make(inbox, config=MeshConfig(max_audio_age_secs=3600.0))
    await mesh.meet(a, b)
    session = b._session
    assert session is not None
    told, early_secs = listen(b), 0.0
    session._stale._clock = lambda: session._clock() + early_secs
    inbox.gate.clear()
    for number in range(5):
        await a.send(data(number))
        await a.send(audio())
    await until(b, lambda: b.stats().received_msgs == 10)
    early_secs = 3601.0  # an hour passes
    inbox.gate.set()
    assert await asyncio.wait_for(told.get(), TIMEOUT_SECS) == (5, "data", SKIPPED_HERE)
    assert b.stats().lost_msgs == 5
    assert inbox.texts == [str(n) for n in range(5)]
    assert len(inbox.messages) == 5


async def test_audio_that_its_sender_left_out_is_announced(mesh: Mesh) -> None:
    """An empty body stands in its place, whatever this end has configured (R18a)."""
    a, inbox, b, _ = await mesh.pair()
    session, sending = a._session, b._session
    assert session is not None
    assert sending is not None
    told, body = listen(a), sending._translator.encode(data("x", source="b"))
    node, channel = b._node.core.id, session.channel.interest.channel
    session.deliver(Delivered(channel, node, Plane.DATA, [b"", body, b"", b""]))
    assert await asyncio.wait_for(told.get(), TIMEOUT_SECS) == (3, "data", SKIPPED_THERE)
    assert inbox.texts == ["x"]
    assert (a.stats().lost_msgs, a.stats().dropped) == (3, {})
