"""Benchmarks through the public API, with real processes: ``python -m bench --help``.

Figures come from one run on one machine and are only good for ratios within that run. A rate is
printed only if every message arrived, in order.
"""
