"""Rows of a table with limits: what was measured, and whether it is within."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]
"""Columns by name; a row that breaks a limit has `OVER` as its verdict."""

OVER = "OVER"


def quantile(values: Sequence[float], share: float) -> float:
    """The value that ``share`` of the others do not exceed (nearest rank); infinite of none."""
    if not values:
        return math.inf
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def verdict(value: float, limit: float | None) -> str:
    """What to print beside a figure with a limit."""
    if limit is None:
        return ""
    return "ok" if value <= limit else OVER


def shown(value: float, digits: int = 2) -> float | str:
    """A figure as printed; JSON has no word for never."""
    return round(value, digits) if math.isfinite(value) else "never"


def all_within(rows: Sequence[Row]) -> bool:
    """Whether no row breaks its limit."""
    return all(row.get("verdict") != OVER for row in rows)
