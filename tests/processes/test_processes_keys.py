"""Real processes with a key file: members meet by local discovery, others are told why not."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

from support.process import RemoteSite, spawn

from zmqbus.keys import MeshKey
from zmqbus.keys.files import write_secret

LISTENING: dict[str, Any] = {"kind": "listener", "name": "listener", "hears": ["BusUIEventMessage"]}


async def test_processes_with_one_key_file_meet_and_one_without_is_turned_away(
    tmp_path: Path,
) -> None:
    """A thousand messages arrive; the outsider on the same host and channel is no peer of anybody.

    It is told why by the others, though it finds them by the same rendezvous (X06, X07).
    """
    path = tmp_path / "mesh.key"
    write_secret(path, MeshKey.new().reveal())
    channel = f"keys-{uuid.uuid4().hex}"
    async with spawn(2, ZMQBUS_KEY_FILE=str(path)) as (there, here), spawn(1) as (outside,):
        sender, listener = RemoteSite(there, "sending"), RemoteSite(here, "listening")
        outsider = RemoteSite(outside, "outside")
        for site, runner in ((listener, "listening"), (outsider, "outside"), (sender, "sending")):
            await site.open(runner, bus={"channel": channel})
        await listener.host(**LISTENING)
        await sender.host("sender", "sender")
        await sender.call("sender", "greet", name="listener", count=1000)

        assert await listener.journal.wait("listener", "heard", 1000) == list(range(1000))
        [text, *_] = await outsider.journal.wait("bus", "refused", 1)
        assert "and this node has n" in text  # "none", if it dialled; "no key", if it was dialled
        assert await outsider.call("", "peers") == []
        assert len(await sender.call("", "peers")) == 1
        for site in (sender, listener, outsider):
            await site.close()
