"""What can be wrong with a mesh, looked at from one host, and what to do about it.

`setup` reads what a bus here would be given; `observer` joins the mesh for a moment, as a node
without a runner, and calls on everybody it finds; `here` and `others` are the checks, small
functions from a `case.Case` to `Finding`s; `examination` is the list of them.
"""

from __future__ import annotations
