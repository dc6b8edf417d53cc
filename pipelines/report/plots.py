"""The report's plots, as inline SVG that follows the page into dark mode.

What: plain functions from numbers to one `<svg>` element, drawn by matplotlib without pyplot.

Why: an inline SVG needs no network and no script, prints well and stays sharp. Every colour is drawn
as a stand-in and replaced by a CSS variable of the page, and text stays text in the page's font. A plot is as
wide as a telephone, so that its text can be read there; the counts behind a bar or a point show where a mouse
rests on it, as every one has a `<title>`.

Cost: about 0.1 s a plot. Same numbers, same bytes: ids are salted and there is no date.
"""

import io
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
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
WIDTH = 5.2  # inches; the page scales it
POINTS = 600  # of one curve
POINTED = 80  # points of a curve that say what they are
LABEL = 26  # characters of a name at an axis

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
def styled() -> Iterator[None]:
    """Decorates a plot: texts take their style when they are made, not when they are drawn."""
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "Glyph .* missing"
        )  # only measured here; the reader's fonts draw it
        yield


@styled()
def waterfall(steps: Sequence[tuple[str, int, str]]) -> Markup:
    """From what came in down to what was kept.

    `steps` are (label, records, kind) from top to bottom, kind one of `COLOURS`; "dropped" and
    "quarantined" take away from the running total, the others start at zero.
    """
    figure, axes = framed(0.28 * len(steps) + 0.65)
    most = max((n for _, n, _ in steps), default=0) or 1
    hover: dict[str, str] = {}
    left = 0
    for row, (label, records, kind) in enumerate(steps):
        takes = kind in ("dropped", "quarantined")
        left = left - records if takes else records
        start = left if takes else 0
        bars = axes.barh(row, records, left=start, height=0.66, color=COLOURS[kind], edgecolor=COLOURS[kind])
        bars[0].set_gid(f"step-{row}")
        hover[f"step-{row}"] = f"{label}: {records:,} records"
        text = f"{'−' if takes else ''}{records:,}"
        axes.text(start + records + most * 0.012, row, text, va="center", ha="left", color=INK)
    axes.set_yticks(range(len(steps)), [cut(label) for label, _, _ in steps], color=INK)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(steps) - 0.5, -0.5)
    axes.set_xlim(0, most * 1.2)
    axes.set_xlabel("records")
    axes.xaxis.set_major_formatter(FuncFormatter(short))
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)
    told = "; ".join(f"{label} {records:,}" for label, records, _ in steps)
    return drawn(figure, "flow", "Records from what came in to what was kept, by reason.", told, hover)


@styled()
def thresholds(points: Points, used: float | None) -> Markup:
    """Rows that would be removed as near-duplicates, by threshold; `used` is the recipe's."""
    figure, axes = framed(2.2)
    axes.plot([x for x, _ in points], [y for _, y in points], color=TUNED)
    hover = pointed(axes, points, TUNED, "rows", lambda x, y: f"at {x:g}: {y:,.0f} rows")
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
    told = "; ".join(f"at {x:g} {y:,.0f} rows" for x, y in points)
    return drawn(
        figure, "thresholds", "Near-duplicate rows removed at each similarity threshold.", told, hover
    )


@styled()
def training(loss: Points, validation: Points, rate: Points, warned: Sequence[int] = ()) -> Markup:
    """Loss by step, with validation over it and the learning rate below; any of them may be empty.

    warned: steps after which something was wrong, numbered lines: the page has the sentences in this order.
    """
    figure = Figure(figsize=(WIDTH, 3.4 if rate else 2.6), layout="constrained")
    heights = [3, 1] if rate else [1]
    column = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    hover = _draw_losses(column[0], loss, validation)
    for number, step in enumerate(warned, 1):
        column[0].axvline(step, color=DROPPED, linewidth=0.9, linestyle=":")
        place = (step, 1.0 - 0.09 * ((number - 1) % 4))
        over = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
        column[0].annotate(str(number), place, xytext=(2, -2), va="top", color=DROPPED, **over)
    if rate:
        thin = thinned(rate)
        column[1].plot([x for x, _ in thin], [y for _, y in thin], color=MUTED)
        column[1].set_ylabel("learning\nrate")
        column[1].ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
        column[1].set_ylim(bottom=0)
    column[-1].set_xlabel("step")
    column[-1].xaxis.set_major_locator(MaxNLocator(7, integer=True))
    ends = [
        f"{name} {figures(of[0][1])} to {figures(of[-1][1])}"
        for name, of in (("training loss", loss), ("validation loss", validation))
        if of
    ]
    return drawn(
        figure,
        "training",
        "Training and validation loss, and the learning rate, by step.",
        "; ".join(ends),
        hover,
    )


def _draw_losses(axes: Axes, loss: Points, validation: Points) -> dict[str, str]:
    hover: dict[str, str] = {}
    if loss:
        thin = thinned(loss)
        axes.plot([x for x, _ in thin], [y for _, y in thin], color=BASE, linewidth=1.1, label="training")
    if validation:
        axes.plot([x for x, _ in validation], [y for _, y in validation], color=TUNED, label="validation")
        hover = pointed(
            axes, validation, TUNED, "validation", lambda x, y: f"step {x:,.0f}: validation loss {figures(y)}"
        )
    if loss or validation:
        axes.legend(loc="upper right")
    axes.set_ylabel("loss, nats a token")
    return hover


