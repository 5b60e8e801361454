"""Frames of both planes, as they come in from anybody who reaches a port."""

from __future__ import annotations

from fuzz.target import Target
from zmqbus.errors import WireError
from zmqbus.packets import Batch, NodeId, Packet
from zmqbus.wire import decode_data, decode_system, encode_data, encode_system


def _system(said: tuple[NodeId, NodeId, Packet]) -> None:
    sender, addressee, packet = said
    assert decode_system(encode_system(packet, sender, addressee)) == said


def _data(said: tuple[NodeId, NodeId | None, Batch]) -> None:
    sender, reader, batch = said
    assert decode_data(encode_data(batch, sender, reader)) == said


TARGETS = {
    "wire-system": Target(decode_system, (WireError,), _system),
    "wire-data": Target(decode_data, (WireError,), _data),
}
