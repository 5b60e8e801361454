"""Sockets and the finding of addresses: the only place that knows ZeroMQ.

Modules, from the outside in: `transport` (all sockets of one node), `seeds` and `rendezvous` (where
peers may be), `probe` (does anybody listen there). Below them: `binding`, `dial`, `sockets`,
`endpoint`, `readiness`, `background`. Frames are opaque here.
"""
