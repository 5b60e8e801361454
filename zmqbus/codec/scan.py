"""How much memory bytes would take once unpacked, found out before unpacking them (R25, X11).

A byte of msgpack can claim a list of four billion, or be an empty map of 64 bytes, so that 10 MB
become 700. `measure` walks the headers without building anything, charges what each container
costs at least, and what a mark may make of it, and refuses what exceeds `4 * size + SLACK_BYTES`.
The sender applies the very same rule, so that nothing is refused by the receiver only.

Small messages skip the walk: at `UNSCANNED_BYTES` even the worst stays below the slack.
"""

from __future__ import annotations

from zmqbus.errors import CodecError

UNSCANNED_BYTES = 64 * 1024  # a bomb this small unpacks to 6 MB; audio frames never pay the walk
UNSCANNED_ITEMS = 128  # the longest list in a message that was not walked: msgpack reserves what a
# list claims, at 511 levels 500 kB in all
SLACK_BYTES = 16 * 1024 * 1024  # lets 200,000 tiny records pass; more costs memory per message
MAX_NESTING = 512  # msgpack levels; what `values.MAX_DEPTH` comes to with two levels an object

_CONTAINER_BYTES = 64
_ITEM_BYTES = 8
_OBJECT_BYTES = 1024  # a frame has some 900, a deque 760, a set 220
# Marks of what is hardly larger than its list. Of the others nobody sends thousands at a time.
_LIGHT = frozenset(
    b"tuple list dict int str range complex UUID Decimal bytearray timedelta date datetime time "
    b"npscalar".split()
)

_MARKED = b"\xc4"  # bytes at the head of a list are a mark, of at most 255

# First byte -> bytes to skip; -1 for a blob, -2 an array, -3 a map, -4 never used by msgpack.
_SKIP = [0] * 256
_WIDTH = [0] * 256  # of the length that follows
_EXTRA = [0] * 256  # bytes beside the blob (the ext code)
for _first in range(0x80, 0x90):
    _SKIP[_first] = -3
    _SKIP[_first + 0x10] = -2
for _first in range(0xA0, 0xC0):
    _SKIP[_first] = _first & 0x1F
_SKIP[0xC1] = -4
for _first, _size in zip(range(0xCA, 0xD4), (4, 8, 1, 2, 4, 8, 1, 2, 4, 8), strict=True):
    _SKIP[_first] = _size
for _first, _size in zip(range(0xD4, 0xD9), (2, 3, 5, 9, 17), strict=True):
    _SKIP[_first] = _size
for _first, _kind, _size, _beside in (
    *((0xC4 + i, -1, 1 << i, 0) for i in range(3)),
    *((0xC7 + i, -1, 1 << i, 1) for i in range(3)),
    *((0xD9 + i, -1, 1 << i, 0) for i in range(3)),
    *((0xDC + i, -2, 2 << i, 0) for i in range(2)),
    *((0xDE + i, -3, 2 << i, 0) for i in range(2)),
):
    _SKIP[_first], _WIDTH[_first], _EXTRA[_first] = _kind, _size, _beside


def measure(data: bytes | memoryview) -> None:
    """Refuse bytes that are truncated, too deep or take too much memory once unpacked.

    Raises:
        CodecError: With what was found.
    """
    budget = 4 * len(data) + SLACK_BYTES
    outer: list[int] = []
    left, at = 1, 0
    try:
        while True:
            while not left:
                if not outer:
                    _check_end(data, at)
                    return
                left = outer.pop()
            left -= 1
            first = data[at]
            at += 1
            skip = _SKIP[first]
            if skip >= 0:
                at += skip
                continue
            width = _WIDTH[first]
            length = int.from_bytes(data[at : at + width], "big") if width else first & 0x0F
            at += width
            if skip == -1:
                at += length + _EXTRA[first]
                continue
            if skip == -4:
                raise CodecError("", "byte 0xC1 is not msgpack")
            items = length if skip == -2 else 2 * length
            budget -= _CONTAINER_BYTES + items * _ITEM_BYTES
            if skip == -2 and items and data[at : at + 1] == _MARKED:
                name = bytes(data[at + 2 : at + 2 + data[at + 1]])
                budget -= 0 if name in _LIGHT else _OBJECT_BYTES
            if budget < 0:
                raise CodecError(
                    "",
                    f"too many small values for {len(data):,} bytes: send them in parts, or as "
                    f"bytes or an array",
                )
            outer.append(left)
            left = items
            if len(outer) > MAX_NESTING:
                raise CodecError("", f"nested more than {MAX_NESTING} levels deep")
    except IndexError:
        _check_end(data, len(data) + 1)


def _check_end(data: bytes | memoryview, at: int) -> None:
    if at > len(data):
        raise CodecError("", f"the bytes end early, after {len(data):,}")
    if at < len(data):
        raise CodecError("", f"{len(data) - at:,} bytes follow the message")
