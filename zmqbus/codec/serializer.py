"""`MsgpackSerializer`: bus messages to bytes and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from msgpack import Packer, unpackb
from pipecat.bus.messages import BusMessage
from pipecat.bus.serializers.base import MessageSerializer

from zmqbus.codec import scan
from zmqbus.codec.coding import Decoding, Encoding, UndeliverableError, UntravelableError
from zmqbus.codec.ids import IdSpace
from zmqbus.codec.notices import Notices
from zmqbus.codec.table import Table
from zmqbus.codec.values import mend
from zmqbus.errors import CodecError, MessageTooLargeError

MAX_MESSAGE_BYTES = 16 * 1024 * 1024  # 10 MB of payload pass; more holds up everything behind it


class MsgpackSerializer(MessageSerializer):
    """Encodes bus messages as msgpack, losing nothing and building nothing unknown.

    The bytes describe themselves and no state is kept between messages, so it also works as
    ``RedisBus(serializer=MsgpackSerializer())``.

    Args:
        register: Classes of the application to let in, as by `register()`.
        max_message_bytes: Larger messages are refused in both directions.
    """

    def __init__(
        self, *, register: Iterable[type] = (), max_message_bytes: int = MAX_MESSAGE_BYTES
    ) -> None:
        self._table = Table()
        self._notices = Notices()
        self._max_message_bytes = max_message_bytes
        self._inspect_above_bytes = min(max_message_bytes, scan.UNSCANNED_BYTES)
        # Packs plain values only, so no Python code runs inside and one packer serves all threads.
        self._packer = Packer(strict_types=True)
        for cls in register:
            self.register(cls)

    @property
    def dropped(self) -> dict[str, int]:
        """How often what was left out or not known, by ``Class.field`` or class name."""
        return dict(self._notices.counts)

    def register(
        self,
        cls: type,
        *,
        encode: Callable[[Any], Any] | None = None,
        decode: Callable[[Any], Any] | None = None,
    ) -> None:
        """Let a class into the closed table, on every runner that sends or receives it.

        Subclasses of `Frame` and `BusMessage`, and enums, need this only if they are defined
        inside a function.

        Args:
            cls: A dataclass, enum, pydantic model, or with the other two anything.
            encode: Makes a value that travels out of an object of exactly this class.
            decode: Makes the object out of that value; it sees what peers sent.

        Raises:
            ConfigError: If `cls` needs `encode` and `decode`, or only one is given.
        """
        self._table.register(cls, encode, decode)

    def serialize(self, message: BusMessage) -> bytes:
        """Encode a message, ids as they are.

        Raises:
            CodecError: If it holds what cannot travel, with the path to it.
            MessageTooLargeError: If it takes more than `max_message_bytes`.
        """
        return self.encode(message)

    def deserialize(self, data: bytes | memoryview) -> BusMessage | None:
        """Decode a message, ids as they are; None if its class is not known here (R28).

        Raises:
            CodecError: If the bytes are no message.
        """
        return self.decode(data)

    def encode(self, message: BusMessage, ids: IdSpace | None = None) -> bytes:
        """Encode a message, naming foreign ids by their origin in `ids`.

        Raises:
            CodecError: If it holds what cannot travel, with the path to it.
            MessageTooLargeError: If it takes more than `max_message_bytes`.
        """
        if not isinstance(message, BusMessage):
            raise CodecError(type(message).__qualname__, "only a BusMessage travels by itself")
        kind, enc = type(message), Encoding(self._table, ids, self._notices)
        try:
            plain = (self._table.encoders.get(kind) or self._table.encoder(kind))(message, enc)
            try:
                data: bytes = self._packer.pack(plain)
            except (OverflowError, UnicodeEncodeError):
                data = self._packer.pack(mend(plain))
        except UntravelableError as error:
            name = type(message).__qualname__
            raise CodecError(f"{name}{error.path}", error.reason) from None
        except (ValueError, TypeError, RecursionError) as error:
            name = type(message).__qualname__
            raise CodecError(name, f"it cannot be encoded ({error})") from error
        if len(data) > self._inspect_above_bytes:
            if len(data) > self._max_message_bytes:
                name = type(message).__qualname__
                raise MessageTooLargeError(name, len(data), self._max_message_bytes)
            scan.measure(data)
        return data

    def decode(
        self, data: bytes | memoryview, ids: IdSpace | None = None, sender: bytes = b""
    ) -> BusMessage | None:
        """Decode a message of the node `sender`, its ids made this node's by `ids`.

        Raises:
            CodecError: If the bytes are no message.
        """
        decoding = Decoding(self._table, ids, sender, self._notices)
        try:
            if len(data) > self._inspect_above_bytes:
                self._inspect(data)
                root = _unpack(data, decoding, len(data))
            else:
                root = _unpack(data, decoding, scan.UNSCANNED_ITEMS)
        except UndeliverableError as error:
            self._notices.warn(error.subject, f"message dropped, {error.reason}")
            return None
        except CodecError:
            raise
        except Exception as error:  # whatever msgpack or a constructor makes of a peer's bytes
            raise CodecError(
                "", f"the bytes are no message ({type(error).__name__}: {error!s:.200})"
            ) from error
        if decoding.loose:
            if not decoding.unknown:
                raise CodecError("", "an id stands where it means nothing")
            self._notices.warn(decoding.unknown[0], "message dropped, this class is not known here")
            return None
        if not isinstance(root, BusMessage):
            raise CodecError("", f"a BusMessage wanted, got {type(root).__qualname__}")
        return root

    def _inspect(self, data: bytes | memoryview) -> None:
        if len(data) > self._max_message_bytes:
            limit = self._max_message_bytes
            raise CodecError("", f"{len(data):,} bytes arrived, the limit is {limit:,}")
        scan.measure(data)


def _unpack(data: bytes | memoryview, decoding: Decoding, longest: int) -> Any:
    try:
        return unpackb(
            data,
            ext_hook=decoding.on_ext,
            list_hook=decoding.on_list,
            max_array_len=longest,
            max_map_len=longest,
        )
    except ValueError as error:
        if longest == len(data) or "exceeds max_" not in str(error):
            raise
    scan.measure(data)
    return _unpack(data, decoding.again(), len(data))
