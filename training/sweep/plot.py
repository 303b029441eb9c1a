"""A sweep's gains over the base model as SVG: a row a point with its interval, a dot a seed, the base model at 0."""

from __future__ import annotations

import math
from html import escape
from typing import Any

Row = dict[str, Any]
ROW_PX, LABEL_PX, PLOT_PX, FIGURE_PX, EDGE_PX = 34, 300, 420, 150, 24
TOP_PX, BOTTOM_PX = 44, 56
LABEL_LENGTH = 42
INK, PALE, BEST, OTHER = "#222", "#999", "#0072b2", "#555"


def gain_plot(plain: Row) -> str:
    """From sweep.json; points that were not judged are named without a mark."""
    points = plain["points"]
    scale = _Scale([gain for row in [*points, *plain["runs"]] if (gain := row.get("over_base"))])
    height = TOP_PX + ROW_PX * len(points) + BOTTOM_PX
    width = LABEL_PX + PLOT_PX + FIGURE_PX + EDGE_PX
    parts = [_axis(scale, height, plain)]
    seeds = _runs_of(plain)
    for number, point in enumerate(points):
        parts.append(_row(point, seeds.get(point["name"], []), TOP_PX + ROW_PX * (number + 0.5), scale, plain["best"]))
    title = escape(f"Gain over the base model on {plain['split']}, points of CGF1")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="system-ui,sans-serif" '
        f'font-size="13" role="img"><title>{title}</title><rect width="{width}" height="{height}" fill="#fff"/>'
        f'<text x="{LABEL_PX}" y="24" fill="{INK}">{title}</text>{"".join(parts)}</svg>\n'
    )


def _runs_of(plain: Row) -> dict[str, list[Row]]:
    """A point's runs follow one another, as many as there are seeds."""
    size = len(plain["seeds"])
    return {point["name"]: plain["runs"][n * size : (n + 1) * size] for n, point in enumerate(plain["points"])}


class _Scale:
    """Points of CGF1 to pixels; 0 is always in view."""

    def __init__(self, gains: list[Row]) -> None:
        ends = [0.0, *(100 * gain[side] for gain in gains for side in ("low", "high", "delta"))]
        margin = 0.06 * (max(ends) - min(ends) or 1.0)
        self.low, self.high = min(ends) - margin, max(ends) + margin

    def ticks(self) -> list[float]:
        """At most seven, at round numbers."""
        rough = (self.high - self.low) / 6
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * round_one for round_one in (1, 2, 5, 10) if power * round_one >= rough)
        first = math.ceil(self.low / step)
        return [round(number * step, 6) + 0.0 for number in range(first, math.floor(self.high / step) + 1)]

    def x(self, gain: float) -> float:
        return LABEL_PX + (100 * gain - self.low) / (self.high - self.low) * PLOT_PX


def _axis(scale: _Scale, height: int, plain: Row) -> str:
    base = height - BOTTOM_PX
    zero = scale.x(0)
    parts = [
        f'<path d="M{LABEL_PX} {base}H{LABEL_PX + PLOT_PX}" stroke="{PALE}"/>',
        f'<path d="M{zero:.1f} {TOP_PX - 8}V{base}" stroke="{PALE}" stroke-dasharray="5 4"/>',
    ]
    for value in scale.ticks():
        x = scale.x(value / 100)
        parts.append(f'<text x="{x:.1f}" y="{base + 18}" text-anchor="middle" fill="{INK}">{value:+g}</text>')
    share = f"{100 * plain['bootstrap']['confidence']:g} %"
    words = f"bar: {share} interval of a paired bootstrap; small dots: seeds; dashed: the base model"
    parts.append(f'<text x="{LABEL_PX}" y="{base + 42}" fill="{OTHER}">{words}</text>')
    return "".join(parts)


def _row(point: Row, runs: list[Row], y: float, scale: _Scale, best: str | None) -> str:
    is_best = point["name"] == best
    name = point["name"] if len(point["name"]) <= LABEL_LENGTH else point["name"][: LABEL_LENGTH - 1] + "…"
    weight = ' font-weight="bold"' if is_best else ""
    label = f'<text x="{LABEL_PX - 12}" y="{y + 4:.1f}" text-anchor="end" fill="{INK}"{weight}>{escape(name)}</text>'
    gain = point.get("over_base")
    if not gain:
        return label + f'<text x="{LABEL_PX + 8}" y="{y + 4:.1f}" fill="{OTHER}">not judged</text>'
    colour = BEST if is_best else OTHER
    dots = [row["over_base"]["delta"] for row in runs if "over_base" in row] if len(runs) > 1 else []
    words = f"{100 * point['cgf1']:.1f} ({100 * gain['delta']:+.1f})"
    return "".join(
        [
            label,
            f'<path d="M{scale.x(gain["low"]):.1f} {y:.1f}H{scale.x(gain["high"]):.1f}" stroke="{colour}" '
            'stroke-width="2"/>',
            *(f'<circle cx="{scale.x(dot):.1f}" cy="{y + 8:.1f}" r="2.5" fill="{PALE}"/>' for dot in dots),
            f'<circle cx="{scale.x(gain["delta"]):.1f}" cy="{y:.1f}" r="5" fill="{colour}"/>',
            f'<text x="{LABEL_PX + PLOT_PX + 12}" y="{y + 4:.1f}" fill="{INK}"{weight}>CGF1 {words}</text>',
        ]
    )