def pointed(
    axes: Axes, points: Points, colour: str, name: str, words: Callable[[float, float], str]
) -> dict[str, str]:
    """Draw the points of a curve, each apart, so that it can say what it is; without words where many."""
    if len(points) > POINTED:
        return {}
    hover = {}
    for number, (x, y) in enumerate(points):
        gid = f"{name}-{number}"
        axes.plot([x], [y], color=colour, marker="o", markersize=3.8, linestyle="none", gid=gid)
        hover[gid] = words(x, y)
    return hover


class Scale(NamedTuple):
    """One upright axis: its name, where each line meets it (0 at the bottom, 1 at the top), and its ends."""

    name: str
    places: list[float]
    least: str
    most: str


@styled()
def parallel(scales: Sequence[Scale], lines: Sequence[tuple[list[float], str]]) -> Markup:
    """Lines over upright axes. `lines` are (place on each axis, kind), kind one of "best", "done", others."""
    figure, axes = framed(3.0)
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
    title = "Each trial as a line over its settings to its loss on validation rows."
    return drawn(figure, "sweep", title, f"{len(lines)} trials; the table below has their numbers")


@styled()
def comparison(metrics: Sequence[tuple[str, Sequence[tuple[str, float]]]]) -> Markup:
    """The models beside each other, a bar for each (who, value) of each (name, models), which has its own
    scale. The last of the models is the tuned one.
    """
    columns = 2
    rows = -(-len(metrics) // columns)
    most = max((len(models) for _, models in metrics), default=2)
    figure = Figure(figsize=(WIDTH, (0.46 + 0.2 * most) * rows + 0.1), layout="constrained")
    cells = figure.subplots(rows, columns, squeeze=False).ravel()
    hover: dict[str, str] = {}
    for axes, (name, models) in zip(cells, metrics, strict=False):
        hover |= _draw_models(axes, name, models)
    for axes in cells[len(metrics) :]:
        axes.set_visible(False)
    told = "; ".join(hover.values())
    return drawn(figure, "comparison", "Each metric of the models beside each other.", told, hover)


def _draw_models(axes: Axes, name: str, models: Sequence[tuple[str, float]]) -> dict[str, str]:
    values = [value for _, value in models]
    most = max(*values, 0) or 1
    hover = {}
    for row, (who, value) in enumerate(models):
        bars = axes.barh(row, value, height=0.68, color=TUNED if row == len(models) - 1 else BASE)
        gid = re.sub(r"\W+", "-", f"{name} {row}")
        bars[0].set_gid(gid)
        hover[gid] = f"{name}, {who}: {figures(value)}"
        axes.text(max(value, 0) + most * 0.02, row, figures(value), va="center", color=INK)
    axes.set_title(cut(name), loc="left", fontsize=9.5, color=INK)
    axes.set_yticks(range(len(models)), [who for who, _ in models])
    axes.tick_params(axis="both", length=0)
    axes.set_ylim(len(models) - 0.5, -0.5)
    axes.set_xlim(min(*values, 0), most * 1.45)
    axes.set_xticks([])
    axes.grid(visible=False)
    axes.spines["bottom"].set_visible(False)
    return hover


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


def cut(label: str) -> str:
    """A name as an axis has room for it."""
    return label if len(label) <= LABEL else f"{label[: LABEL - 1]}…"


def figures(value: float) -> str:
    """A number to people: three or four figures that count, never a power of ten; a minus, no hyphen."""
    size = abs(value)
    digits = 0 if size >= 1000 else 1 if size >= 100 else 2 if size >= 10 else 3
    text = f"{value:,.{digits}f}"
    return (
        f"{value:.1g}".replace("-", "−")
        if value and not float(text.replace(",", "")) and size >= 1e-4
        else text.replace("-", "−")
    )


def signed(value: float) -> str:
    """A change to people, as `figures` has it, with its sign."""
    text = figures(value)
    return text if text.startswith("−") or not value else f"+{text}"


def framed(height: float) -> tuple[Figure, Any]:
    """A figure of so many inches, and its axes."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.subplots()


def drawn(
    figure: Figure, name: str, title: str, told: str = "", hover: Mapping[str, str] | None = None
) -> Markup:
    """The figure as one `<svg>` element: page colours, ids of its own, title and description for those who
    cannot see it.

    hover: by the `gid` of an artist what is said where a mouse rests on it.
    """
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
    for gid, words in (hover or {}).items():
        opening = f'<g id="{name}-{gid}">'
        text = text.replace(opening, f"{opening}<title>{escape(words)}</title>", 1)
    box = re.search(r'viewBox="([^"]*)"', text)
    assert box, "matplotlib wrote no viewBox"
    ids = f"{name}-title {name}-told" if told else f"{name}-title"
    head = f'<svg role="img" aria-labelledby="{ids}" viewBox="{box[1]}">'
    head += f'<title id="{name}-title">{escape(title)}</title>'
    head += f'<desc id="{name}-told">{escape(told)}</desc>' if told else ""
    text = head + text[text.index(">") + 1 :]
    return Markup(text.replace("xlink:href", "href").strip())  # noqa: S704 - matplotlib escapes what it is given
