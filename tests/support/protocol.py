"""The test vectors of zmqbus/PROTOCOL.md, and the packets they stand for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import zmqbus
from zmqbus.packets import (
    NOBODY,
    Announce,
    Batch,
    Bye,
    ChannelId,
    Gone,
    Hello,
    Interest,
    Member,
    Members,
    Nack,
    NodeId,
    Packet,
    Plane,
    Refusal,
    Refuse,
    Status,
    StreamState,
    Welcome,
)

PROTOCOL = Path(zmqbus.__file__).with_name("PROTOCOL.md")

_ONE, _TWO, _THREE = (NodeId(b"node-" + name) for name in (b"one", b"two", b"III"))
_CHANNEL = ChannelId(b"channel1")
_INTEREST = Interest(_CHANNEL, "acme", "desk", 1_700_000_000_000_000_000, ("llm", "tts"), False)
_HELLO = Hello(
    min_version=1,
    max_version=1,
    token=77,
    heard=0,
    host="box",
    pid=4242,
    endpoints=("tcp://10.0.0.1:7000",),
    data_endpoints=("tcp://10.0.0.1:7001",),
    interests=(_INTEREST,),
    known=3,
    met=0,
)
_TARGETED = Batch(_CHANNEL, Plane.DATA, 8, 7, (b"eight", b""), after=2)
_BROADCAST = Batch(_CHANNEL, Plane.DATA, 9, 7, (b"nine",), ((_TWO, 8, 2),), 1)
_STATE = StreamState(_CHANNEL, Plane.DATA, 9, -1)

#: By the name of the row: plane, addressee (NOBODY for all), packet. The sender is always _ONE.
_ROWS: dict[str, tuple[Plane, NodeId, Packet]] = {
    "hello to whoever listens": (Plane.SYSTEM, NOBODY, _HELLO),
    "announce": (Plane.SYSTEM, _TWO, Announce((_INTEREST,), (ChannelId(b"channel2"),))),
    "welcome": (Plane.SYSTEM, _TWO, Welcome(_CHANNEL, 0, 7, (b"snapshot",), True)),
    "status": (Plane.SYSTEM, _TWO, Status(78, True, 1_000_000, 900_000, 250, (_STATE,), 5, 500)),
    "batch, system": (
        Plane.SYSTEM,
        _TWO,
        Batch(_CHANNEL, Plane.SYSTEM, 1, 0, (b"cancel",)),
    ),
    "nack": (Plane.SYSTEM, _TWO, Nack(_CHANNEL, Plane.DATA, 7, 9)),
    "gone": (Plane.SYSTEM, _TWO, Gone(_CHANNEL, Plane.DATA, 8, 2)),
    "members": (Plane.SYSTEM, _TWO, Members((Member(_THREE, ("ipc:///run/z",)),))),
    "bye": (Plane.SYSTEM, _TWO, Bye("stopped")),
    "refuse": (Plane.SYSTEM, _TWO, Refuse(Refusal.RUNNER_NAME, "'desk' is taken", _CHANNEL)),
    "batch, broadcast with an exception": (Plane.DATA, NOBODY, _BROADCAST),
    "batch, to one reader": (Plane.DATA, _TWO, _TARGETED),
}


@dataclass(frozen=True)
class Vector:
    """A row of the table.

    Parameters:
        name: What it shows.
        plane: The plane the frame travels on.
        sender: Who sends it.
        addressee: Who it is for; NOBODY on the data plane for all.
        packet: What it says.
        said: What the document says it says.
        frame: The bytes.
    """

    name: str
    plane: Plane
    sender: NodeId
    addressee: NodeId
    packet: Packet
    said: str
    frame: bytes


def _read() -> list[Vector]:
    rows = re.findall(r"^\| (.+?) \| `(.+)` \| `([0-9a-f ]+)` \|$", PROTOCOL.read_text(), re.M)
    return [
        Vector(name, plane, _ONE, addressee, packet, said, bytes.fromhex(frame))
        for name, said, frame in rows
        for plane, addressee, packet in [_ROWS[name]]
    ]


VECTORS = _read()
