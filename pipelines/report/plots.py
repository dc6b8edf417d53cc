"""The report's plots, as inline SVG that follows the page into dark mode.

What: plain functions from numbers to one `<svg>` element, drawn by matplotlib without pyplot.

Why: an inline SVG needs no network and no script, prints well and stays sharp. Every colour is drawn
as a stand-in and replaced by a CSS variable of the page, and text stays text in the page's font.

Cost: about 0.1 s a plot. Same numbers, same bytes: ids are salted and there is no date.
"""

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

# Stand-ins that occur nowhere else; the page defines the variables for light and dark.
INK, MUTED, LINE = "#0a0101", "#0a0102", "#0a0103"
BASE, KEPT, DROPPED, QUARANTINED, TUNED = "#0a0104", "#0a0105", "#0a0106", "#0a0107", "#0a0108"
VARIABLES = {
    INK: "ink",
    MUTED: "muted",
    LINE: "line",
    BASE: "base",
    KEPT: "good",
    DROPPED: "warn",
    QUARANTINED: "bad",
    TUNED: "accent",
}
COLOURS = {"in": BASE, "kept": KEPT, "dropped": DROPPED, "quarantined": QUARANTINED}
WIDTH = 7.6  # inches; the page scales it
POINTS = 600  # of one curve

STYLE = {
    "svg.hashsalt": "headrace",
    "svg.fonttype": "none",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "text.parse_math": False,  # a name may hold a dollar sign
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib, so that layouts agree everywhere
    "font.size": 9.5,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": LINE,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
}

Points = Sequence[tuple[float, float]]


@contextmanager
def _styled() -> Iterator[None]:
    """Decorates a plot: texts take their style when they are made, not when they are drawn."""
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "Glyph .* missing"
        )  # only measured here; the reader's fonts draw it
        yield


@_styled()
def waterfall(steps: Sequence[tuple[str, int, str]]) -> Markup:
    """From what came in down to what was kept.

    `steps` are (label, records, kind) from top to bottom, kind one of `COLOURS`; "dropped" and
    "quarantined" take away from the running total, the others start at zero.
    """
    figure, axes = _figure(0.34 * len(steps) + 0.55)
    most = max((n for _, n, _ in steps), default=0) or 1
    left = 0
    for row, (_, records, kind) in enumerate(steps):
        takes = kind in ("dropped", "quarantined")
        left = left - records if takes else records
        start = left if takes else 0
        axes.barh(row, records, left=start, height=0.66, color=COLOURS[kind], edgecolor=COLOURS[kind])
        text = f"{'−' if takes else ''}{records:,}"
        axes.text(start + records + most * 0.012, row, text, va="center", ha="left", color=INK)
    axes.set_yticks(range(len(steps)), [label for label, _, _ in steps], color=INK)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(steps) - 0.5, -0.5)
    axes.set_xlim(0, most * 1.12)
    axes.xaxis.set_major_formatter(FuncFormatter(short))
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)
    return _svg(figure, "flow", "Records from what came in to what was kept, by reason.")


@_styled()
def lengths(
    name: str, series: Sequence[tuple[str, Sequence[float], Sequence[int]]], across: str, up: str, title: str
) -> Markup:
    """Histograms over the same bins, bars from back to front.

    `series` are (name, edges, counts) with `len(edges) == len(counts) + 1`; every bin is drawn equally
    wide, so that bins that double read well. Empty bins at both ends are cut off.
    """
    used = [i for _, _, counts in series for i, n in enumerate(counts) if n]
    first, last = (min(used), max(used)) if used else (0, 0)
    figure, axes = _figure(2.5)
    colours = (BASE, KEPT) if len(series) > 1 else (TUNED,)
    for (text, _, counts), colour in zip(series, colours, strict=True):
        shown = counts[first : last + 1]
        places = [first + i + 0.5 for i in range(len(shown))]
        width = 0.6 if colour == KEPT else 0.94
        axes.bar(places, shown, width=width, color=colour, label=text)
    edges = series[0][1]
    axes.set_xticks(range(first, last + 2), [edge(e) for e in edges[first : last + 2]])
    axes.yaxis.set_major_formatter(FuncFormatter(short))
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.grid(axis="x", visible=False)
    if len(series) > 1:
        axes.legend(loc="best")
    return _svg(figure, name, title)


