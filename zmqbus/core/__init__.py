"""Decisions of one node, without clock, sockets, tasks or logging.

`Node` is the door. Time comes in as an argument, one deadline goes out; what should be done leaves
as actions, what happened as events, each handed out once (`outbox`). The same inputs give the same
outputs, byte for byte, whatever the hash seed: that is what lets `zmqbus.sim` run a whole mesh in
one thread and turns a reported fault into a seed.
"""

from zmqbus.core.node import Node as Node
