"""Counters, gauges and histograms in Prometheus' text format: what this service shows, and no more."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest

BUCKETS_MS = (1, 2.5, 5, 10, 20, 30, 50, 100, 200, 500, 1_000, 3_000, 10_000, 30_000, 100_000)


class Metrics:
    """Thread-safe; one instance an app: the client's global registry would mix the apps of one process."""

    def __init__(self) -> None:
        disable_created_metrics()  # a second series for each, with the time of its first count, tells nobody anything
        self._registry = CollectorRegistry()
        self._lock = threading.Lock()
        self._families: dict[str, Any] = {}
        self._series: dict[tuple[Any, ...], Any] = {}  # the client's own look-up costs a click 10 us a stage

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        self._one(name, labels, self._counter).inc(amount)

    def observe_ms(self, name: str, value_ms: float, **labels: str) -> None:
        self._one(name, labels, self._histogram).observe(value_ms)

    def gauge(self, name: str, read: Callable[[], float]) -> None:
        """Register a value that is read at scrape time."""
        Gauge(name, "", registry=self._registry).set_function(read)

    def render(self) -> str:
        return generate_latest(self._registry).decode()

    def _counter(self, name: str, labels: list[str]) -> Counter:
        return Counter(name, "", labels, registry=self._registry)

    def _histogram(self, name: str, labels: list[str]) -> Histogram:
        return Histogram(name, "", labels, registry=self._registry, buckets=BUCKETS_MS)

    def _one(self, name: str, labels: dict[str, str], make: Callable[[str, list[str]], Any]) -> Any:
        """A series, made when it first counts: a scrape shows nothing of what never happened."""
        key = (name, *sorted(labels.items()))
        with self._lock:
            if key not in self._series:
                family = self._families.get(name) or self._families.setdefault(name, make(name, sorted(labels)))
                self._series[key] = family.labels(**labels) if labels else family
            return self._series[key]
