"""Two buses that nobody ships but that a team might write in an afternoon: over NATS and Zenoh.

They are written as quick as their libraries allow, so that the comparison is with the transport and
not with our carelessness. Neither has order across planes, repair or a registry: they are rivals in
speed alone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import nats
import zenoh
from pipecat.bus import BusMessage, WorkerBus
from pipecat.bus.serializers.base import MessageSerializer


class NatsBus(WorkerBus):
    """One NATS subject for a channel.

    Args:
        url: The server.
        channel: The subject.
        serializer: Messages to bytes.
    """

    def __init__(self, url: str, channel: str, serializer: MessageSerializer) -> None:
        super().__init__()
        self._url = url
        self._channel = channel
        self._serializer = serializer
        self._client: Any = None

    async def start(self) -> None:
        """Connect and subscribe."""
        await super().start()
        self._client = await nats.connect(self._url)
        await self._client.subscribe(
            self._channel, cb=self._take, pending_msgs_limit=-1, pending_bytes_limit=-1
        )
        await self._client.flush()

    async def stop(self) -> None:
        """Send what is buffered, then leave."""
        await self._client.drain()
        await super().stop()

    async def publish(self, message: BusMessage) -> None:
        """Send one message; the client writes when its buffer is full or the loop turns."""
        await self._client.publish(self._channel, self._serializer.serialize(message))

    async def _take(self, packet: Any) -> None:
        message = self._serializer.deserialize(packet.data)
        if message:
            self.on_message_received(message)


class ZenohBus(WorkerBus):
    """One Zenoh key for a channel, between two peers that need no router.

    Args:
        endpoint: Where the first of the two listens and the second connects.
        channel: The key.
        serializer: Messages to bytes.
    """

    def __init__(self, endpoint: str, channel: str, serializer: MessageSerializer) -> None:
        super().__init__()
        self._endpoint = endpoint
        self._channel = channel
        self._serializer = serializer
        self._arrived: deque[bytes] = deque()
        self._waking = False
        self._session: Any = None
        self._publisher: Any = None
        self._loop: Any = None

    async def start(self) -> None:
        """Open the session."""
        await super().start()
        self._loop = asyncio.get_running_loop()
        self._session = await asyncio.to_thread(_open, self._endpoint)
        self._session.declare_subscriber(self._channel, self._hear)
        self._publisher = self._session.declare_publisher(
            self._channel,
            congestion_control=zenoh.CongestionControl.BLOCK,
            reliability=zenoh.Reliability.RELIABLE,
        )

    async def stop(self) -> None:
        """Close the session."""
        await asyncio.to_thread(self._session.close)
        await super().stop()

    async def publish(self, message: BusMessage) -> None:
        """Send one message; blocks while the link is full."""
        self._publisher.put(self._serializer.serialize(message))

    def _hear(self, sample: Any) -> None:
        """Called by threads of Zenoh's: wake the loop once for all that came meanwhile."""
        self._arrived.append(sample.payload.to_bytes())
        if not self._waking:
            self._waking = True
            self._loop.call_soon_threadsafe(self._take)

    def _take(self) -> None:
        self._waking = False  # first: what comes from here on wakes again
        for _ in range(len(self._arrived)):
            message = self._serializer.deserialize(self._arrived.popleft())
            if message:
                self.on_message_received(message)


def _open(endpoint: str) -> Any:
    """A session that listens on the endpoint or, if somebody does already, connects to it."""
    try:
        return zenoh.open(_config("listen", endpoint))
    except zenoh.ZError:
        return zenoh.open(_config("connect", endpoint))


def _config(key: str, endpoint: str) -> Any:
    config = zenoh.Config()
    config.insert_json5("mode", '"peer"')
    config.insert_json5("scouting/multicast/enabled", "false")
    config.insert_json5(f"{key}/endpoints", f'["{endpoint}"]')
    if key == "connect":
        config.insert_json5("listen/endpoints", "[]")
    return config
