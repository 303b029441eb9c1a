"""Charts at print size: PNG at 300 DPI and SVG, by matplotlib, which nothing but this module loads.

Colours are the pages' own; in the HTML file they are exchanged for variables, so that a plot is dark where the file is.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from toolbox.files import write_bytes
from training.reporting.charts import Chart

DPI = 300
SIZE_IN = (6.3, 3.5)
INK, SOFT, LINE, GROUND = "#1d2124", "#565b60", "#dedbd2", "#ffffff"
COLOURS = {1: "#0072b2", 2: "#c25a00", 3: "#6a6f75", 4: "#8a3f78"}
DASHES: dict[int, Any] = {1: "-", 2: (0, (6, 3)), 3: (0, (1, 2)), 4: (0, (3, 2, 1, 2))}
VARIABLES = {INK: "ink", SOFT: "ink-soft", LINE: "line", GROUND: "surface"} | {
    colour: f"plot-{number}" for number, colour in COLOURS.items()
}
FEW_POINTS = 12  # of so few each is marked: of one alone there is no line
LONG_LABELS = 8  # of more, or of long ones, the names lie on their side
STYLE: Any = {
    "font.size": 9,
    "font.family": "sans-serif",
    "text.color": INK,
    "axes.labelcolor": SOFT,
    "axes.edgecolor": SOFT,
    "axes.facecolor": GROUND,
    "figure.facecolor": GROUND,
    "savefig.facecolor": GROUND,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "grid.color": LINE,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "text.parse_math": False,  # a concept may hold a dollar sign
    "svg.fonttype": "none",  # words stay words: small, searchable, read aloud
}


def write_plot(chart: Chart, folder: Path) -> str:
    """NAME.png and NAME.svg in the folder; the SVG's text."""
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": chart["name"]}):
        figure = _figure(chart)
        svg = _saved(figure, format="svg", metadata={"Date": None}).decode("utf-8")
        png = _saved(figure, format="png", dpi=DPI)
    write_bytes(folder / f"{chart['name']}.svg", svg.encode(), lasting=False, alone=True)
    write_bytes(folder / f"{chart['name']}.png", png, lasting=False, alone=True)
    return svg


def _saved(figure: Figure, **how: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, **how)
    return buffer.getvalue()


def _figure(chart: Chart) -> Figure:
    figure = Figure(figsize=SIZE_IN, layout="constrained")
    FigureCanvasAgg(figure)
    if chart["kind"] == "matrix":
        _matrices(figure, chart)
    else:
        axes = figure.subplots()
        DRAW[chart["kind"]](axes, chart)
        axes.set_xlabel(chart["x"])
        axes.set_ylabel(chart["y"])
        if len(chart["series"]) > 1:
            figure.legend(loc="outside upper right", ncols=len(chart["series"]))
    return figure


def _lines(axes: Axes, chart: Chart) -> None:
    for one in chart["series"]:
        look = {"color": COLOURS[one["colour"]], "linestyle": DASHES[one["colour"]], "label": one["name"]}
        axes.plot(
            one["x"],
            one["y"],
            marker="o" if chart.get("marks") or len(one["x"]) <= FEW_POINTS else None,
            markersize=3.5,
            linewidth=1.6,
            **look,
        )
        if any(value is not None for value in one.get("low") or ()):
            away = _away(one)
            axes.errorbar(one["x"], one["y"], away, fmt="none", ecolor=COLOURS[one["colour"]], elinewidth=1, capsize=2)
    if chart.get("diagonal"):
        axes.plot([0, 100], [0, 100], color=SOFT, linestyle=(0, (4, 3)), linewidth=1)
    for span, limit in ((chart.get("x_span"), axes.set_xlim), (chart.get("y_span"), axes.set_ylim)):
        if span:
            slack = 0.03 * (span[1] - span[0])
            limit(span[0] - slack, span[1] + slack)


