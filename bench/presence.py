"""What presence and stability are worth: calibration error before and after a temperature, good outlines from bad ones.

    .venv/bin/python -m bench.presence [--scenes 250]

The shipped demo model is asked for every concept on drawn scenes that nothing else reads, half easy and half hard. A
temperature is fitted on the first half of them, as the trainer does on `val`; both errors are of the second half.
Stability is measured as it is, as it was (fixed thresholds, logits +1 and -1), and with all logits made ten times
smaller, as another network may have them: chance that a good outline (IoU of 0.9 or more) is more stable than a bad one
(below 0.7), and how many of each lie below the project's default limit. Prints tables and writes
bench/results/presence.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import rankdata

from mlbackend.model.loader import LoadOptions, load_predictor
from mlbackend.model.logits import stability
from mlbackend.model.predictor import Instance, Predictor
from training.demo.architecture import CONCEPTS
from training.demo.scenes import DOMAINS, Scene, draw_scene
from training.evaluate import full_mask
from training.measures.presence import calibration
from training.temperature import fitted_temperature

REPOSITORY = Path(__file__).resolve().parent.parent
SHIPPED = REPOSITORY / "mlbackend" / "weights" / "demo"
FIRST_SCENE = 7_600_000
GOOD_IOU, BAD_IOU = 0.9, 0.7
SHOWN_FROM = 0.5  # query score and presence: what the queue calls borderline is among these
LIMITS = {"own scale": 0.5, "fixed thresholds": 0.75}  # the defaults that went with each


@dataclass(frozen=True)
class Seen:
    """One concept asked of one scene; `outlines` are (mask logits, IoU with the best true mask)."""

    scene: int
    domain: str
    logit: float
    is_there: bool
    outlines: list[tuple[torch.Tensor, float]]


def looked_at(predictor: Predictor, scenes: int) -> Iterator[Seen]:
    for number in range(scenes):
        for domain in DOMAINS:
            yield from _looked_at(predictor, draw_scene(FIRST_SCENE + number, domain))


def _looked_at(predictor: Predictor, scene: Scene) -> Iterator[Seen]:
    height, width = scene.image_HWC.shape[:2]
    tokens = predictor.encode(predictor.preprocess(scene.image_HWC)[None], [(width, height)])[0]
    for found in predictor.detect(tokens, CONCEPTS, score_threshold=SHOWN_FROM):
        truth = [mask for concept, mask in scene.instances if concept == found.concept]
        shown = found.instances if found.presence >= SHOWN_FROM else []
        outlines = [(one.mask_logits_hw, _best_iou(one, truth)) for one in shown]
        logit = float(np.log(found.presence / (1 - found.presence)))
        yield Seen(scene.seed, scene.domain, logit, bool(truth), outlines)


def _best_iou(instance: Instance, truth: list[np.ndarray]) -> float:
    if not truth:
        return 0.0
    height, width = truth[0].shape
    mask = full_mask(instance.mask_logits_hw, height_px=height, width_px=width)
    return max(float((mask & one).sum() / (mask | one).sum()) for one in truth)


def presence_table(seen: list[Seen]) -> dict[str, Any]:
    """By domain and together; the temperature of each is fitted on its own first half of the scenes."""
    groups = {"all": seen, **{domain: [one for one in seen if one.domain == domain] for domain in DOMAINS}}
    return {name: _errors(rows) for name, rows in groups.items()}


def _errors(rows: list[Seen]) -> dict[str, Any]:
    middle = np.median([one.scene for one in rows])
    fitted = [one for one in rows if one.scene < middle]
    judged = [one for one in rows if one.scene >= middle]
    temperature = fitted_temperature(*_arrays(fitted))
    logits_P, positive_P = _arrays(judged)
    scene_P = np.array([one.scene for one in judged])
    found = {"pairs_fitted": len(fitted), "pairs_judged": len(judged), "temperature": temperature}
    for name, scale in (("before", 1.0), ("after", temperature)):
        told = calibration(1 / (1 + np.exp(-logits_P / scale)), positive_P, scene_P, seed=0)
        found[f"ece_{name}"] = [told[key] for key in ("ece", "ece_low", "ece_high")]
        found[f"band_{name}"] = _band(1 / (1 + np.exp(-logits_P / scale)), positive_P)
    return found


def _band(presence_P: np.ndarray, positive_P: np.ndarray) -> list[int]:
    """Of pairs in the band of doubt, how many hold the thing: [there, of]."""
    inside_P = (presence_P >= 0.4) & (presence_P <= 0.6)
    return [int(positive_P[inside_P].sum()), int(inside_P.sum())]


def _arrays(rows: list[Seen]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([one.logit for one in rows]), np.array([one.is_there for one in rows], dtype=bool)


def fixed_stability(logits_hw: torch.Tensor) -> float:
    """As it was: IoU of the mask at logits +1 and -1."""
    inner, outer = int((logits_hw > 1).sum()), int((logits_hw > -1).sum())
    return inner / outer if outer else 0.0


def stability_table(seen: list[Seen]) -> list[dict[str, Any]]:
    outlines = [one for pair in seen for one in pair.outlines]
    ways: dict[str, Callable[[torch.Tensor], float]] = {"own scale": stability, "fixed thresholds": fixed_stability}
    return [_told(name, way, times, outlines) for name, way in ways.items() for times in (1.0, 0.1)]


def _told(name: str, way: Callable[[torch.Tensor], float], times: float, outlines: list) -> dict[str, Any]:
    iou = np.array([overlap for _, overlap in outlines])
    value = np.array([way(times * logits) for logits, _ in outlines])
    good, bad = value[iou >= GOOD_IOU], value[iou < BAD_IOU]
    return {
        "measure": name,
        "logits_times": times,
        "good": len(good),
        "bad": len(bad),
        "auc": round(area_under_curve(good, bad), 4),
        "limit": LIMITS[name],
        "good_below": round(float((good < LIMITS[name]).mean()), 4),
        "bad_below": round(float((bad < LIMITS[name]).mean()), 4),
    }


def area_under_curve(good: np.ndarray, bad: np.ndarray) -> float:
    """Chance that one of the good has the larger value than one of the bad, a tie half (Mann and Whitney's U)."""
    ranks = rankdata(np.concatenate([good, bad]))[: len(good)]
    return float((ranks.sum() - len(good) * (len(good) + 1) / 2) / (len(good) * len(bad)))


def show(presence: dict[str, Any], outlines: list[dict[str, Any]]) -> None:
    print(f"{'scenes':>6} {'pairs':>6} {'T':>6} {'ECE before':>22} {'ECE after':>22} {'band before':>12} {'after':>8}")
    for name, row in presence.items():
        before, after = ("{:.3f} [{:.3f}, {:.3f}]".format(*row[f"ece_{one}"]) for one in ("before", "after"))
        bands = ("{} of {}".format(*row[f"band_{one}"]) for one in ("before", "after"))
        print(name.rjust(6), f"{row['pairs_judged']:>6} {row['temperature']:>6.3f} {before:>22} {after:>22}", *bands)
    print(f"\n{'stability':>16} {'logits x':>8} {'AUC':>6} {'limit':>6} {'good below':>10} {'bad below':>10}")
    for row in outlines:
        shares = f"{row['good_below']:>10.3f} {row['bad_below']:>10.3f}"
        print(f"{row['measure']:>16} {row['logits_times']:>8g} {row['auc']:>6.3f} {row['limit']:>6} {shares}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=250, help="of each kind")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    seen = list(looked_at(load_predictor(SHIPPED, LoadOptions(device="cpu")), asked.scenes))
    presence, outlines = presence_table(seen), stability_table(seen)
    show(presence, outlines)
    commit = ["git", "rev-parse", "--short", "HEAD"]
    told = {
        "hardware": f"{os.cpu_count()} CPU cores",
        "commit": subprocess.run(commit, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.strip(),
        "scenes_each": asked.scenes,
        "presence": presence,
        "stability": outlines,
    }
    (REPOSITORY / "bench" / "results" / "presence.json").write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
