"""Reads who imports whom in a package, with `ast`, and names what its table of layers forbids."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

_IMPURE = """
asyncio concurrent contextvars datetime fcntl importlib io logging multiprocessing os pathlib queue
sched secrets select selectors signal socket socketserver ssl subprocess sys tempfile threading time
uuid warnings
"""
IMPURE = frozenset(_IMPURE.split())
"""What has a clock, an operating system, tasks or chance in it; a `random.Random` may be given."""
CODE_FROM_DATA = frozenset(["cloudpickle", "dill", "marshal", "pickle", "shelve"])
"""Modules that run what they read (X03)."""
CODE_FROM_DATA_NAMES = frozenset(["__import__", "eval", "recv_pyobj", "send_pyobj"])


@dataclass(frozen=True)
class Row:
    """What the modules of one place may know.

    Parameters:
        own: Other places of the package.
        third: Third parties.
        pure: Whether nothing `IMPURE` is allowed.
        only: The only names that may be imported from a place, if not all.
    """

    own: frozenset[str] = frozenset()
    third: frozenset[str] = frozenset()
    pure: bool = False
    only: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Import:
    """One imported module, or names from one."""

    module: str
    names: tuple[str, ...]
    line: int


@dataclass(frozen=True)
class Module:
    """One module of the package, as read from its file."""

    name: str
    tree: ast.Module
    lines: int
    imports: tuple[Import, ...]


def place_of(module: str) -> str:
    """The row a module belongs to: "core" for ``zmqbus.core.links``, "" for ``zmqbus``."""
    return (module.split(".") + [""])[1]


def read(root: Path) -> list[Module]:
    """All modules of the package in the directory ``root``."""
    paths = {_name(root, path): path for path in sorted(root.rglob("*.py"))}
    return [_read_module(name, path, paths) for name, path in paths.items()]


def _name(root: Path, path: Path) -> str:
    name = ".".join(path.relative_to(root.parent).with_suffix("").parts)
    return name.removesuffix(".__init__")


def _read_module(name: str, path: Path, modules: Iterable[str]) -> Module:
    text = path.read_text()
    tree = ast.parse(text)
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    imports = tuple(_imports(tree, package, frozenset(modules)))
    return Module(name, tree, len(text.splitlines()), imports)


def _imports(tree: ast.Module, package: str, modules: frozenset[str]) -> Iterator[Import]:
    """Also those inside functions and under TYPE_CHECKING."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (Import(a.name, (), node.lineno) for a in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) + 1 - node.level]
            base = ".".join([*(above if node.level else ()), *filter(None, [node.module])])
            names = [a.name for a in node.names]
            inner = [n for n in names if f"{base}.{n}" in modules]
            yield from (Import(f"{base}.{n}", (), node.lineno) for n in inner)
            outer = tuple(n for n in names if n not in inner)
            if outer:
                yield Import(base, outer, node.lineno)


def violations(root: Path, rows: Mapping[str, Row], most_lines: int) -> list[str]:
    """Everything in the package at ``root`` that its table forbids, one sentence each."""
    modules = read(root)
    found = [v for module in modules for v in _of_module(module, root.name, rows)]
    found += [f"{m.name}: {m.lines} lines" for m in modules if m.lines > most_lines]
    return found + _cycles(modules)


def _of_module(module: Module, package: str, rows: Mapping[str, Row]) -> Iterator[str]:
    place = place_of(module.name)
    row = rows.get(place)
    if row is None:
        yield f"{module.name}: has no row"
        return
    for imported in module.imports:
        if not _allowed(imported, package, place, row):
            yield f"{module.name}:{imported.line}: imports {imported.module}"
    for node in ast.walk(module.tree):
        name = getattr(node, "id", None) or getattr(node, "attr", None)
        if name in CODE_FROM_DATA_NAMES:
            yield f"{module.name}:{getattr(node, 'lineno', 0)}: uses {name}"
        if row.pure and _is_chance(node):
            yield f"{module.name}:{getattr(node, 'lineno', 0)}: uses random.{name}"


def _allowed(imported: Import, package: str, place: str, row: Row) -> bool:
    top = imported.module.partition(".")[0]
    if top == package:
        there = place_of(imported.module)
        only = row.only.get(there, frozenset(imported.names))
        return there == place or (there in row.own and set(imported.names) <= only)
    if top in CODE_FROM_DATA:
        return False
    if top in sys.stdlib_module_names:
        chance = top == "random" and set(imported.names) - {"Random"}
        return not (row.pure and (top in IMPURE or chance))
    return top in row.third


def _is_chance(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "random"
        and node.attr != "Random"
    )


def _cycles(modules: list[Module]) -> list[str]:
    names = {m.name for m in modules}
    graph = {m.name: {i.module for i in m.imports if i.module in names} for m in modules}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return ["cycle: " + " < ".join(error.args[1])]
    return []
