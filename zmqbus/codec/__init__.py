"""Bus messages to bytes and back, losing nothing and building nothing unknown.

Theory of operation. Encoding goes top down: `coding.Encoding` turns a message into msgpack's
native types, and msgpack packs those in one call. Decoding goes bottom up inside msgpack, which
calls a hook for every list and ext value: a list whose first item is a *mark* is replaced by what
it describes. A mark is a bytes object; a list of the user's that begins with one gets a mark of
its own in front, so a payload cannot pose as an object, whatever is in it (S10). Bytes rather than
an ext value, because msgpack calls back into Python for each of those. FORMAT.md has the bytes.

Which classes there are is settled by `table`, from what this process has imported and what the
application registered, never by the wire (R27). How each travels is worked out once by `plan`.

====================  ============================================================================
`serializer`          `MsgpackSerializer`: the API, errors, limits
`coding`              the two walks
`plan`, `classes`     one class: its fields in both directions; dataclasses and pydantic models
`table`, `hints`      which classes there are; what annotations admit and lead to
`values`              tuples, sets, dates, big ints, numpy and the rest
`pipecat_types`       contexts, tools, sentinels, and what belongs to one process
`ids`                 ids that stay unique over a mesh
`scan`, `notices`     memory known before it is spent; warnings that do not flood
====================  ============================================================================

What does not travel. A callback, event, processor, exception or unknown object in a field whose
default is None is left out: one warning names class and field, the second says it is only counted
from there, `MsgpackSerializer.dropped` has the counts. In any other place (a required field, a
payload, metadata) it is a `CodecError` at the sender that names the path. The fields of a
`BusMessage` itself are never left out.
"""

from zmqbus.codec.ids import IdSpace as IdSpace
from zmqbus.codec.serializer import MsgpackSerializer as MsgpackSerializer

__all__ = ["IdSpace", "MsgpackSerializer"]
