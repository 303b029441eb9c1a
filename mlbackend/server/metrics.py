"""Counters, gauges and histograms in Prometheus' text format: what this service shows, and no more."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable

BUCKETS_MS = (1, 2.5, 5, 10, 20, 30, 50, 100, 200, 500, 1_000, 3_000, 10_000, 30_000, 100_000)
Labels = tuple[tuple[str, str], ...]


class Metrics:
    """Thread-safe; one instance a process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counters: dict[tuple[str, Labels], float] = {}
        self._histograms: dict[tuple[str, Labels], list[float]] = {}
        self._gauges: dict[str, Callable[[], float]] = {}

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        key = (name, tuple(sorted(labels.items())))
        with self._lock:
            self._counters[key] = self._counters.get(key, 0) + amount

    def observe_ms(self, name: str, value_ms: float, **labels: str) -> None:
        key = (name, tuple(sorted(labels.items())))
        with self._lock:
            cells = self._histograms.setdefault(key, [0.0] * (len(BUCKETS_MS) + 2))
            cells[bisect_left(BUCKETS_MS, value_ms)] += 1
            cells[-1] += value_ms

    def gauge(self, name: str, read: Callable[[], float]) -> None:
        """Register a value that is read at scrape time."""
        self._gauges[name] = read

    def render(self) -> str:
        with self._lock:
            counters, histograms = dict(self._counters), {k: list(v) for k, v in self._histograms.items()}
        lines = [f"# TYPE {name} gauge\n{name} {read():g}" for name, read in sorted(self._gauges.items())]
        lines += _with_types("counter", counters, lambda name, labels, value: [f"{name}{_braces(labels)} {value:g}"])
        lines += _with_types("histogram", histograms, _histogram_lines)
        return "\n".join(lines) + "\n"


def _with_types(kind: str, table: dict, render: Callable[..., list[str]]) -> list[str]:
    lines: list[str] = []
    previous = None
    for (name, labels), value in sorted(table.items(), key=lambda item: item[0]):
        if name != previous:
            lines.append(f"# TYPE {name} {kind}")
            previous = name
        lines += render(name, labels, value)
    return lines


def _histogram_lines(name: str, labels: Labels, cells: list[float]) -> list[str]:
    lines, total = [], 0.0
    for bound, cell in zip((*map(str, BUCKETS_MS), "+Inf"), cells, strict=False):
        total += cell
        lines.append(f"{name}_bucket{_braces((*labels, ('le', bound)))} {total:g}")
    return [*lines, f"{name}_sum{_braces(labels)} {cells[-1]:g}", f"{name}_count{_braces(labels)} {total:g}"]


def _braces(labels: Labels) -> str:
    quoted = ",".join(f'{key}="{_escape(value)}"' for key, value in labels)
    return f"{{{quoted}}}" if quoted else ""


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
