"""A run's events as numbers by name, the same for its page and for every tracker."""

from __future__ import annotations

from typing import Any

from toolbox.run_figures import FigureReader


def event(kind: str, second: float, **fields: Any) -> dict[str, Any]:
    return {"event": kind, "at": f"2026-01-01T00:00:{second:06.3f}+00:00", **fields}


def test_images_a_second_count_learning_and_no_validation() -> None:
    reader = FigureReader(batch_pairs=16)
    reader.read(event("loss", 0, step=5, total=1.0, learning_rate=1e-4))
    reader.read(event("validation", 20, step=5, cgf1=0.5))
    figures = reader.read(event("loss", 24, step=10, total=None, learning_rate=1e-4))
    assert figures is not None
    assert figures.values == {"train/learning_rate": 1e-4, "train/images_per_s": 5 * 16 / 4}


def test_gpu_figures_stand_at_the_step_they_were_read_at() -> None:
    reader = FigureReader(batch_pairs=16)
    reader.read(event("loss", 0, step=5, total=1.0, learning_rate=1e-4))
    figures = reader.read(event("gpu", 1, temperature_c=61, memory_used_mib=9000))
    assert figures is not None
    assert (figures.step, figures.values) == (5, {"gpu/temperature_c": 61.0, "gpu/memory_used_mib": 9000.0})
