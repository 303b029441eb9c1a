"""What came of a sweep: each run and each point against the base model and against the best, by the gate's bootstrap.

Every model answered the same pairs; figures are fractions, gains differences of CGF1 with the bounds of a paired
bootstrap over scenes. A point's figures are means over its seeds.
"""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from toolbox.training_effects import idle, set_by
from toolbox.training_settings import SETTABLE
from training.cgf1 import PairCounts
from training.config import Config, Values
from training.redrawing import Gain, redrawn_mean_gain
from training.sweep.asked import Point, Run, Sweep

FIGURES = ("cgf1", "pmf1", "il_mcc", "il_fpr")
SEED = 0  # of the bootstrap: the same draws for every comparison


@dataclass(frozen=True)
class JudgedModel:
    """One model's answers on the split, as counts, and the figures that follow."""

    counts: PairCounts
    images: list[str]
    scenes: list[str]
    figures: dict[str, float]


def judged_model(folder: Path) -> JudgedModel:
    """What `evaluate` left there."""
    kept = folder / "rows.json"
    if not kept.is_file():
        kept = folder / "pairs.json"  # its name in sweeps that began before
    rows = json.loads(kept.read_text(encoding="utf-8"))
    summary = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["summary"]
    counts = PairCounts.of(*([row[key] for row in rows] for key in ("id", "instances", "predicted", "true_positives")))
    images, scenes = ([row[key] for row in rows] for key in ("image", "scene"))
    return JudgedModel(counts, images, scenes, {name: summary[name] for name in FIGURES})


@dataclass(frozen=True)
class Outcome:
    """How a run ended: done, refused, failed or unjudged, with the reason; kept_step 0: the base's own weights."""

    state: str
    message: str = ""
    kept_step: int | None = None
    judged: JudgedModel | None = None


class Results:
    """Of the runs that ended so far."""

    def __init__(self, sweep: Sweep, base: JudgedModel, outcomes: dict[str, Outcome]) -> None:
        self.sweep, self.base, self.outcomes = sweep, base, outcomes

    def judged(self, point: Point) -> list[JudgedModel]:
        found = (self.outcomes.get(run.name) for run in point.runs)
        return [outcome.judged for outcome in found if outcome and outcome.judged]

    def is_whole(self, point: Point) -> bool:
        return len(self.judged(point)) == len(point.runs)

    def cgf1(self, point: Point) -> float:
        return statistics.fmean(model.figures["cgf1"] for model in self.judged(point))

    def best_point(self) -> Point | None:
        """By mean CGF1, the first of equals. One that lacks a seed is compared only with its like."""
        begun = [point for point in self.sweep.points if self.judged(point)]
        whole = [point for point in begun if self.is_whole(point)]
        return max(whole or begun, key=self.cgf1, default=None)

    def gain(self, over: list[JudgedModel], models: list[JudgedModel]) -> Gain:
        sides = [[model.counts for model in side] for side in (over, models)]
        _, scene_P = np.unique(np.asarray(self.base.scenes), return_inverse=True)
        return redrawn_mean_gain(sides[0], sides[1], scene_P, self.sweep.policy, SEED)

    @cached_property
    def plain(self) -> dict[str, Any]:
        """sweep.json: docs/contracts.md."""
        best, policy = self.best_point(), self.sweep.policy
        counts = self.base.counts
        positives = int(counts.is_positive_P.sum())
        return {
            "split": self.sweep.split,
            "pairs": len(counts),
            "positives": positives,
            "negatives": len(counts) - positives,
            "images": len(set(self.base.images)),
            "bootstrap": {"rounds": policy.bootstrap, "confidence": policy.confidence},
            "keys": list(self.sweep.keys),
            "seeds": list(self.sweep.seeds),
            "runs_asked": len(self.sweep.runs),
            "runs_done": sum(outcome.judged is not None for outcome in self.outcomes.values()),
            "base": self.base.figures,
            "points": [self._point(point, best) for point in self.sweep.points],
            "runs": [self._run(run) for run in self.sweep.runs],
            "best": best.name if best else None,
            "retrain": retrain_settings(best.runs[0].config) if best else None,
            "sentences": list(self._sentences(best)),
        }

    def _point(self, point: Point, best: Point | None) -> dict[str, Any]:
        row: dict[str, Any] = {"name": point.name, "values": point.values, "seeds": len(self.judged(point))}
        models = self.judged(point)
        if not models or best is None:
            return row
        row |= {name: statistics.fmean(model.figures[name] for model in models) for name in FIGURES}
        row["cgf1_spread"] = statistics.stdev(model.figures["cgf1"] for model in models) if len(models) > 1 else None
        row["over_base"] = _plain(self.gain([self.base], models))
        row["over_best"] = None if point is best else _plain(self.gain(self.judged(best), models))
        return row

    def _run(self, run: Run) -> dict[str, Any]:
        row: dict[str, Any] = {"name": run.name, "seed": run.seed, "state": "waiting", "message": ""}
        outcome = self.outcomes.get(run.name)
        if outcome is None:
            return row
        row |= {"state": outcome.state, "message": outcome.message}
        if outcome.judged:
            row |= {"kept_step": outcome.kept_step, **outcome.judged.figures}
            row["over_base"] = _plain(self.gain([self.base], [outcome.judged]))
        return row

    def _sentences(self, best: Point | None) -> list[str]:
        """What may be concluded, and what not."""
        if best is None:
            return ["No run was judged."]
        row = self._point(best, best)
        gain = row["over_base"]
        sure = "it is above 0" if gain["low"] > 0 else "it may be chance"
        told = [
            f"Best is {best.name}: CGF1 {100 * row['cgf1']:.1f}, {100 * gain['delta']:+.1f} points over the base model "
            f"({100 * gain['low']:+.1f} to {100 * gain['high']:+.1f}: {sure})."
        ]
        if equals := self._as_good(best):
            words = f"Of {equals} others it cannot be said that they are worse" if equals > 1 else ""
            told.append(
                f"{words or 'Of one other it cannot be said that it is worse'} (the interval against it holds 0)."
            )
        for point in self._ahead(best):
            seeds = f"{len(self.judged(point))} of {len(point.runs)} seeds"
            told.append(
                f"{point.name} has a higher mean, with {seeds}: mend what broke and run the same command again."
            )
        told.append(
            f"It was chosen on the pairs that it is judged on here, the best of {len(self.sweep.points)}: its gain is "
            "flattered. The gate judges it on the holdout."
        )
        return told

    def _ahead(self, best: Point) -> list[Point]:
        """Higher, but with fewer seeds than were asked for."""
        others = [point for point in self.sweep.points if self.judged(point) and not self.is_whole(point)]
        return [point for point in others if self.is_whole(best) and self.cgf1(point) > self.cgf1(best)]

    def _as_good(self, best: Point) -> int:
        others = [point for point in self.sweep.points if point is not best and self.judged(point)]
        return sum(self.gain(self.judged(best), self.judged(point)).high >= 0 for point in others)


def _plain(gain: Gain) -> dict[str, float]:
    return {"delta": gain.delta, "low": gain.low, "high": gain.high}


def retrain_settings(config: Config) -> Values:
    """What `manage.py retrain --set` is given for the same training: what differs from the recipe as it stands."""
    sets = set_by(config.recipe)
    values = {name: getattr(config, name) for name in SETTABLE}
    if values["minutes"] is not None and values["steps"] is None:
        sets["steps"] = None  # a run that is told its minutes has no steps unless they are given
    changed = {name: value for name, value in values.items() if value != sets[name] and not idle(values, sets, {name})}
    return {"recipe": config.recipe, **changed}
