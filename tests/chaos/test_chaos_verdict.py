"""The verdict can fail: made-up ledgers, each of which breaks one promise."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
from chaos.ledger import EVERYBODY, Kind, Lane, Ledger, Outcome, Record, read
from chaos.schedule import Kind as Fault
from chaos.verdict import Life, Spell, Verdict, judge

A_PID, B_PID = 100, 200


def sent(*numbers: int, lane: Lane = Lane.DATA, to: int = EVERYBODY) -> list[Record]:
    """What process 0 sent."""
    return [Record(Kind.SENT, lane, to, number=n) for n in numbers]


def got(*numbers: int, lane: Lane = Lane.DATA, after: int = 0) -> list[Record]:
    """What process 1 got of it."""
    return [Record(Kind.GOT, lane, 0, 0, n, after) for n in numbers]


def peer(kind: Kind, pid: int, at_ms: int = 0) -> Record:
    """What one of them was told of the other."""
    return Record(kind, actor=int(pid == B_PID), number=pid, at_ms=at_ms)


def missing(count: int, plane: int = 1) -> Record:
    """What process 1 was told to have lost."""
    return Record(Kind.MISSING, plane, 0, number=A_PID, after=count)


ASKED = Record(Kind.ASKED, 0, 1, number=1, at_ms=5_000)


def answered(outcome: Outcome) -> Record:
    """How the job that process 0 asked process 1 for has ended."""
    return Record(Kind.ANSWERED, outcome, 1, number=1, at_ms=5_500)


def verdict(
    a: list[Record],
    b: list[Record],
    *spells: Spell,
    a_killed_at: float | None = None,
    b_killed_at: float | None = None,
) -> Verdict:
    """What is said of two processes that joined, and did this then."""
    return judge(
        [
            Life(0, 0, A_PID, a_killed_at, [peer(Kind.JOINED, B_PID), *a]),
            Life(1, 0, B_PID, b_killed_at, [peer(Kind.JOINED, A_PID), *b]),
        ],
        spells,
    )


def test_perfect_run_is_found_perfect() -> None:
    """What came whole and in order is counted by lane, and nobody is blamed."""
    found = verdict(
        sent(1, 3) + sent(2, to=1) + sent(4, to=2) + sent(1, lane=Lane.SYSTEM),
        got(1, lane=Lane.SYSTEM) + got(1, 2, 3),
    )
    assert found.violations == []
    assert found.tally["delivered"] == 4
    assert found.lanes["0.0", "1.0", Lane.DATA, "delivered"] == 3


@pytest.mark.parametrize(
    ("a", "b", "blamed"),
    [
        (sent(1, 2, 3), got(1, 3), "1 messages lost, 0 announced: 2 to 2"),
        (sent(1, 2, 3), got(1, 2), "1 messages lost, 0 announced: 3 to 3"),
        (sent(1, 2), [], "2 messages lost, 0 announced"),
        (sent(1, 2, to=1), got(2), "1 messages lost, 0 announced"),
        (sent(1, 2, 3, 4), [*got(1, 4), missing(1)], "2 messages lost, 1 announced"),
        (sent(1, 2, 3), [*got(1, 3), missing(1, plane=0)], "1 messages lost, 0 announced"),
        (sent(1, 2, 3), [*got(1, 2, 3), missing(1)], "1 messages announced as lost, 0 are"),
        (sent(1, 2), got(1, 2, 2), "1 messages duplicated, such as 2"),
        (sent(1, 2, 3), got(1, 3, 2), "1 messages reordered, such as 2"),
        (sent(1), got(1, 2), "1 messages unsent, such as 2"),
        (
            sent(1, lane=Lane.SYSTEM) + sent(1),
            got(1, after=1) + got(1, lane=Lane.SYSTEM),
            "1 data messages came before earlier system messages",
        ),
    ],
)
def test_broken_stream_is_blamed(a: list[Record], b: list[Record], blamed: str) -> None:
    """A loss, a repetition, a wrong order, a wrong count: each is a violation that says so."""
    assert blamed in "\n".join(verdict(a, b).violations)


def test_loss_that_was_announced_is_no_violation() -> None:
    """What is in the count of `on_messages_lost` was said (R15)."""
    found = verdict(sent(1, 2, 3), [*got(1), missing(1), *got(3)])
    assert found.violations == []
    assert (found.tally["lost"], found.tally["announced"]) == (1, 1)


def test_loss_of_what_went_to_others_too_may_be_announced() -> None:
    """A message for a worker that nobody hosts goes to everybody, and counts as lost there."""
    assert verdict(sent(1, 2) + sent(3, to=2), [missing(3)]).violations == []


def test_loss_behind_a_cut_is_blamed_all_the_same() -> None:
    """That a peer was declared lost for a while excuses no silent loss (R10)."""
    cut = Spell(Fault.CUT, 1, 1.0, 31.0)
    away = [peer(Kind.LOST, A_PID, 4_000), peer(Kind.JOINED, A_PID, 32_000)]
    found = verdict(sent(1, 2, 3), [*got(1), *away, *got(3)], cut)
    assert found.violations == [
        "0.0 to 1.0 on the data plane: 1 messages lost, 0 announced: 2 to 2 of 3"
    ]


def test_what_was_sent_before_the_join_may_be_missing_at_the_start_only() -> None:
    """A reader is owed all from the first message that came, or from the join on."""
    a = Life(0, 0, A_PID, None, [*sent(1, 2, 3), peer(Kind.JOINED, B_PID), *sent(4)])
    joined = peer(Kind.JOINED, A_PID)
    for heard, blamed in ((got(4), 0), (got(2, 3, 4), 0), (got(2, 4), 1), ([], 1)):
        found = judge([a, Life(1, 0, B_PID, None, [joined, *heard])], [])
        assert len(found.violations) == blamed


def test_killed_sender_may_lose_its_end_but_leaves_no_hole() -> None:
    """What had not left a killed process is gone with it; a hole before that is a violation."""
    told = peer(Kind.LOST, A_PID, 6_000)
    assert verdict(sent(1, 2, 3), [*got(1, 2), told], a_killed_at=5.0).violations == []
    found = verdict(sent(1, 2, 3), [*got(1, 3), told], a_killed_at=5.0)
    assert len(found.violations) == 1


def test_death_that_nobody_was_told_of_is_blamed() -> None:
    """Who had joined a killed process must be told (R22)."""
    found = verdict([], [], a_killed_at=5.0)
    assert found.violations == ["1.0 was never told that 0.0 died"]


@pytest.mark.parametrize(
    ("spell", "at_ms", "blamed"),
    [
        (Spell(Fault.CUT, 0, 1.0, 31.0), 4_000, False),
        (Spell(Fault.STOP, 1, 1.0, 7.0), 9_000, False),
        (Spell(Fault.CUT, 0, 1.0, 1.1), 2_500, True),
        (Spell(Fault.STOP, 0, 1.0, 2.0), 3_500, True),
        (Spell(Fault.CUT, 2, 1.0, 31.0), 4_000, True),
        (Spell(Fault.CUT, 0, 1.0, 31.0), 900, True),
        (Spell(Fault.CUT, 0, 1.0, 4.0), 20_000, True),
        (Spell(Fault.BLOCK, 0, 1.0, 6.0), 4_000, True),
        (Spell(Fault.THROTTLE, 0, 1.0, 5.0), 4_000, True),
        (Spell(Fault.RESET, 0, 1.0, 1.0), 2_000, True),
    ],
)
def test_only_silence_that_is_long_excuses_a_death(spell: Spell, at_ms: int, blamed: bool) -> None:
    """Only a cut or a stop that is longer than a link may be silent, of one of the two (R20)."""
    away = [peer(Kind.LOST, A_PID, at_ms), peer(Kind.JOINED, A_PID, at_ms + 1_000)]
    assert bool(verdict([], away, spell).violations) is blamed


def test_reset_on_a_narrow_link_excuses_a_death() -> None:
    """A handshake in which one packet is lost takes longer than the grace (R20)."""
    narrow, reset = Spell(Fault.THROTTLE, 0, 1.0, 5.0), Spell(Fault.RESET, 1, 4.0, 4.0)
    away = [peer(Kind.LOST, A_PID, 5_500), peer(Kind.JOINED, A_PID, 6_000)]
    assert verdict([], away, narrow, reset).violations == []
    assert len(verdict([], away, narrow).violations) == 1
    assert len(verdict([], away, reset).violations) == 1


def test_live_peer_that_is_not_seen_in_the_end_is_blamed() -> None:
    """Who was lost behind a cut must be found again."""
    found = verdict([], [peer(Kind.LOST, A_PID, 4_000)], Spell(Fault.CUT, 0, 1.0, 31.0))
    assert found.violations == ["1.0 and 0.0 live, and in the end 1.0 does not see 0.0"]


def test_departure_after_the_end_is_not_judged() -> None:
    """All processes leave in the end, one a little before the other."""
    found = verdict(sent(1), [*got(1), Record(Kind.END), peer(Kind.LEFT, A_PID)])
    assert found.violations == []


@pytest.mark.parametrize(
    ("answer", "blamed"),
    [
        ([], "has no answer"),
        ([answered(Outcome.HUNG)], "hung"),
        ([answered(Outcome.DONE)], "was answered, and never run"),
        ([answered(Outcome.FAILED)], "failed, and nobody was gone"),
    ],
)
def test_job_without_a_right_end_is_blamed(answer: list[Record], blamed: str) -> None:
    """A job that hangs, or fails although its worker lived, is a violation (R24)."""
    found = verdict([ASKED, *answer], [])
    assert len(found.violations) == 1
    assert blamed in found.violations[0]


def test_job_that_failed_because_its_worker_died_is_right() -> None:
    """An error is the answer when the runner has gone (R24)."""
    records = [ASKED, peer(Kind.LOST, B_PID, 5_200), answered(Outcome.FAILED)]
    assert verdict(records, [], b_killed_at=0.0).violations == []


@pytest.mark.parametrize(("at_ms", "blamed"), [(4_000, True), (5_200, False), (9_000, True)])
def test_job_may_fail_if_a_loss_was_announced_meanwhile(at_ms: int, blamed: bool) -> None:
    """Its request was lost on the way there, or its answer on the way back (R15)."""
    failed, loss = [ASKED, answered(Outcome.FAILED)], Record(Kind.MISSING, 1, 0, at_ms=at_ms)
    for found in (
        verdict(failed, [loss]),
        verdict(sorted([*failed, replace(loss, actor=1)], key=lambda r: r.at_ms), []),
    ):
        assert any("nobody was gone" in text for text in found.violations) is blamed


@pytest.mark.parametrize(("back_ms", "blamed"), [(2_000, True), (6_000, False)])
def test_job_may_fail_until_the_runner_has_joined_again(back_ms: int, blamed: bool) -> None:
    """Its worker can be known before; what is lost before it has joined is not announced."""
    records = [
        peer(Kind.LOST, B_PID, 1_000),
        peer(Kind.JOINED, B_PID, back_ms),
        ASKED,
        answered(Outcome.FAILED),
    ]
    records.sort(key=lambda record: record.at_ms)
    found = verdict(records, [], Spell(Fault.CUT, 1, 0.0, 3.0)).violations
    assert [f for f in found if "nobody was gone" in f] == (
        ["job 1 of 0.0 for 1 failed, and nobody was gone"] if blamed else []
    )


def test_job_that_was_run_and_answered_is_right() -> None:
    """The one that ran it need not have lived on."""
    done = [Record(Kind.ASKED, 0, 1, number=1), Record(Kind.ANSWERED, 0, 1, number=1)]
    assert verdict(done, [Record(Kind.SERVED, 0, 0, 0, 1)]).violations == []


def test_job_that_was_run_twice_is_blamed() -> None:
    """No request is run twice (P07)."""
    served = Record(Kind.SERVED, 0, 0, 0, 1)
    done = [Record(Kind.ASKED, 0, 1, number=1), Record(Kind.ANSWERED, 0, 1, number=1)]
    found = verdict(done, [served, served])
    assert found.violations == ["job 1 of 0.0 for 1 was run 2 times"]


def test_send_that_raised_is_blamed_and_its_message_not_missed() -> None:
    """What `send()` refused was never owed, but a refusal is a violation by itself."""
    refused = Record(Kind.REFUSED, Lane.DATA, EVERYBODY, number=2)
    found = verdict([*sent(1, 2), refused, *sent(3)], got(1, 3))
    assert found.violations == ["1 calls of send() raised in 0.0"]


def test_ledger_is_read_as_it_was_written_and_a_torn_end_is_no_record(tmp_path: Path) -> None:
    """Records come back in order; of one that was cut short nothing is read."""
    path = tmp_path / "ledger"
    ledger = Ledger(path)
    ledger.note(Kind.SENT, Lane.AUDIO, EVERYBODY, number=70_000, after=3)
    ledger.note(Kind.LOST, actor=2, number=4_000_000)
    ledger.close()
    path.write_bytes(path.read_bytes() + b"torn")
    first, last = read(path)
    assert (first.kind, first.lane, first.number, first.after) == (Kind.SENT, Lane.AUDIO, 70_000, 3)
    assert (last.kind, last.actor, last.number) == (Kind.LOST, 2, 4_000_000)
    assert read(tmp_path / "none") == []


def test_ledger_of_a_machine_that_runs_for_years_tells_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that wrapped around would excuse, or blame, at random."""
    ten_years_ms = 10 * 365 * 24 * 3600 * 1000
    monkeypatch.setattr(time, "monotonic_ns", lambda: ten_years_ms * 10**6)
    ledger = Ledger(tmp_path / "ledger")
    ledger.note(Kind.END)
    ledger.close()
    (record,) = read(tmp_path / "ledger")
    assert record.at_ms == ten_years_ms
