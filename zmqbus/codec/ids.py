"""Ids that stay unique over a whole mesh (ARCHITECTURE "Public API", point 8).

pipecat counts frame and message ids from 0 in every process, and drops a frame whose id it has
seen. So each node keeps one `IdSpace`: its own ids are below 2**40, and an id from elsewhere
becomes ``tag << 40 | id``, where the tag is this node's small number for the origin. Equal stays
equal, different stays different, and an id that comes home is the original again.

On the wire an id below 2**40 is a plain int and means "of the sender"; any other travels as
origin and id, so that a third node gives it the same meaning.
"""

from __future__ import annotations

from zmqbus.errors import CodecError

ID_BITS = 40
LOCAL_IDS = 1 << ID_BITS  # a process that makes a million ids a second gets here in 12 days
NODE_BYTES = 8  # `zmqbus.packets.NodeId`; the codec knows nothing of the mesh
MAX_ORIGINS = 1 << 16  # below 2**22, so that a tagged id stays within int64; some 10 MB at most

# Which fields hold an id of pipecat's counter: class name -> field names, subclasses included.
ID_FIELDS: dict[str, tuple[str, ...]] = {
    "BusMessage": ("id",),
    "BusFlushProgressMessage": ("flush_id",),
    "Frame": ("id", "broadcast_sibling_id"),
    "FlushDoneMessage": ("flush_id",),
    "PipelineFlushFrame": ("flush_id",),
    "TTSTextFrame": ("segment_id",),
    "AggregatedTextProgressFrame": ("segment_id",),
}


class IdSpace:
    """One node's view of everybody's ids.

    The table of origins is a ring: past `max_origins` the oldest tag serves a new origin. Frames
    that old are gone from every pipeline, and a peer that is still there gets a new tag.

    Args:
        node: This node's id, 8 bytes.
        max_origins: How many origins are told apart at a time.
    """

    def __init__(self, node: bytes, *, max_origins: int = MAX_ORIGINS) -> None:
        if len(node) != NODE_BYTES:
            raise ValueError(f"A node id has {NODE_BYTES} bytes, not {len(node)}.")
        self.node = node
        self._max_origins = max_origins
        self._tags: dict[bytes, int] = {node: 0}
        self._origins: dict[int, bytes] = {0: node}
        self._next = 1

    def __repr__(self) -> str:
        return f"<IdSpace {self.node.hex()[:8]} [{len(self._tags) - 1} origins]>"

    def base(self, origin: bytes) -> int:
        """What to add to an id of `origin` to get the local one: 0 for this node's own."""
        tag = self._tags.get(origin)
        return (self._assign(origin) if tag is None else tag) << ID_BITS

    def local(self, origin: bytes, remote: int) -> int:
        """The local id for `remote`, an id of the node `origin`.

        Raises:
            CodecError: If `remote` is no id of a process.
        """
        if not 0 <= remote < LOCAL_IDS:
            raise CodecError("", f"{remote} is no id of one process (0 to 2**{ID_BITS} - 1)")
        return self.base(origin) | remote

    def origin(self, local: int) -> tuple[bytes, int]:
        """Where a local id comes from: origin and the id there.

        Raises:
            CodecError: If this space never gave out such an id.
        """
        origin = self._origins.get(local >> ID_BITS)
        if origin is None:
            raise CodecError("", f"{local} is no id that this process made or received")
        return origin, local & (LOCAL_IDS - 1)

    def _assign(self, origin: bytes) -> int:
        if len(origin) != NODE_BYTES:
            raise CodecError("", f"a node id has {NODE_BYTES} bytes, not {len(origin)}")
        tag = self._next
        self._next = tag % self._max_origins + 1
        oldest = self._origins.get(tag)
        if oldest is not None:
            del self._tags[oldest]
        self._tags[origin] = tag
        self._origins[tag] = origin
        return tag
