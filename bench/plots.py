"""Pictures of a comparison: how much goes through, and how late it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench import buses
from bench.compare import Measured

_OURS, _OTHERS = "#1f6f8b", "#b9bec4"
_OUR_SHADES = ("#0b3c4d", "#1f6f8b", "#4fa3bf", "#8fcbe0")
_OTHER_SHADES = ("#7f7f7f", "#d62728", "#ff9f4a", "#e07b00", "#b08fd8", "#7a4fb5", "#000000")
_SIZE_INCHES = (8.0, 4.2)


def plot(measured: Sequence[Measured], path: Path) -> list[Path]:
    """Draw both pictures; returns where, beside ``path``, which says of what kind they are.

    Args:
        measured: What `bench.compare.measure` gave.
        path: ``docs/bench.svg`` makes ``docs/bench-throughput.svg`` and ``docs/bench-latency.svg``.
    """
    pictures = {"throughput": _throughput, "latency": _latency}
    paths = [path.with_stem(f"{path.stem}-{name}") for name in pictures]
    for draw, where in zip(pictures.values(), paths, strict=True):
        figure = Figure(figsize=_SIZE_INCHES, layout="constrained")
        axes = figure.subplots()
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
        axes.set_axisbelow(True)
        draw(measured, axes)
        figure.savefig(where, dpi=150)
    return paths


def _throughput(measured: Sequence[Measured], axes: Axes) -> None:
    """Bars of the medians, dots of the rounds."""
    whole = sorted(
        (m for m in measured if all(r.whole for r in m.rates)), key=lambda m: _rate(m), reverse=True
    )
    for place, one in enumerate(whole):
        colour = _OURS if one.kind in buses.OURS else _OTHERS
        axes.barh(place, _rate(one), color=colour)
        axes.plot([r.per_sec for r in one.rates], [place] * len(one.rates), "k.", markersize=3)
        axes.annotate(f"  {_rate(one):,.0f}", (_rate(one), place), va="center", fontsize=8)
    axes.set_yticks(range(len(whole)), [buses.TITLES[m.kind] for m in whole])
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlabel("20 ms audio frames a second, one process to another, nothing lost")
    axes.xaxis.set_major_formatter("{x:,.0f}")


def _rate(measured: Measured) -> float:
    return median(rate.per_sec for rate in measured.rates)


def _latency(measured: Sequence[Measured], axes: Axes) -> None:
    """The share of frames that came within a time, of all rounds together."""
    ours, others = iter(_OUR_SHADES), iter(_OTHER_SHADES)
    for one in measured:
        own = one.kind in buses.OURS
        late = [each / 1e3 for round_ in one.calm for each in round_]
        colour, width = (next(ours), 2.2) if own else (next(others), 1.2)
        axes.ecdf(late, label=buses.TITLES[one.kind], color=colour, linewidth=width)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("milliseconds from send() to the subscriber, a frame every 5 ms")
    axes.set_ylabel("share of the frames")
    axes.legend(fontsize=8, frameon=False)
