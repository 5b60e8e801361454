"""README.md against the tests: what it names exists, and what it promises is named."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
ROOT = TESTS.parent
README = (ROOT / "README.md").read_text()

#: What users complain of elsewhere and cases from the field: each is shown not to happen here.
COMPLAINTS = [*(f"F{n}" for n in range(1, 15)), *(f"F{n}" for n in range(23, 28))]
CASES = re.findall(
    r"\w+",
    "P01 P02 P03 P06 P07 P18 P20 Z01 Z02 Z08 Z13 Z27 Z29 Z32 D06 D07 D08 D09 D14 D15 D17 D20 D21 "
    "D01 D02 D04 D13 D18 D19 Z20 Z21 Z22 Z23 Z24 Z26 Z36 "
    "X01 X02 X03 X04 X06 X07 X09 X11 X13 X17 X18 X19",
)

NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", README)


def claims_in(path: Path) -> dict[str, str]:
    """The tests of a file with their docstrings."""
    return {
        node.name: ast.get_docstring(node) or ""
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if node.name.startswith("test_")
    }


@cache
def named() -> frozenset[str]:
    """Every word of what each test and each scenario says that it shows."""
    claims = [claim for path in TESTS.rglob("test_*.py") for claim in claims_in(path).values()]
    claims += [path.read_text().partition("\n")[0] for path in TESTS.rglob("*.txt")]
    return frozenset(re.findall(r"\w+", " ".join(claims)))


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_test_that_the_readme_names_exists(path: str, name: str) -> None:
    """Whoever doubts a line of the page can run its test."""
    assert name in claims_in(ROOT / path)


@pytest.mark.parametrize(
    ("title", "count"),
    [("What is guaranteed, under which fault", 20), ("Who is kept out", 12)],
)
def test_every_line_of_a_table_of_promises_names_a_test(title: str, count: int) -> None:
    """A guarantee without a test is a wish."""
    section = README.partition(f"## {title}\n")[2]
    rows = [row for row in section.partition("\n## ")[0].splitlines() if row.startswith("|")][2:]
    assert len(rows) > count
    assert [row for row in rows if "::test_" not in row.rpartition(" | ")[2]] == []


@pytest.mark.parametrize("number", [*COMPLAINTS, *CASES])
def test_complaint_has_a_test_that_names_it(number: str) -> None:
    """One search walks from a complaint to what shows that it does not happen here."""
    assert number in named()
