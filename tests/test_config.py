"""Settings: defaults that fit together, and errors that name the setting and the way out."""

from __future__ import annotations

import math
import re
from dataclasses import FrozenInstanceError, fields, replace

import pytest

from zmqbus.config import _ORDER, DEFAULT, ROAMING, MeshConfig
from zmqbus.errors import ConfigError
from zmqbus.wire import MAX_BODIES

NAMES = [f.name for f in fields(MeshConfig)]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", ["1", None, True, [1]])
def test_setting_that_is_no_number_is_refused(name: str, value: object) -> None:
    """Nothing is converted, and a bool is no number."""
    with pytest.raises(ConfigError, match=f"^{name}=.*not a number") as caught:
        MeshConfig(**{name: value})  # type: ignore[arg-type]
    assert (caught.value.setting, caught.value.value) == (name, value)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [0, -1, math.inf, math.nan])
def test_setting_that_is_not_a_positive_number_is_refused(name: str, value: float) -> None:
    """No setting can be switched off by zero, or be endless."""
    with pytest.raises(ConfigError, match=f"^{name}=.*not above zero"):
        MeshConfig(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(("low", "high"), _ORDER)
def test_setting_beyond_the_one_that_bounds_it_is_refused(low: str, high: str) -> None:
    """Both are named, with the two ways out; equal is allowed."""
    bound = getattr(DEFAULT, high)
    others = {h: 2 * bound for lo, h in _ORDER if lo == low and h != high}
    with pytest.raises(ConfigError, match=re.escape(f"above {high}={bound!r}; lower {low}")):
        replace(DEFAULT, **others, **{low: 2 * bound})
    equal = replace(DEFAULT, **others, **{low: bound})
    assert getattr(equal, low) == getattr(equal, high)


def test_batch_of_more_messages_than_a_packet_can_count_is_refused() -> None:
    """The limit is the wire's own, and is named; exactly so many are allowed (R25)."""
    assert replace(DEFAULT, batch_msgs=MAX_BODIES).batch_msgs == MAX_BODIES
    with pytest.raises(ConfigError, match=f"^batch_msgs={MAX_BODIES + 1}: above {MAX_BODIES:,}"):
        replace(DEFAULT, batch_msgs=MAX_BODIES + 1)


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
