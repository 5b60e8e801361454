"""One run: five processes on a network, the faults of a plan, and the ledgers that are left."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from chaos.ledger import read
from chaos.schedule import ACTORS, Fault, Kind
from chaos.verdict import Life, Spell

START_SECS = 100.0
SETTLE_SECS = 40.0
_TESTS = Path(__file__).parent.parent


class Network(Protocol):
    """What the processes are connected by."""

    async def open(self) -> None:
        """Make it."""

    async def close(self) -> None:
        """Leave nothing of it."""

    def command(self, actor: int) -> list[str]:
        """What a command line must begin with to run where the actor lives."""

    def bus_options(self, actor: int) -> dict[str, Any]:
        """Where the bus of an actor binds, and whom it dials."""

    def expect(self, actor: int, pid: int) -> None:
        """Note the process that an actor is."""

    def cut(self, actor: int) -> None:
        """Let nothing through from or to an actor."""

    def mend(self, actor: int) -> None:
        """Let everything through again."""

    def reset(self, actor: int) -> None:
        """Reset the TCP connections of an actor."""

    def throttle(self, actor: int) -> None:
        """Let an actor send slowly."""

    def unthrottle(self, actor: int) -> None:
        """Let it send as fast as it can."""


class ActorEndedError(RuntimeError):
    """A process that was to report something has ended by itself."""


class Process:
    """One incarnation of an actor, seen from outside."""

    def __init__(self, actor: int, life: int, ledger: Path, child: subprocess.Popen[bytes]) -> None:
        """Take over a process that was just started."""
        assert child.stdout is not None
        self.actor, self.life, self.ledger = actor, life, ledger
        self.killed_at: float | None = None
        self.ready = asyncio.Event()
        self._child = child
        self._out = child.stdout.fileno()
        self._partial = b""
        self._reports: dict[str, Any] = {}
        self._news = asyncio.Event()
        self.has_ended = False
        asyncio.get_running_loop().add_reader(self._out, self._on_readable)

    @property
    def has_died(self) -> bool:
        """Whether it ended although nobody killed it."""
        return self.has_ended and self.killed_at is None

    @property
    def pid(self) -> int:
        """The process id."""
        return self._child.pid

    def order(self, *what: Any) -> None:
        """Tell it to do something."""
        assert self._child.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # then whoever waits for a report is told
            self._child.stdin.write(json.dumps(what).encode() + b"\n")
            self._child.stdin.flush()

    async def report(self, what: str) -> Any:
        """Wait until it reports something, and return what goes with it."""
        while what not in self._reports:
            if self.has_ended:
                raise ActorEndedError(f"Actor {self.actor} ended before it was {what!r}.")
            await self._hear()
        return self._reports.pop(what)

    async def ended(self) -> None:
        """Wait for its end."""
        while not self.has_ended:
            await self._hear()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._child.send_signal(number)

    async def reap(self) -> None:
        """Kill it where it still lives, and wait for its end."""
        self.signal(signal.SIGKILL)
        await self.ended()
        with contextlib.suppress(BrokenPipeError), self._child:  # closes the pipes and waits
            pass

    async def _hear(self) -> None:
        self._news.clear()
        await self._news.wait()

    def _on_readable(self) -> None:
        chunk = os.read(self._out, 1 << 16)
        if not chunk:
            asyncio.get_running_loop().remove_reader(self._out)
            self.has_ended = True
        *lines, self._partial = (self._partial + chunk).split(b"\n")
        for line in lines:
            what, *rest = json.loads(line)
            self._reports[what] = rest
        self._news.set()


@dataclass
class Outcome:
    """What a run left.

    Parameters:
        lives: All incarnations, with their ledgers.
        spells: When which process could not be expected to answer.
        complete: Whether all that lived had heard each other out.
        told: What those that lived said in the end, by actor.
        ended: Who ended by itself, and the last it wrote to stderr.
    """

    lives: list[Life] = field(default_factory=list)
    spells: list[Spell] = field(default_factory=list)
    complete: bool = False
    told: dict[int, dict[str, Any]] = field(default_factory=dict)
    ended: list[str] = field(default_factory=list)


class Conductor:
    """Plays one plan.

    Args:
        network: Open.
        folder: For the ledgers and what the processes write to stderr.
        config: Settings of `MeshConfig` that are not the default.
        tick_secs: How often each process sends a round of messages.
    """

    def __init__(
        self, network: Network, folder: Path, config: dict[str, Any], tick_secs: float
    ) -> None:
        self._network = network
        self._folder = folder
        self._config = config
        self._tick_secs = tick_secs
        self._now: dict[int, Process] = {}
        self._all: list[Process] = []
        self._spells: list[Spell] = []

    async def play(self, faults: Sequence[Fault], secs: float) -> Outcome:
        """Run for ``secs`` with these faults, let all come to rest, and collect what is left."""
        outcome = Outcome(spells=self._spells)
        try:
            await self._begin()
            loop = asyncio.get_running_loop()
            start = loop.time()
            async with asyncio.TaskGroup() as group:
                for fault in faults:
                    group.create_task(self._play(fault, start))
                group.create_task(asyncio.sleep(secs))
            outcome.complete = await self._settle()
            outcome.ended = [self._last_words(p) for p in self._all if p.has_died]
            if outcome.complete:
                outcome.told = await self._end()
        finally:
            for process in self._all:
                await process.reap()
        outcome.lives = [self._life(process) for process in self._all]
        return outcome

    async def _begin(self) -> None:
        await asyncio.gather(*(self._start(actor) for actor in range(ACTORS)))
        async with asyncio.timeout(START_SECS):
            await self._meet(self._all)
        for process in self._all:
            process.order("go")

    async def _start(self, actor: int) -> Process:
        process = self._spawn(actor, sum(p.actor == actor for p in self._all))
        self._all.append(process)
        self._now[actor] = process
        self._network.expect(actor, process.pid)
        async with asyncio.timeout(START_SECS):
            await process.report("ready")
        process.ready.set()
        return process

    def _spawn(self, actor: int, life: int) -> Process:
        ledger = self._folder / f"{actor}.{life}.ledger"
        options = {
            "actor": actor,
            "life": life,
            "ledger": str(ledger),
            "tick_secs": self._tick_secs,
            "config": self._config,
            "bus": self._network.bus_options(actor),
        }
        python = [sys.executable, "-m", "chaos.actor", json.dumps(options)]
        path = os.pathsep.join([str(_TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
        with (self._folder / f"{actor}.{life}.stderr").open("wb") as stderr:
            child = subprocess.Popen(
                [*self._network.command(actor), *python],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env={**os.environ, "PYTHONPATH": path},
            )
        return Process(actor, life, ledger, child)

    async def _meet(self, processes: Sequence[Process]) -> None:
        for process in processes:
            process.order("meet", ACTORS - 1)
        await asyncio.gather(*(process.report("met") for process in processes))

    # -- faults

    async def _play(self, fault: Fault, start: float) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(start + fault.at_secs - loop.time())
        process, network, victim = self._now[fault.victim], self._network, fault.victim
        begun_at = time.monotonic()
        match fault.kind:
            case Kind.KILL:
                await self._kill(process, fault.secs)
            case Kind.STOP:
                process.signal(signal.SIGSTOP)
                await asyncio.sleep(fault.secs)
                process.signal(signal.SIGCONT)
            case Kind.CUT:
                network.cut(victim)
                await asyncio.sleep(fault.secs)
                network.mend(victim)
            case Kind.RESET:
                network.reset(victim)
            case Kind.THROTTLE:
                network.throttle(victim)
                await asyncio.sleep(fault.secs)
                network.unthrottle(victim)
            case Kind.BLOCK:
                process.order("block", fault.secs)
            case Kind.DEAFEN:
                process.order("deafen", fault.secs)
        self._spells.append(Spell(fault.kind, victim, begun_at, time.monotonic()))

    async def _kill(self, process: Process, down_secs: float) -> None:
        await process.ready.wait()  # else nobody had met it, and there was nothing to see
        process.signal(signal.SIGKILL)
        process.killed_at = time.monotonic()
        await process.ended()
        await asyncio.sleep(down_secs)
        successor = await self._start(process.actor)
        successor.order("go")

    # -- the end

    async def _settle(self) -> bool:
        """Let all meet, be quiet and hear each other out; False if they do not in time."""
        living = list(self._now.values())
        try:
            async with asyncio.timeout(SETTLE_SECS):
                await self._meet(living)
                for process in living:
                    process.order("hush")
                lasts = [
                    (p.actor, p.life, plane, number)
                    for p in living
                    for plane, number in enumerate(await p.report("hushed"))
                ]
                for process in living:
                    process.order("hear_out", [last for last in lasts if last[0] != process.actor])
                await asyncio.gather(*(process.report("heard") for process in living))
        except (TimeoutError, ActorEndedError):
            return False
        return True

    async def _end(self) -> dict[int, dict[str, Any]]:
        told = {}
        for actor, process in self._now.items():
            process.order("tell")
            told[actor] = (await process.report("told"))[0]
        for process in self._now.values():
            process.order("end")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_SECS):
                await asyncio.gather(*(p.ended() for p in self._now.values()))
        return told

    def _last_words(self, process: Process) -> str:
        log = process.ledger.with_suffix(".stderr")
        lines = log.read_text(errors="replace").splitlines() or ["nothing"]
        return f"{process.actor}.{process.life} ended by itself: {lines[-1]}"

    def _life(self, process: Process) -> Life:
        return Life(
            process.actor,
            process.life,
            process.pid,
            process.killed_at,
            read(process.ledger),
        )
