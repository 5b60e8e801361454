"""Bytes of peers to messages: decoded and checked for what the peer may say, or dropped."""

from __future__ import annotations

from collections import Counter
from struct import Struct
from typing import Any

from loguru import logger
from pipecat.bus import BusMessage, BusWorkerRegistryMessage
from pipecat.bus.serializers.base import MessageSerializer

from zmqbus.codec import IdSpace, MsgpackSerializer
from zmqbus.core.channel import Channel
from zmqbus.errors import CodecError, MessageTooLargeError
from zmqbus.packets import NodeId

_ID = Struct(">8sQ")
"""Where an id comes from, and the id there."""


class Translator:
    """Messages to bytes and back, with ids that are unique in this process.

    Args:
        serializer: The codec; one that is not ours gets its ids mapped at the surface only, that
            is, those of the message and of the frame it carries. They travel before its bytes.
        me: This node.
        max_message_bytes: The largest message that may be sent.
    """

    def __init__(self, serializer: MessageSerializer, me: NodeId, max_message_bytes: int) -> None:
        self._serializer = serializer
        self._limit_bytes = max_message_bytes
        self._ids = IdSpace(me)

    def encode(self, message: BusMessage) -> bytes:
        """The message as bytes.

        Raises:
            CodecError: It cannot travel.
            MessageTooLargeError: It is too large.
        """
        if isinstance(self._serializer, MsgpackSerializer):
            body = self._serializer.encode(message, self._ids)
        else:
            body = self._encode_foreign(message)
        if len(body) > self._limit_bytes:
            raise MessageTooLargeError(type(message).__name__, len(body), self._limit_bytes)
        return body

    def decode(self, body: bytes, node: NodeId) -> BusMessage | None:
        """The message of ``node``; None if its class is not known here.

        Raises:
            CodecError: The bytes are no message.
        """
        if isinstance(self._serializer, MsgpackSerializer):
            return self._serializer.decode(body, self._ids, node)
        return self._decode_foreign(body)

    def _encode_foreign(self, message: BusMessage) -> bytes:
        try:
            ids = [self._ids.origin(getattr(*place)) for place in _id_places(message)]
            parts = [_ID.pack(*origin_and_id) for origin_and_id in ids]
            return b"".join((bytes((len(parts),)), *parts, self._serializer.serialize(message)))
        except Exception as error:  # a serializer may raise anything
            name = type(self._serializer).__name__
            raise CodecError(
                type(message).__name__, f"{name} cannot encode it ({error})"
            ) from error

    def _decode_foreign(self, body: bytes) -> BusMessage | None:
        start = 1 + body[0] * _ID.size
        message = self._serializer.deserialize(body[start:])
        if message is None:
            return None
        _check(message)
        ids = _ID.iter_unpack(body[1:start])
        for (owner, name), (origin, remote) in zip(_id_places(message), ids, strict=True):
            setattr(owner, name, self._ids.local(origin, remote))
        return message


def _id_places(message: BusMessage) -> list[tuple[Any, str]]:
    """Where a message has ids: its own, and those of the frame it carries."""
    frame = getattr(message, "frame", None)
    places = ((message, "id"), (frame, "id"), (frame, "broadcast_sibling_id"))
    return [(owner, name) for owner, name in places if getattr(owner, name, None) is not None]


def _check(message: object) -> None:
    """Raise if what the mesh relies on is not there: not every codec looks at types."""
    if not isinstance(message, BusMessage):
        raise CodecError("", f"a {type(message).__name__} is no bus message")
    names = [message.source, message.target or ""]
    if isinstance(message, BusWorkerRegistryMessage):
        names += [message.runner, *(entry.name for entry in message.workers)]
    if not all(isinstance(name, str) for name in names):
        raise CodecError("", "a name is no text")


class Reception:
    """Takes the messages of peers in: what may be delivered comes out, the rest is counted.

    Args:
        translator: Decodes.
        name: Of the bus, for the log.
    """

    def __init__(self, translator: Translator, name: str) -> None:
        self.received_msgs = 0
        self.received_bytes = 0
        self.dropped: Counter[str] = Counter()
        self._translator = translator
        self._name = name

    def take(self, channel: Channel, body: bytes, node: NodeId) -> BusMessage | None:
        """The message to deliver, or None if it was dropped. Never raises (R26)."""
        try:
            message = self._translator.decode(body, node)
        except Exception as error:  # a serializer or a class of the application may raise anything
            self._drop("undecodable", channel, node, f"it cannot be decoded: {error}")
            return None
        if message is None:
            self._drop("unknown_class", channel, node, "its class is not known here")
        elif not channel.may_speak_as(node, message.source):
            why = f"its source {message.source!r} belongs to another runner"
            self._drop("foreign_source", channel, node, why)
        elif isinstance(message, BusWorkerRegistryMessage) and (
            channel.owner_of(message.runner) not in (None, node)
        ):
            why = f"it speaks for {message.runner!r}, which is another live runner"
            self._drop("foreign_registry", channel, node, why)
        else:
            self.received_msgs += 1
            self.received_bytes += len(body)
            return message
        return None

    def _drop(self, reason: str, channel: Channel, node: NodeId, why: str) -> None:
        self.dropped[reason] += 1
        if self.dropped[reason] == 1:
            logger.warning(
                f"{self._name}: dropped a message of {channel.name_of(node)}: {why}; "
                f"more of its kind are only counted"
            )
