"""Quantiles, limits and verdicts."""

from __future__ import annotations

import math

from bench.figures import OVER, all_within, quantile, shown, verdict


def test_quantile_is_a_value_that_was_measured() -> None:
    """The nearest rank, never something in between; of nothing measured it is never."""
    values = [4.0, 1.0, 3.0, 2.0]
    assert [quantile(values, share) for share in (0.5, 0.75, 0.99, 1.0)] == [2.0, 3.0, 4.0, 4.0]
    assert quantile([], 0.5) == math.inf


def test_figure_at_its_limit_is_within() -> None:
    """Above it is over, and so is what never happened; without a limit there is no verdict."""
    assert verdict(2.0, 2.0) == "ok"
    assert verdict(2.1, 2.0) == verdict(math.inf, 2.0) == OVER
    assert verdict(2.1, None) == ""


def test_rows_are_within_unless_one_is_over() -> None:
    """Rows without a verdict break nothing."""
    assert all_within([{"verdict": "ok"}, {"verdict": ""}, {}])
    assert not all_within([{"verdict": "ok"}, {"verdict": OVER}])


def test_infinite_figure_is_shown_as_never() -> None:
    """JSON has no word for it."""
    assert shown(math.inf) == "never"
    assert shown(1.2345) == 1.23