def _bars(axes: Axes, chart: Chart) -> None:
    many = len(chart["series"])
    width = 0.8 / many
    for place, one in enumerate(chart["series"]):
        at = [label - 0.4 + width * (place + 0.5) for label in range(len(chart["labels"]))]
        heights = [value or 0.0 for value in one["y"]]
        hatch = (None, "////", "\\\\\\\\", "xxxx")[place % 4]  # apart in grey print, too
        axes.bar(
            at,
            heights,
            width,
            color=COLOURS[one["colour"]],
            label=one["name"],
            hatch=hatch,
            edgecolor=GROUND,
            linewidth=0,
        )
    _name_bars(axes, chart["labels"])


def _intervals(axes: Axes, chart: Chart) -> None:
    (one,) = chart["series"]
    heights = [value or 0.0 for value in one["y"]]
    axes.bar(range(len(heights)), heights, 0.6, color=COLOURS[one["colour"]])
    axes.errorbar(range(len(heights)), heights, _away(one), fmt="none", ecolor=INK, elinewidth=1.2, capsize=4)
    for place, value in enumerate(one["y"]):
        if value is None:
            axes.text(place, 1, "not\njudged", ha="center", va="bottom", fontsize=7, color=SOFT)
    axes.set_ylim(0, 103)
    _name_bars(axes, chart["labels"])


def _away(one: Chart) -> list[list[float]]:
    """Distances down and up, as matplotlib wants them; none where there is no interval."""
    pairs = [
        (0.0, 0.0) if None in (value, low, high) else (max(0.0, value - low), max(0.0, high - value))
        for value, low, high in zip(one["y"], one["low"], one["high"], strict=True)
    ]
    return [[low for low, _ in pairs], [high for _, high in pairs]]


def _name_bars(axes: Axes, labels: Sequence[str]) -> None:
    is_long = len(labels) > LONG_LABELS or max((len(label) for label in labels), default=0) > 14
    words = [label if len(label) <= 24 else f"{label[:23]}…" for label in labels]
    axes.set_xticks(range(len(labels)), words, rotation=60 if is_long else 0, ha="right" if is_long else "center")
    axes.grid(False, axis="x")
    if is_long:
        axes.tick_params(axis="x", labelsize=7)


def _matrices(figure: Figure, chart: Chart) -> None:
    found = chart["matrices"]
    every = figure.subplots(1, max(1, len(found)), squeeze=False)[0]
    for axes, one in zip(every, found, strict=False):
        _matrix(axes, one)
    if len(every):
        every[0].set_ylabel("truth")


def _matrix(axes: Axes, one: dict[str, Any]) -> None:
    """Right cells filled, wrong ones hatched: the counts are the message."""
    axes.set_title(f"score {one['name']}", fontsize=9)
    axes.set_xticks([0, 1], ["fires", "does not"])
    axes.set_yticks([0, 1], ["with", "without"])
    axes.grid(False)
    axes.set_xlim(-0.5, 1.5)
    axes.set_ylim(1.5, -0.5)
    for (column, row), cell in {(0, 0): "tp", (1, 0): "fn", (0, 1): "fp", (1, 1): "tn"}.items():
        is_right = cell in ("tp", "tn")
        box: dict[str, Any] = {
            "facecolor": COLOURS[1] if is_right else GROUND,
            "edgecolor": COLOURS[1 if is_right else 2],
            "linewidth": 1.5,
        }
        axes.add_patch(Rectangle((column - 0.46, row - 0.46), 0.92, 0.92, **box))
        colour = GROUND if is_right else INK
        axes.text(column, row, f"{one[cell]:,}", ha="center", va="center", color=colour, fontsize=12)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(length=0)


DRAW: dict[str, Callable[[Axes, Chart], None]] = {"lines": _lines, "bars": _bars, "intervals": _intervals}


def inline(svg: str, chart: Chart) -> str:
    """The SVG as part of a page: the page's colours, a name that is read aloud, no prologue, no name given twice."""
    body = svg[svg.index("<svg") :]
    used = set(re.findall(r'#([\w-]+)[")]', body))
    body = re.sub(r' id="([^"]+)"', lambda found: found[0] if found[1] in used else "", body)
    for colour, variable in VARIABLES.items():
        body = body.replace(colour, f"var(--{variable})")
    label = f"{chart['title']}; a table has the numbers".replace('"', "'")
    return body.replace("<svg ", f'<svg class="plot" role="img" aria-label="{label}" ', 1)
