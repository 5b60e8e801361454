"""Settings: defaults that fit together, and errors that name the setting and the way out."""

from __future__ import annotations

import math
import re
from dataclasses import FrozenInstanceError, fields, replace
from typing import Any

import pytest

from zmqbus.config import _AT_LEAST, _AT_MOST, DEFAULT, ROAMING, MeshConfig
from zmqbus.errors import ConfigError
from zmqbus.records import MAX_INTERESTS, MAX_SUBSCRIBERS
from zmqbus.wire import MAX_BODIES, MAX_EXCEPTIONS

NAMES = [f.name for f in fields(MeshConfig)]


def test_only_shedding_may_be_off() -> None:
    """Nothing is skipped unless somebody asks for it (R18a); all else has to be a number."""
    assert DEFAULT.max_audio_age_secs is None
    assert [n for n in NAMES if getattr(DEFAULT, n) is None] == ["max_audio_age_secs"]
    with pytest.raises(ConfigError, match="^grace_secs=None: not a number"):
        MeshConfig(grace_secs=None)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", ["1", True, [1]])
def test_setting_that_is_no_number_is_refused(name: str, value: object) -> None:
    """Nothing is converted, and a bool is no number."""
    with pytest.raises(ConfigError, match=f"^{name}=.*not a number") as caught:
        MeshConfig(**{name: value})  # type: ignore[arg-type]
    assert (caught.value.setting, caught.value.value) == (name, value)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [0, -1, math.inf, math.nan])
def test_setting_that_is_not_a_positive_number_is_refused(name: str, value: float) -> None:
    """No setting can be switched off by zero, or be endless."""
    with pytest.raises(ConfigError, match=f"^{name}=.*not a finite number above zero"):
        MeshConfig(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [n for n in NAMES if isinstance(getattr(DEFAULT, n), int)])
def test_count_that_is_no_whole_number_is_refused(name: str) -> None:
    """Half a message is none; nothing is rounded."""
    with pytest.raises(ConfigError, match=f"^{name}=.*not a whole number"):
        replace(DEFAULT, **{name: float(getattr(DEFAULT, name))})  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "others"), _AT_LEAST, ids=lambda x: str(x))
def test_setting_below_what_it_must_hold_is_refused(name: str, others: dict[str, int]) -> None:
    """All are named with their values, and the ways out; just enough is allowed."""
    bound = sum(times * getattr(DEFAULT, other) for other, times in others.items())
    below = bound - 1 if isinstance(bound, int) else bound - 1e-6
    rest = [o for n, more in _AT_LEAST if n == name and more is not others for o in more]
    small: dict[str, Any] = {o: 1 if isinstance(getattr(DEFAULT, o), int) else 1e-6 for o in rest}
    assert getattr(replace(DEFAULT, **{**small, name: bound}), name) == bound
    with pytest.raises(ConfigError) as caught:
        replace(DEFAULT, **{**small, name: below})
    text = str(caught.value)
    assert text.startswith(f"{name}={below!r}: below ")
    assert all(f"{other}={getattr(DEFAULT, other)!r}" in text for other in others)
    assert f"raise {name} or lower {' or '.join(others)}" in text


@pytest.mark.parametrize(("name", "most"), [(n, most) for n, (most, _) in _AT_MOST.items()])
def test_setting_beyond_what_can_be_said_or_counted_is_refused(name: str, most: int) -> None:
    """The limit is named; exactly so much is allowed (R25)."""
    assert getattr(replace(DEFAULT, **{name: most}), name) == most
    with pytest.raises(ConfigError, match=f"^{name}={most + 1}: above {most:,}"):
        replace(DEFAULT, **{name: most + 1})


def test_limits_of_packets_are_those_of_the_wire() -> None:
    """They are written twice, since the wire knows of no settings, nor they of it."""
    assert {name: most for name, (most, why) in _AT_MOST.items() if "libzmq" not in why} == {
        "batch_msgs": MAX_BODIES,
        "max_peers": MAX_EXCEPTIONS,
        "max_channels": MAX_INTERESTS,
        "max_subscribers": MAX_SUBSCRIBERS,
    }


def test_every_relation_is_explained() -> None:
    """Where one setting bounds another the docstring of either names the other."""
    assert MeshConfig.__doc__ is not None
    parts = re.split(r"^ {8}(\w+): ", MeshConfig.__doc__, flags=re.MULTILINE)
    docs = dict(zip(parts[1::2], parts[2::2], strict=True))
    related = {frozenset((name, other)) for name, others in _AT_LEAST for other in others}
    for one, other in related:
        assert f"``{one}``" in docs[other] or f"``{other}``" in docs[one], f"{one} and {other}"
    for name, text in docs.items():
        for other in re.findall(r"[Aa]t (?:least|most) (?:\w+ )?``(\w+)``", text):
            assert frozenset((name, other)) in related, f"{name} and {other}: nobody checks it"


@pytest.mark.parametrize("config", [DEFAULT, ROAMING])
def test_preset_keeps_its_own_rules(config: MeshConfig) -> None:
    """Presets are made by `replace`, so they were checked; and they can be made again."""
    assert replace(config) == config


def test_roaming_is_the_default_with_more_patience() -> None:
    """A preset is the difference from the default: only times, and only longer ones."""
    changed = {n for n in NAMES if getattr(ROAMING, n) != getattr(DEFAULT, n)}
    assert changed == {"grace_secs", "link_timeout_secs", "busy_after_secs"}
    assert all(getattr(ROAMING, n) > getattr(DEFAULT, n) for n in changed)


def test_config_is_immutable() -> None:
    """A config can be shared by everything that reads it."""
    with pytest.raises(FrozenInstanceError):
        DEFAULT.window_msgs = 1  # type: ignore[misc]


def test_every_setting_is_explained_and_says_its_unit() -> None:
    """Names end in a unit unless they count peers and the like; the docstring has all, in order."""
    assert MeshConfig.__doc__ is not None
    explained = re.findall(r"^ {8}(\w+):", MeshConfig.__doc__, re.MULTILINE)
    assert explained == NAMES
    assert [n for n in NAMES if not re.search(r"_(secs|msgs|bytes|per_sec)$", n)] == [
        "max_peers",
        "max_dials",
        "max_channels",
        "max_subscribers",
    ]
