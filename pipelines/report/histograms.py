"""Histograms of lengths, over bins that are as wide as the rows ask for.

What: books count lengths in eight bins to a doubling (`books.EDGES`). Lengths are drawn over a logarithmic
axis, and neighbouring bins are joined until they are about as wide as the rule of Freedman and Diaconis has
it for the logarithms, and no more than `MOST`: so neither one block nor a comb.

Source: Freedman and Diaconis 1981, https://doi.org/10.1007/BF01025868 (width = 2 IQR / cube root of n).
Cost: about 0.1 s a plot.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from headrace.pipelines.report import plots

MOST = 36  # bins that are drawn
TAIL = 0.005  # share of the rows at either end that may be left out, and are counted
TICKS = 8
STEPS = (1, 2, 4, 8)  # eighths of a doubling that a bin may take


class Series(NamedTuple):
    """Counts of one kind of rows: counts[i] of them are from edges[i] to below edges[i + 1] long."""

    name: str
    edges: Sequence[int]
    counts: Sequence[int]


@plots.styled()
def lengths(name: str, series: Sequence[Series], across: str, up: str, title: str) -> Markup:
    """One or two kinds of rows, bars from back to front, over the same bins."""
    edges, joined = binned(series)
    outside = sum(series[0].counts) - sum(joined[0])
    figure, axes = plots.framed(2.3)
    hover: dict[str, str] = {}
    colours = (plots.BASE, plots.KEPT) if len(series) > 1 else (plots.TUNED,)
    places = _places(edges)
    for at, (one, counts, colour) in enumerate(zip(series, joined, colours, strict=True)):
        widths = np.diff(places)
        inset = 0.2 * widths if at else 0.03 * widths
        bars = axes.bar(
            places[:-1] + inset, counts, widths - 2 * inset, align="edge", color=colour, label=one.name
        )
        for number, (bar, count) in enumerate(zip(bars, counts, strict=True)):
            bar.set_gid(f"bar-{at}-{number}")
            span = _span(int(edges[number]), int(edges[number + 1]))
            hover[f"bar-{at}-{number}"] = f"{span} {across}: {count:,} {up} {one.name}".rstrip()
    octaves = [e for e in edges.tolist() if e & (e - 1) == 0]
    shown = octaves[:: -(-len(octaves) // TICKS)] if octaves else edges.tolist()
    axes.set_xticks(_places(np.array(shown)), [edge(e) for e in shown])
    axes.yaxis.set_major_formatter(FuncFormatter(plots.short))
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    beyond = f"; {outside:,} {up} lie beyond" if outside else ""
    axes.set_xlabel(f"{across} (logarithmic){beyond}")
    axes.set_ylabel(up)
    axes.grid(axis="x", visible=False)
    if len(series) > 1:
        axes.legend(loc="best")
    told = "; ".join(
        f"{one.name or up}: {sum(one.counts):,}, half of them up to {_median(one):,} {across}"
        for one in series
    )
    return plots.drawn(figure, name, title, told, hover)


def binned(series: Sequence[Series]) -> tuple[NDArray[np.int64], list[list[int]]]:
    """The edges to draw, ``int64[B + 1]``, and the counts of each series between them.

    Empty bins at both ends are cut off, and so are those that hold the `TAIL` of the first series: one row of
    a hundred times the usual length would press all others into one bar. All series have the same edges.
    """
    edges = np.array(series[0].edges, np.int64)
    counts = np.array([one.counts for one in series], np.int64)
    used = _used(counts[0])
    if not len(used):
        return edges[:2], [[0] for _ in series]
    for step in STEPS[STEPS.index(_step(edges, counts[0])) :]:
        kept = np.array([_on_grid(int(e), step) for e in edges])
        first = np.flatnonzero(kept[: used[0] + 1])[-1]
        last = used[-1] + 1 + np.flatnonzero(kept[used[-1] + 1 :])[:1].sum()
        at = first + np.flatnonzero(kept[first : last + 1])
        if len(at) - 1 <= MOST:
            break
    return edges[at], [np.add.reduceat(own[: at[-1]], at[:-1]).tolist() for own in counts]


def _used(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Numbers of the bins from the first that is drawn to the last, both not empty."""
    total = counts.sum()
    inner = (np.cumsum(counts) > TAIL * total) & (np.cumsum(counts[::-1])[::-1] > TAIL * total)
    return np.flatnonzero(inner & (counts > 0)) if total else np.zeros(0, np.int64)


def _step(edges: NDArray[np.int64], counts: NDArray[np.int64]) -> int:
    """Eighths of a doubling that a bin takes by the rule of Freedman and Diaconis."""
    middle = (_places(edges[:-1]) + _places(edges[1:])) / 2
    shares = np.cumsum(counts) / counts.sum()
    low, high = (middle[np.searchsorted(shares, share)] for share in (0.25, 0.75))
    width = 2 * (high - low) / float(counts.sum()) ** (1 / 3)
    return next((step for step in STEPS if 8 * width <= step * 1.5), STEPS[-1])


def _on_grid(value: int, step: int) -> bool:
    """Whether an edge is one of those that stand `step` eighths of a doubling apart."""
    if value == 0:
        return True
    power = value.bit_length() - 1
    return (8 * value) % (step << power) == 0


def _places(edges: NDArray[np.int64]) -> NDArray[np.float64]:
    """Where edges lie on the axis: logarithms to base 2; 0 stands a doubling before 1."""
    places: NDArray[np.float64] = np.log2(np.maximum(edges, 0.5).astype(np.float64))
    return places


def _median(one: Series) -> int:
    """The longest of the shorter half, at most: the last length of its bin."""
    total = np.cumsum(one.counts)
    at = int(np.searchsorted(total, total[-1] / 2)) if len(total) and total[-1] else 0
    return int(one.edges[at + 1]) - 1


def _span(low: int, high: int) -> str:
    return f"{low:,}" if high - low == 1 else f"{low:,} to {high - 1:,}"


def edge(value: float) -> str:
    """The edge of a bin: in full where it fits, else rounded to what people read."""
    return f"{value:,.0f}" if value < 10_000 else plots.short(float(f"{value:.2g}"))
