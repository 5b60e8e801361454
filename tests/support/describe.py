"""A text for every value: equal texts mean equal values of equal types, in any two processes."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from pipecat.bus.messages import BusMessage
from pipecat.frames.frames import Frame

# Numbered per process, so never equal across processes; tests about ids look at them themselves.
_PER_PROCESS = frozenset({"id", "name", "broadcast_sibling_id"})


def describe(value: Any) -> str:
    """Spell a value out, classes included and per-process ids left out."""
    kind = type(value).__name__
    if isinstance(value, Enum):
        return f"{kind}.{value.name}"
    if isinstance(value, dict):
        return f"{kind}{{{', '.join(f'{describe(k)}: {describe(v)}' for k, v in value.items())}}}"
    if isinstance(value, set | frozenset):
        return f"{kind}({', '.join(sorted(describe(item) for item in value))})"
    if isinstance(value, list | tuple):
        return f"{kind}({', '.join(describe(item) for item in value)})"
    if is_dataclass(value):
        return (
            f"{kind}({_attributes({f.name: getattr(value, f.name) for f in fields(value)}, value)})"
        )
    if type(value).__module__.startswith("pipecat."):
        return f"{kind}({_attributes(vars(value), value)})"
    return f"{kind}:{value!r}"


def _attributes(values: dict[str, Any], owner: Any) -> str:
    hidden = _PER_PROCESS if isinstance(owner, Frame | BusMessage) else frozenset()
    return ", ".join(
        f"{name.lstrip('_')}={describe(value)}"
        for name, value in values.items()
        if name not in hidden and not callable(value)
    )
