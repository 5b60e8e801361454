"""What the ledgers of a run prove: what was lost, came twice, out of order, or died by mistake.

What is promised between a sender and a reader, each one incarnation:

* From the first message that comes, or the first that is sent after the sender saw the reader
  join, whichever is earlier, each message of a plane comes once and in order (R12, R14), or is in
  the count of an `on_messages_lost` (R15). That a peer was declared lost meanwhile excuses nothing:
  what it is owed is kept for ``tombstone_secs`` (R10), and no cut here is that long.
* A killed process takes with it what it had not sent, or had not handled, and nothing else: the
  rest is a beginning without a hole, and all who had joined it are told (R22).
* Data never comes before a system message that was sent before it (R13a).
* Nobody is lost who was not killed, and neither cut off nor stopped for longer than a link may be
  silent, nor reset while its link was too narrow to connect within the grace (R20, R21).
* A job is answered, by who has run it or with an error, that only if the worker's runner was gone,
  or a loss was announced between the two; and it is run once (R24, R15).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from chaos.ledger import EVERYBODY, Kind, Lane, Outcome, Record
from chaos.schedule import Kind as Fault

EXCUSED_AFTER_SECS = 1.9
"""A link may be silent for two seconds (`link_timeout_secs`), less what a ping takes."""
AFTERMATH_SECS = 6.0
"""How long after a cut or a stop a death may still be found: silence, grace, and being late."""
JOB_SLACK_MS = 1_000
"""The note of a death and the answers it causes are written by different tasks."""


@dataclass(frozen=True)
class Spell:
    """A fault as it was played; times are those of the monotonic clock."""

    kind: Fault
    actor: int
    begun_at: float
    ended_at: float

    def excuses(self, actors: tuple[int, int], at: float) -> bool:
        """Whether one of two processes could be taken for dead by the other."""
        silent = self.kind in (Fault.STOP, Fault.CUT)
        return (
            silent
            and self.actor in actors
            and self.ended_at - self.begun_at > EXCUSED_AFTER_SECS
            and self.begun_at <= at <= self.ended_at + AFTERMATH_SECS
        )


@dataclass(frozen=True)
class Life:
    """One incarnation of an actor, with its ledger up to the end of the run."""

    actor: int
    life: int
    pid: int
    killed_at: float | None
    records: Sequence[Record]

    def __str__(self) -> str:
        return f"{self.actor}.{self.life}"

    def before_end(self) -> list[Record]:
        """What was noted before the processes were told to end."""
        records = list(self.records)
        ends = [n for n, record in enumerate(records) if record.kind is Kind.END]
        return records[: ends[0]] if ends else records


@dataclass
class Verdict:
    """What a run has shown.

    Parameters:
        tally: Counts: delivered, lost, announced, duplicated, reordered, overtaken and so on.
        lanes: Counts by (sender, reader, lane, what).
        violations: A sentence for each broken promise; empty if all were kept.
    """

    tally: Counter[str] = field(default_factory=Counter)
    lanes: Counter[tuple[str, str, Lane, str]] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)


def judge(lives: Sequence[Life], spells: Sequence[Spell]) -> Verdict:
    """Compare the ledgers of a run."""
    verdict = Verdict()
    ledgers = {(life.actor, life.life): life.before_end() for life in lives}
    for sender in lives:
        for reader in lives:
            if sender.actor != reader.actor:
                _Pair(sender, reader, ledgers, verdict).judge()
                verdict.violations += _deaths(sender, reader, ledgers, spells)
    verdict.violations += _jobs(lives, ledgers)
    for life in lives:
        _count(life, ledgers[life.actor, life.life], verdict)
    return verdict


class _Pair:
    """What one incarnation owed another one."""

    def __init__(
        self,
        sender: Life,
        reader: Life,
        ledgers: dict[tuple[int, int], list[Record]],
        verdict: Verdict,
    ) -> None:
        self._sender, self._reader = sender, reader
        self._out = ledgers[sender.actor, sender.life]
        self._in = ledgers[reader.actor, reader.life]
        self._got = [
            r
            for r in self._in
            if (r.kind, r.actor, r.life) == (Kind.GOT, sender.actor, sender.life)
        ]
        self._verdict = verdict

    def judge(self) -> None:
        for plane in (0, 1):
            self._judge_plane(plane)
        overtaken = list(self._overtaken())
        self._count("overtaken", overtaken)
        if overtaken:
            self._blame(f"{len(overtaken)} data messages came before earlier system messages")

    def _judge_plane(self, plane: int) -> None:
        sent = {r.number: r for r in self._sent(plane)}
        got = [r for r in self._got if Lane(r.lane).plane == plane]
        self._count("delivered", got)
        for what, found in (
            ("duplicated", list(_repeated(got))),
            ("reordered", list(_late(got))),
            ("unsent", [r for r in got if r.number not in sent]),
        ):
            self._count(what, found)
            if found:
                self._blame(f"{len(found)} messages {what}, such as {found[0].number}", plane)
        numbers = {r.number for r in got}
        first, last = self._owed(got, plane)
        missing = [r for n, r in sent.items() if first <= n <= last and n not in numbers]
        announced = sum(
            r.after
            for r in self._in
            if (r.kind, r.lane, r.number) == (Kind.MISSING, plane, self._sender.pid)
        )
        self._count("lost", missing)
        self._verdict.tally["announced"] += announced
        if len(missing) > announced:
            span = f"{missing[0].number} to {missing[-1].number} of {max(sent)}"
            self._blame(f"{len(missing)} messages lost, {announced} announced: {span}", plane)
        elif announced and announced > len(missing) + self._unseen(missing, plane):
            self._blame(f"{announced} messages announced as lost, {len(missing)} are", plane)

    def _sent(self, plane: int) -> Iterator[Record]:
        refused = {(r.lane, r.number) for r in self._out if r.kind is Kind.REFUSED}
        for r in self._out:
            mine = r.kind is Kind.SENT and r.actor in (EVERYBODY, self._reader.actor)
            if mine and Lane(r.lane).plane == plane and (r.lane, r.number) not in refused:
                yield r

    def _owed(self, got: list[Record], plane: int) -> tuple[int, int]:
        """The first and the last number that must have come."""
        first = min(self._first_after_join(plane), got[0].number if got else _NEVER)
        both_live = self._sender.killed_at is None and self._reader.killed_at is None
        return first, _NEVER if both_live else max((r.number for r in got), default=0)

    def _first_after_join(self, plane: int) -> int:
        joined = False
        for r in self._out:
            joined = joined or (r.kind, r.number) == (Kind.JOINED, self._reader.pid)
            if joined and r.kind is Kind.SENT and Lane(r.lane).plane == plane:
                return r.number
        return _NEVER

    def _unseen(self, missing: list[Record], plane: int) -> int:
        """How many more the reader may have been owed: jobs, and what nobody was known to host."""
        jobs = sum(r.kind in (Kind.ASKED, Kind.SERVED) for r in self._out)
        others = [
            r.number
            for r in self._out
            if r.kind is Kind.SENT
            and Lane(r.lane).plane == plane
            and r.actor not in (EVERYBODY, self._reader.actor)
        ]
        if not missing:
            return jobs * plane
        first, last = missing[0].number - ROUND_MSGS, missing[-1].number + ROUND_MSGS
        return jobs * plane + sum(first <= number <= last for number in others)

    def _overtaken(self) -> Iterator[Record]:
        """Data that came while an earlier system broadcast, which did come, had not yet."""
        broadcasts = {r.number for r in self._got if r.lane == Lane.SYSTEM}
        seen = 0
        for r in self._got:
            if r.lane == Lane.SYSTEM:
                seen = max(seen, r.number)
            elif Lane(r.lane).plane and r.after > seen and r.after in broadcasts:
                yield r

    def _count(self, what: str, records: Sequence[Record]) -> None:
        self._verdict.tally[what] += len(records)
        names = str(self._sender), str(self._reader)
        for record in records:
            self._verdict.lanes[(*names, Lane(record.lane), what)] += 1

    def _blame(self, text: str, plane: int | None = None) -> None:
        where = "" if plane is None else f" on the {('system', 'data')[plane]} plane"
        self._verdict.violations.append(f"{self._sender} to {self._reader}{where}: {text}")


_NEVER = 2**32
ROUND_MSGS = 16
"""How far apart the messages for one reader may be in the numbers of their sender."""


def _repeated(got: Sequence[Record]) -> Iterator[Record]:
    seen: set[int] = set()
    for record in got:
        if record.number in seen:
            yield record
        seen.add(record.number)


def _late(got: Sequence[Record]) -> Iterator[Record]:
    """What came after a message that was sent later, apart from repetitions."""
    highest, seen = 0, set[int]()
    for record in got:
        if record.number < highest and record.number not in seen:
            yield record
        highest = max(highest, record.number)
        seen.add(record.number)


def _excused(spells: Sequence[Spell], actors: tuple[int, int], at: float) -> bool:
    """Whether the faults explain a death: silence, or a reset on a link too narrow for a handshake.

    The latter since one lost SYN costs a second, which is all the grace there is (R20).
    """
    near = [
        s.kind
        for s in spells
        if s.actor in actors and s.begun_at <= at <= s.ended_at + AFTERMATH_SECS
    ]
    narrow_reset = Fault.RESET in near and Fault.THROTTLE in near
    return narrow_reset or any(spell.excuses(actors, at) for spell in spells)


def _deaths(
    dead: Life,
    observer: Life,
    ledgers: dict[tuple[int, int], list[Record]],
    spells: Sequence[Spell],
) -> Iterator[str]:
    """Deaths that were none, and deaths that nobody was told of."""
    actors = dead.actor, observer.actor
    presence = [
        r
        for r in ledgers[observer.actor, observer.life]
        if r.kind in (Kind.JOINED, Kind.LEFT, Kind.LOST) and r.number == dead.pid
    ]
    for r in presence:
        at = r.at_ms / 1000
        killed = dead.killed_at is not None and dead.killed_at <= at + 0.01
        excused = killed or _excused(spells, actors, at)
        if r.kind is Kind.LEFT or (r.kind is Kind.LOST and not excused):
            yield f"{observer} was told at {at:.1f} that {dead} {r.kind.name.lower()}, and it lived"
    if observer.killed_at is not None:
        return
    here = bool(presence) and presence[-1].kind is Kind.JOINED
    if dead.killed_at is None and not here:
        yield f"{observer} and {dead} live, and in the end {observer} does not see {dead}"
    if dead.killed_at is not None and here:
        yield f"{observer} was never told that {dead} died"


def _jobs(lives: Sequence[Life], ledgers: dict[tuple[int, int], list[Record]]) -> Iterator[str]:
    """Jobs without an answer, answered by nobody, failed without a reason, or run twice."""
    runs = Counter(
        (life.actor, r.actor, r.life, r.number)
        for life in lives
        for r in ledgers[life.actor, life.life]
        if r.kind is Kind.SERVED
    )
    for life in lives:
        records = ledgers[life.actor, life.life]
        answers = {r.number: r for r in records if r.kind is Kind.ANSWERED}
        for asked in (r for r in records if r.kind is Kind.ASKED):
            answer = answers.get(asked.number)
            job = f"job {asked.number} of {life} for {asked.actor}"
            if answer is None:
                if life.killed_at is None:
                    yield f"{job} has no answer"
            elif answer.lane == Outcome.HUNG:
                yield f"{job} hung"
            elif answer.lane == Outcome.DONE:
                if (asked.actor, life.actor, life.life, asked.number) not in runs:
                    yield f"{job} was answered, and never run"
            elif answer.lane == Outcome.FAILED and not (
                _gone(asked, answer, records) or _lost_between(life.actor, asked, answer, ledgers)
            ):
                yield f"{job} failed, and nobody was gone"
    for (worker, actor, life_number, number), times in runs.items():
        if times > 1:
            yield f"job {number} of {actor}.{life_number} for {worker} was run {times} times"


def _gone(asked: Record, answer: Record, records: Sequence[Record]) -> bool:
    """Whether the worker's runner was away at some time while the job was waited for.

    Its worker may be known, and asked, before it has joined again; lost then, it is not announced.
    """
    first, last = asked.at_ms - JOB_SLACK_MS, answer.at_ms + JOB_SLACK_MS
    away = True
    for r in records:
        if r.actor != asked.actor or r.at_ms > last:
            continue
        if r.kind in (Kind.LOST, Kind.LEFT):
            away = True
            if r.at_ms >= first:
                return True
        elif r.kind is Kind.JOINED and r.at_ms < first:
            away = False
    return away


def _lost_between(
    asker: int, asked: Record, answer: Record, ledgers: dict[tuple[int, int], list[Record]]
) -> bool:
    """Whether one of the two was told meanwhile that messages of the other are lost."""
    return any(
        r.kind is Kind.MISSING and asked.at_ms <= r.at_ms <= answer.at_ms + JOB_SLACK_MS
        for reader, sender in ((asker, asked.actor), (asked.actor, asker))
        for (actor, _), records in ledgers.items()
        if actor == reader
        for r in records
        if r.actor == sender
    )


def _count(life: Life, records: Sequence[Record], verdict: Verdict) -> None:
    kinds = Counter(r.kind for r in records)
    for kind, what in (
        (Kind.REFUSED, "refused"),
        (Kind.LOST, "lost_peers"),
        (Kind.BUSY, "busy"),
        (Kind.TURNED_DOWN, "turned_down"),
    ):
        verdict.tally[what] += kinds[kind]
    for r in records:
        if r.kind is Kind.ANSWERED:
            verdict.tally[f"jobs_{Outcome(r.lane).name.lower()}"] += 1
    if kinds[Kind.REFUSED]:
        verdict.violations.append(f"{kinds[Kind.REFUSED]} calls of send() raised in {life}")
