"""How findings are shown, and what they are as an exit status."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zmqbus.doctor.findings import Finding

_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def show(finding: Finding) -> None:
    """Print one for people."""
    from rich.console import Console
    from rich.text import Text

    level = finding.level.value
    line = Text.assemble((f"{level:>4}", _STYLES[level]), f"  {finding.check}: {finding.what}")
    console = Console(highlight=False)
    console.print(line, soft_wrap=True)
    if finding.remedy:
        console.print(Text(f"      → {finding.remedy}"), soft_wrap=True)


def dump(findings: Iterable[Finding]) -> None:
    """Print all for a program: one JSON array."""
    told = [{**asdict(finding), "level": finding.level.value} for finding in findings]
    sys.stdout.write(json.dumps(told) + "\n")


def status(findings: Iterable[Finding]) -> int:
    """0 if nothing is wrong, 1 if something is."""
    return int(any(finding.level.value == "fail" for finding in findings))
