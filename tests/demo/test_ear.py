"""`Ear`: the buffer from which a standby takes over."""

from __future__ import annotations

from zmqbus.demo.ear import KEPT_SECS, Ear
from zmqbus.demo.recording import FRAME_SECS

KEPT_FRAMES = round(KEPT_SECS / FRAME_SECS)


def kept(ear: Ear) -> list[int]:
    """Take out what is kept, and return the numbers."""
    return [ear.sound.get_nowait()[0] for _ in range(ear.sound.qsize())]


def test_standby_keeps_the_newest_sound_up_to_its_bound() -> None:
    """Standing by for hours costs no more memory than for a minute."""
    ear = Ear()
    for number in range(KEPT_FRAMES + 3):
        ear.keep(number, b"")

    assert [ear.missing(first) for first in (0, 2, 3, 4)] == [3, 1, 0, 0]
    assert kept(ear) == list(range(3, KEPT_FRAMES + 3))


def test_listening_ear_forgets_nothing() -> None:
    """A recognizer that is behind gets everything in the end."""
    ear = Ear()
    ear.listens = True
    for number in range(KEPT_FRAMES + 3):
        ear.keep(number, b"")

    assert ear.missing(0) == 0
    assert kept(ear) == list(range(KEPT_FRAMES + 3))
