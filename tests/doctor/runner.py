"""A bus in a process of its own: ``python runner.py CHANNEL [block] [version 9]``.

Says "ready" once it is started, and then serves, or blocks its event loop, until it is killed.
"""

from __future__ import annotations

import asyncio
import sys
import time

from zmqbus import packets

if "version" in sys.argv:
    packets.VERSION = packets.MIN_VERSION = 9  # before anybody else has read them


async def main() -> None:
    """Serve."""
    from support.buses import task_manager

    from zmqbus import ZmqBus

    bus = ZmqBus(channel=sys.argv[1])
    await bus.setup(task_manager())
    await bus.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    if "block" in sys.argv:
        time.sleep(600)  # noqa: ASYNC251 (this is the fault that is to be found)
    await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    asyncio.run(main())
