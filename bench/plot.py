"""A line plot with error bars as SVG, for results that are looked at in a browser."""

import itertools
from collections.abc import Mapping, Sequence

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 640, 400, 64, 56, 24, 120
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000")
PointWithError = tuple[float, float, float]


def line_plot(series: Mapping[str, Sequence[PointWithError]], *, x: str, y: str, ceiling: float | None = None) -> str:
    """`series` maps a name to its (x, y, error of y); `ceiling` is a dashed line across."""
    points = [point for row in series.values() for point in row]
    if not points:
        raise ValueError("nothing to plot: no series has a point")
    highest = max([p[1] + p[2] for p in points] + ([ceiling] if ceiling is not None else []))
    lowest = min(p[1] - p[2] for p in points)
    margin = 0.08 * (highest - lowest or 1.0)
    scale = _Scale(max(p[0] for p in points) or 1.0, lowest - margin, highest + margin)
    parts = [_axes(scale, x, y)]
    if ceiling is not None:
        parts.append(
            f'<path d="M{LEFT} {scale.y(ceiling):.1f}H{WIDTH - RIGHT}" stroke="#777" stroke-dasharray="5 4"/>'
            f'<text x="{WIDTH - RIGHT + 6}" y="{scale.y(ceiling) + 4:.1f}">all labels</text>'
        )
    for (name, row), colour in zip(series.items(), itertools.cycle(COLOURS), strict=False):
        parts.append(_line(name, sorted(row), colour, scale))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="system-ui,sans-serif" '
        f'font-size="13"><rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


class _Scale:
    def __init__(self, right: float, low: float, high: float) -> None:
        self.right, self.low, self.high = right, low, high

    def x(self, value: float) -> float:
        return LEFT + value / self.right * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - (value - self.low) / (self.high - self.low) * (HEIGHT - BOTTOM - TOP)


def _axes(scale: _Scale, x: str, y: str) -> str:
    base = HEIGHT - BOTTOM
    parts = [f'<path d="M{LEFT} {TOP}V{base}H{WIDTH - RIGHT}" fill="none" stroke="#444"/>']
    for step in range(5):
        value = scale.low + (scale.high - scale.low) * step / 4
        parts.append(f'<text x="{LEFT - 8}" y="{scale.y(value) + 4:.1f}" text-anchor="end">{value:.1f}</text>')
        value = scale.right * step / 4
        parts.append(f'<text x="{scale.x(value):.1f}" y="{base + 18}" text-anchor="middle">{value:.0f}</text>')
    parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 12}" text-anchor="middle">{x}</text>')
    parts.append(f'<text transform="translate(16 {HEIGHT / 2}) rotate(-90)" text-anchor="middle">{y}</text>')
    return "".join(parts)


def _line(name: str, row: Sequence[PointWithError], colour: str, scale: _Scale) -> str:
    path = "L".join(f"{scale.x(px):.1f} {scale.y(py):.1f}" for px, py, _ in row)
    bars = "".join(
        f'<path d="M{scale.x(px):.1f} {scale.y(py - e):.1f}V{scale.y(py + e):.1f}" stroke="{colour}"/>'
        f'<circle cx="{scale.x(px):.1f}" cy="{scale.y(py):.1f}" r="4" fill="{colour}"/>'
        for px, py, e in row
    )
    last = row[-1]
    label = f'<text x="{scale.x(last[0]) + 8:.1f}" y="{scale.y(last[1]) + 4:.1f}" fill="{colour}">{name}</text>'
    return f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>{bars}{label}'
