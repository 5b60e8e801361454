"""The source of the functions that encode and build objects, one for each shape they come in.

A function without a loop over fields takes half the time of one with; one that compares types one
by one, a third of the time that it takes to look a tuple of them up. Only names of fields of a
class get into source.
"""

from __future__ import annotations

import keyword
from collections.abc import Iterable
from typing import Any

from zmqbus.codec.ids import LOCAL_IDS

READ = """
def encode(obj, enc):
    try:
        {reads}
    except AttributeError:
        return learn(obj, enc)
    {likely}
    send = sends.get(({kinds}))
    return learn(obj, enc) if send is None else send(enc, {values})
"""
SEND = """
def send(enc, {values}):
    out = [head, {names!r}, {picked}]
    {shorten}
    if enc.ids is not None:
        {ids}
    depth = enc.depth
    {odd}
    return out
"""
ODD = """
    if {test}:
        {name}
        try:
            out.append(e{at}(v{at}, enc))
        except Untravelable as error:
            out.append(failed(f{at}, error, enc, depth))
"""
TAKE = """
def take(items, decoding):
    _, _, {values} = items
    if not ({likely}) and ({kinds}) not in good:
        ({values}) = check(({values}), decoding)
    {ids}
    obj = new(cls)
    {state}
    return obj
"""
ID = (
    f"if type({{0}}) is int and 0 <= {{0}} < {LOCAL_IDS}: {{0}} |= decoding.base\n"
    "    elif {0} is not None and decoding.ids is not None: {0} = decoding.id({0})"
)


def read(name: str) -> str:
    """Reading a field, as source; a model made at run time may have any name."""
    plain = name.isidentifier() and not keyword.iskeyword(name)
    return f"obj.{name}" if plain else f"getattr(obj, {name!r})"


def are(kinds: tuple[type, ...], names: str) -> str:
    """Whether values have these types, which go by these names and their place, as source."""
    conditions = (
        f"v{at} is None" if kind is type(None) else f"type(v{at}) is {names}{at}"
        for at, kind in enumerate(kinds)
    )
    return " and ".join(conditions) or "True"


def state(values: list[tuple[str, str]], is_plain: bool) -> str:
    """Giving an object its fields, as source: pairs of a name and the source of its value.

    Setting attributes one by one is twice as fast as to replace ``__dict__``, and leaves an object
    that is read faster.
    """
    if is_plain:
        return lines(1, *(f"obj.{name} = {value}" for name, value in values))
    pairs = ", ".join(f"{name!r}: {value}" for name, value in values)
    return f"finish(obj, {{{pairs}}})"


def row(parts: Iterable[str]) -> str:
    """A tuple's inside, as source."""
    return "".join(f"{part}, " for part in parts)


def lines(depth: int, *lines: str) -> str:
    """Statements at a depth, as source."""
    return ("\n" + "    " * depth).join(lines or ("pass",))


def function(template: str, scope: dict[str, Any], **parts: str) -> Any:
    """The function that a template and its parts define."""
    exec(template.format(**parts), scope)
    return scope[template.split("(")[0].split()[-1]]
