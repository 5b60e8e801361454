"""Benchmarks through the public API, with real processes: ``python -m bench --help``.

Figures come from one run on one machine and are only good for ratios within that run. A rate is
printed only if every message arrived, in order.

``children`` starts processes that obey ``orders``: ``station`` is a bus of any of the ``buses``,
with ``ears`` and a ``pace``, or bare sockets instead (``bare_station``); ``casts`` brings several
together. With them ``throughput``, ``latency``, ``idle`` and ``compare`` measure. ``member`` is a
runner of ours that is maltreated, by ``flood``, ``death`` and ``overload``.
"""