@_styled()
def thresholds(points: Points, used: float | None) -> Markup:
    """Rows that would be removed as near-duplicates, by threshold; `used` is the recipe's."""
    figure, axes = _figure(2.2)
    axes.plot([x for x, _ in points], [y for _, y in points], color=TUNED, marker="o", markersize=4)
    axes.set_ylim(0, 1.25 * max(1, *(y for _, y in points)))  # room for the words over the line
    if used is not None:
        axes.axvline(used, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        axes.annotate(
            f"this run: {used:g}",
            (used, 1),
            xycoords=("data", "axes fraction"),
            xytext=(5, -2),
            textcoords="offset points",
            va="top",
            color=MUTED,
        )
    axes.yaxis.set_major_formatter(FuncFormatter(short))
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_xlabel("similarity threshold")
    axes.set_ylabel("rows removed")
    return _svg(figure, "thresholds", "Near-duplicate rows removed at each similarity threshold.")


@_styled()
def training(loss: Points, validation: Points, rate: Points, warned: Sequence[int] = ()) -> Markup:
    """Loss by step, with validation over it and the learning rate below; any of them may be empty.

    warned: steps after which something was wrong, shown as lines.
    """
    figure = Figure(figsize=(WIDTH, 3.6 if rate else 2.7), layout="constrained")
    heights = [3, 1] if rate else [1]
    column = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    _draw_losses(column[0], loss, validation)
    for step in sorted(set(warned))[:20]:
        column[0].axvline(step, color=MUTED, linewidth=0.8, linestyle=":")
    if rate:
        thin = thinned(rate)
        column[1].plot([x for x, _ in thin], [y for _, y in thin], color=MUTED)
        column[1].set_ylabel("learning\nrate")
        column[1].ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
        column[1].set_ylim(bottom=0)
    column[-1].set_xlabel("step")
    column[-1].xaxis.set_major_locator(MaxNLocator(8, integer=True))
    return _svg(figure, "training", "Training and validation loss, and the learning rate, by step.")


def _draw_losses(axes: Axes, loss: Points, validation: Points) -> None:
    if loss:
        thin = thinned(loss)
        axes.plot([x for x, _ in thin], [y for _, y in thin], color=BASE, linewidth=1.1, label="training")
    if validation:
        axes.plot(
            [x for x, _ in validation],
            [y for _, y in validation],
            color=TUNED,
            marker="o",
            markersize=3.5,
            label="validation",
        )
    if loss or validation:
        axes.legend(loc="upper right")
    axes.set_ylabel("loss, nats a token")


class Scale(NamedTuple):
    """One upright axis: its name, where each line meets it (0 at the bottom, 1 at the top), and its ends."""

    name: str
    places: list[float]
    least: str
    most: str


@_styled()
def parallel(scales: Sequence[Scale], lines: Sequence[tuple[list[float], str]]) -> Markup:
    """Lines over upright axes. `lines` are (place on each axis, kind), kind one of "best", "done", others."""
    figure, axes = _figure(3.0)
    looks = {"best": (KEPT, 2.4, 3), "done": (BASE, 1.1, 2)}
    for places, kind in lines:
        colour, width, order = looks.get(kind, (DROPPED, 0.7, 1))
        axes.plot(range(len(scales)), places, color=colour, linewidth=width, zorder=order)
    for at, scale in enumerate(scales):
        axes.axvline(at, color=LINE, linewidth=1, zorder=0)
        axes.annotate(
            scale.most, (at, 1), xytext=(0, 4), textcoords="offset points", ha="center", color=MUTED
        )
        axes.annotate(
            scale.least, (at, 0), xytext=(0, -12), textcoords="offset points", ha="center", color=MUTED
        )
    axes.set_xticks(range(len(scales)), [scale.name.replace("_", "\n") for scale in scales], color=INK)
    axes.tick_params(length=0, pad=14)
    axes.set_yticks([])
    axes.set_ylim(-0.02, 1.08)
    axes.set_xlim(-0.4, len(scales) - 0.6)
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return _svg(figure, "sweep", "Each trial as a line over its settings to its loss on validation rows.")


@_styled()
def comparison(metrics: Sequence[tuple[str, float, float]]) -> Markup:
    """Base beside tuned, one small pair of bars for each (name, base, tuned), each on its own scale."""
    columns = 2
    rows = -(-len(metrics) // columns)
    figure = Figure(figsize=(WIDTH, 1.12 * rows + 0.1), layout="constrained")
    cells = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (name, base, tuned) in zip(cells, metrics, strict=False):
        _draw_pair(axes, name, base, tuned)
    for axes in cells[len(metrics) :]:
        axes.set_visible(False)
    return _svg(figure, "comparison", "Each metric of the base model beside that of the tuned model.")


def _draw_pair(axes: Axes, name: str, base: float, tuned: float) -> None:
    most = max(base, tuned, 0) or 1
    for row, (value, colour) in enumerate(((base, BASE), (tuned, TUNED))):
        axes.barh(row, value, height=0.68, color=colour)
        axes.text(max(value, 0) + most * 0.02, row, figures(value), va="center", color=INK)
    axes.set_title(name, loc="left", fontsize=9.5, color=INK)
    axes.set_yticks([0, 1], ["base", "tuned"])
    axes.tick_params(axis="both", length=0)
    axes.set_ylim(1.5, -0.5)
    axes.set_xlim(min(base, tuned, 0), most * 1.25)
    axes.set_xticks([])
    axes.grid(visible=False)
    axes.spines["bottom"].set_visible(False)


def thinned(points: Points) -> Points:
    """At most about `POINTS` points: means of equal runs of neighbours."""
    run = -(-len(points) // POINTS)
    if run <= 1:
        return points
    groups = [points[i : i + run] for i in range(0, len(points), run)]
    return [(g[len(g) // 2][0], sum(y for _, y in g) / len(g)) for g in groups]


def short(value: float, position: int | None = None) -> str:
    """A number for an axis: 950, 1.5 k, 20 k, 3 M. (`position` is matplotlib's and is not used.)"""
    for unit, name in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= unit:
            return f"{value / unit:.3g}{name}"
    return f"{value:.3g}"


def edge(value: float) -> str:
    """The edge of a bin: in full where it fits, else rounded to what people read."""
    return f"{value:,.0f}" if value < 10_000 else short(float(f"{value:.2g}"))


def figures(value: float) -> str:
    """A metric to people: three or four figures that count."""
    return f"{value:.4g}" if abs(value) >= 1 else f"{value:.3f}"


def _figure(height: float) -> tuple[Figure, Any]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.subplots()


def _svg(figure: Figure, name: str, title: str) -> Markup:
    """The figure as one `<svg>` element: page colours, ids of its own, a title for screen readers."""
    sink = io.StringIO()
    FigureCanvasSVG(figure).print_svg(sink, metadata={"Date": None})
    text = sink.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'<style type="text/css">.*?</style>', "", text, flags=re.DOTALL)  # would reach the page
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(xlink:href="#|url\(#)', rf"\g<1>{name}-", text)
    text = re.sub(r"font(-family)?: ([^;\"]*?)'DejaVu Sans'[^;\"]*", r"font\1: \2var(--font)", text)
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, f"var(--{variable})")
    box = re.search(r'viewBox="([^"]*)"', text)
    assert box, "matplotlib wrote no viewBox"
    head = f'<svg role="img" aria-label="{escape(title)}" viewBox="{box[1]}"><title>{escape(title)}</title>'
    text = head + text[text.index(">") + 1 :]
    return Markup(text.replace("xlink:href", "href").strip())  # noqa: S704 - matplotlib escapes what it is given
