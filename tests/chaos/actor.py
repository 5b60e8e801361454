"""A process of a chaos run: ``python -m chaos.actor '{"actor": 0, "life": 0, ...}'``.

It sends on all lanes at a steady pace, notes what it sends and gets in its ledger, and takes orders
on stdin, one JSON list a line. It ends when stdin closes, and dies with the process that began it.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from chaos.ledger import EVERYBODY, Kind, Lane, Ledger, Outcome
from chaos.schedule import ACTORS
from chaos.stamps import Stamp, stamp_of, stamped
from loguru import logger
from pipecat.bus import BusJobRequestMessage, BusMessage, BusSubscriber
from pipecat.pipeline.job_context import JobError
from pipecat.workers.base_worker import BaseWorker
from pipecat.workers.runner import WorkerRunner
from support.workers import handles, job_options

from zmqbus import MeshConfig, ZmqBus
from zmqbus.bell import Bell
from zmqbus.views import Peer

MOST_OPEN_JOBS = 16
HUNG_AFTER_SECS = 20.0
"""A job that has no answer by then never gets one."""
_PR_SET_PDEATHSIG = 1


class Ear(BusSubscriber):
    """Notes every stamped message; can be made to wait, or to block the loop."""

    def __init__(self, actor: int, ledger: Ledger) -> None:
        """Make the ear of an actor."""
        self.gate = asyncio.Event()
        self.gate.set()
        self.block_secs = 0.0
        self.heard: dict[tuple[int, int, int], int] = {}
        self.bell = Bell()
        self._actor = actor
        self._ledger = ledger

    @property
    def name(self) -> str:
        """What it can be targeted by."""
        return f"ear-{self._actor}"

    async def on_bus_message(self, message: BusMessage) -> None:
        """Note a message that is for this process."""
        stamp = stamp_of(message)
        if stamp is None or stamp.actor == self._actor or message.target not in (None, self.name):
            return
        if self.block_secs:
            block_secs, self.block_secs = self.block_secs, 0.0
            time.sleep(block_secs)  # noqa: ASYNC251 (the fault that is played)
        if stamp.lane.plane:
            await self.gate.wait()
        self._ledger.note(Kind.GOT, stamp.lane, stamp.actor, stamp.life, stamp.number, stamp.after)
        self.heard[stamp.actor, stamp.life, stamp.lane.plane] = stamp.number
        self.bell.ring()


class Hand(BaseWorker):
    """Does jobs, and asks the hands of others for them."""

    def __init__(
        self, actor: int, life: int, ledger: Ledger, known: Callable[[], list[str]]
    ) -> None:
        """Make the hand of an actor; `known` names the workers it could ask."""
        super().__init__(f"hand-{actor}", active=True)
        self._known = known
        self._actor, self._life = actor, life
        self._ledger = ledger
        self._asked = 0
        self._open: set[asyncio.Task[None]] = set()

    @handles("work")
    async def work(self, message: BusJobRequestMessage) -> None:
        """Answer at once, and note whose job it was."""
        payload = message.payload or {}
        self._ledger.note(Kind.SERVED, 0, payload["actor"], payload["life"], payload["number"])
        await self.send_job_response(message.job_id, {"number": payload["number"]})

    def ask(self, other: int) -> None:
        """Have a job done by another hand that is known, unless too many are open."""
        if len(self._open) < MOST_OPEN_JOBS:
            self._asked += 1
            task = asyncio.get_running_loop().create_task(self._ask(other, self._asked))
            self._open.add(task)
            task.add_done_callback(self._open.discard)

    async def settle(self) -> None:
        """Wait for the answers that are due."""
        while self._open:
            await asyncio.wait(self._open)

    async def _ask(self, other: int, number: int) -> None:
        if f"hand-{other}" not in self._known():
            return  # pipecat would wait until it is, which has nothing to do with an answer
        self._ledger.note(Kind.ASKED, 0, other, number=number)
        payload = {"actor": self._actor, "life": self._life, "number": number}
        outcome = Outcome.DONE
        try:
            async with asyncio.timeout(HUNG_AFTER_SECS):
                options = job_options(name="work", payload=payload)
                async with self.job(f"hand-{other}", **options) as job:
                    pass
        except JobError as error:
            outcome = Outcome.FAILED
            logger.info(f"job {number} for {other} failed: {error}; {job.response}")
        except TimeoutError:
            outcome = Outcome.HUNG
        self._ledger.note(Kind.ANSWERED, outcome, other, number=number)


class Actor:
    """The bus, what sends on it, and the orders."""

    def __init__(self, options: dict[str, Any]) -> None:
        """Make an actor from its command line."""
        self._me, self._life = options["actor"], options["life"]
        self._ledger = Ledger(Path(options["ledger"]))
        self._tick_secs = options["tick_secs"]
        self._others = [n for n in range(ACTORS) if n != self._me]
        self._numbers = [0, 0]
        self._last_broadcast = 0
        self._ear = Ear(self._me, self._ledger)
        self._hand = Hand(
            self._me, self._life, self._ledger, lambda: self._runner.registry.remote_workers
        )
        self._bus = ZmqBus(
            channel="chaos",
            discovery=(),
            insecure=True,
            config=MeshConfig(**options["config"]),
            **options["bus"],
        )
        self._runner = WorkerRunner(name=f"runner-{self._me}", bus=self._bus, handle_sigint=False)
        self._sending: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        for event, note in (
            ("joined", Kind.JOINED),
            ("left", Kind.LEFT),
            ("lost", Kind.LOST),
            ("busy", Kind.BUSY),
        ):
            self._bus.add_event_handler(f"on_peer_{event}", _noter(self._note_peer, note))
        self._bus.add_event_handler("on_messages_lost", self._note_missing)
        self._bus.add_event_handler("on_peer_refused", self._note_refused)

    async def run(self) -> None:
        """Live until told to end."""
        ready = asyncio.Event()
        self._runner.add_event_handler("on_ready", lambda _runner: ready.set())
        await self._bus.subscribe(self._ear)
        running = asyncio.create_task(self._runner.run())
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()  # why it could not start
        await self._runner.add_workers(self._hand)
        say(["ready", os.getpid()])
        stdin = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin
        )
        async for line in stdin:
            order, *arguments = json.loads(line)
            task = self._spawn(getattr(self, order)(*arguments))
            if order == "end":
                await task
                await running
                return
        os._exit(3)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do something beside everything else; if it fails, so does the process."""

        def look(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            if not task.cancelled() and task.exception():
                traceback.print_exception(task.exception())
                os._exit(4)

        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(look)
        return task

    # -- orders

    async def meet(self, count: int) -> None:
        """Wait for so many peers."""
        await self._bus.wait_for_peers(count)
        say(["met", count])

    async def go(self) -> None:
        """Begin to send."""
        self._sending = self._spawn(self._send_steadily())

    async def block(self, secs: float) -> None:
        """Let the next handler block the event loop."""
        self._ear.block_secs = secs

    async def deafen(self, secs: float) -> None:
        """Let the handler of data wait."""
        self._ear.gate.clear()
        await asyncio.sleep(secs)
        self._ear.gate.set()

    async def hush(self) -> None:
        """Stop sending; say the numbers of the last broadcasts, one a plane."""
        if self._sending:
            self._sending.cancel()
            await asyncio.wait([self._sending])
        await self._hand.settle()
        for lane in (Lane.SYSTEM, Lane.DATA):
            await self._send(lane)
        say(["hushed", *self._numbers])

    async def hear_out(self, lasts: list[list[int]]) -> None:
        """Wait for the last broadcasts: each is actor, life, plane, number."""
        for actor, life, plane, number in lasts:
            while self._ear.heard.get((actor, life, plane), 0) < number:
                await self._ear.bell.wait(None)
        say(["heard", None])

    async def tell(self) -> None:
        """Say who is known here, and what was counted; what comes later is not judged."""
        self._ledger.note(Kind.END)
        stats = self._bus.stats()
        say(
            [
                "told",
                {
                    "peers": sorted(p.name for p in self._bus.peers if p.state == "joined"),
                    "workers": sorted(self._runner.registry.remote_workers),
                    "dropped": stats.dropped,
                    "counters": stats.counters,
                    "waits": stats.waits,
                },
            ]
        )

    async def end(self) -> None:
        """End in good order."""
        await self._runner.cancel("the run is over")

    # -- sending

    async def _send_steadily(self) -> None:
        loop = asyncio.get_running_loop()
        due, turn = loop.time(), 0
        while True:
            turn += 1
            await self._send(Lane.AUDIO)
            await self._send(Lane.DATA)
            for other in self._others:
                await self._send(Lane.DATA_TO_ONE, other)
            await self._send(Lane.SYSTEM_TO_ONE, self._others[turn % len(self._others)])
            if turn % 2:
                await self._send(Lane.SYSTEM)
            asked = self._others[turn // 5 % len(self._others)]
            if turn % 5 == 0:
                self._hand.ask(asked)
            due = max(due + self._tick_secs, loop.time())
            await asyncio.sleep(due - loop.time())

    async def _send(self, lane: Lane, target: int | None = None) -> None:
        self._numbers[lane.plane] = number = self._numbers[lane.plane] + 1
        after = self._last_broadcast if lane.plane else 0
        if lane is Lane.SYSTEM:
            self._last_broadcast = number
        whom = EVERYBODY if target is None else target
        stamp = Stamp(self._me, self._life, lane, number, after)
        message = stamped(stamp, self._ear.name, None if target is None else f"ear-{target}")
        self._ledger.note(Kind.SENT, lane, whom, number=number, after=after)
        try:
            await self._bus.send(message)
        except Exception as error:
            self._ledger.note(Kind.REFUSED, lane, whom, number=number)
            sys.stderr.write(f"refused: {error}\n")

    # -- events

    def _note_peer(self, kind: Kind, peer: Peer) -> None:
        actor = int(peer.name.rpartition("-")[2])
        self._ledger.note(kind, actor=actor, number=peer.pid)

    async def _note_missing(
        self, _bus: ZmqBus, peer: Peer, lost_msgs: int, plane: str, _reason: str
    ) -> None:
        actor = int(peer.name.rpartition("-")[2])
        lane = int(plane == "data")
        self._ledger.note(Kind.MISSING, lane, actor, number=peer.pid, after=lost_msgs)

    async def _note_refused(self, _bus: ZmqBus, text: str) -> None:
        self._ledger.note(Kind.TURNED_DOWN)
        sys.stderr.write(f"turned down: {text}\n")


def _noter(note: Any, kind: Kind) -> Any:
    async def handle(_bus: ZmqBus, peer: Peer, *_rest: object) -> None:
        note(kind, peer)

    return handle


def say(report: list[Any]) -> None:
    """Tell the process that began this one."""
    os.write(_OUT, json.dumps(report, default=str).encode() + b"\n")


async def main() -> None:
    """Be the actor that the command line describes."""
    await Actor(json.loads(sys.argv[1])).run()


if __name__ == "__main__":
    # What anybody prints goes to stderr.
    _OUT = os.dup(1)
    os.dup2(2, 1)
    if sys.platform == "linux":  # also a stopped process must not outlive the run
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    asyncio.run(main())
