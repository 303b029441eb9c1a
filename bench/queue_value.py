"""Queue value: what each way to order the queue finds of a model's errors in a minute of a person. Nothing is trained.

    .venv/bin/python -m bench.queue_value [--seeds 3] [--budget 300] [--write]

The world: drawn barn scenes as a feed has them, 120 easy and 40 hard ones that come once, and 24 scenes of fixed
cameras (a quarter of them hard) that come 8 times with other light and noise; the shipped demo model looks for
chickens. A signal orders this pool, a person settles it in that order until the budget is spent. Two figures a minute:

- *settled*: the model's errors on the pairs looked at: false and missed instances (IoU 0.5), and a wrong presence;
- *reached*: those and the errors of all pairs of the pool that look like them, each counted once.

A person's seconds use the truth and the public figures of annotator/queue/prices.py: 6 s to verify that nothing is
there, 3 s a proposal, 6 s an object that no proposal shows.
"""

import argparse
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from annotator.queue.acquisition import BY_DOUBT, BY_VALUE, Candidate, Thresholds, choose, directions_of
from annotator.queue.likeness import SIMILAR
from annotator.queue.prices import PROPOSED, PUBLIC, price
from annotator.queue.worth import entropy_bits, gain, mask_doubt, objects_in_doubt
from training.demo.scenes import draw_scene

SHIPPED = Path(__file__).resolve().parent.parent / "mlbackend" / "weights" / "demo"
RESULTS = Path(__file__).resolve().parent / "results" / "queue_value.json"
CONCEPT = "chicken"
ONCE = {"easy": 120, "hard": 40}
CAMERAS, FRAMES = {"easy": 18, "hard": 6}, 8
THRESHOLDS = {"presence_low": 0.4, "presence_high": 0.6, "stability_below": 0.5}  # a new project's


@dataclass(frozen=True)
class Seen:
    """One pair: what the model says, also of the mirrored picture, how often it is wrong, what settling it takes."""

    candidate: Candidate
    mirrored_presence: float
    errors: int
    seconds: float


def pictures(seed: int) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
    """(pixels, masks of the concept)."""
    number, rng = 8_000_000 + seed * 10_000, np.random.default_rng(seed)
    for kinds, frames in ((ONCE, 1), (CAMERAS, FRAMES)):
        for domain, count in kinds.items():
            for _ in range(count):
                scene = draw_scene(number, domain)
                number += 1
                truth = [mask for concept, mask in scene.instances if concept == CONCEPT]
                for _ in range(frames):
                    yield _frame(scene.image_HWC, rng), truth


def _frame(image_HWC: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    light, noise = rng.uniform(0.92, 1.08), rng.normal(0, 3, image_HWC.shape)
    return np.clip(image_HWC * light + noise, 0, 255).astype(np.uint8)


def look(seed: int) -> list[Seen]:
    from mlbackend.model.loader import LoadOptions, load_predictor

    predictor = load_predictor(SHIPPED, LoadOptions())
    rows = []
    for number, (image_HWC, truth) in enumerate(pictures(seed)):
        size_hw = image_HWC.shape[:2]
        tokens, found = _asked(predictor, image_HWC)
        _, mirrored = _asked(predictor, np.ascontiguousarray(image_HWC[:, ::-1]))
        stabilities = [one.stability for one in found.instances if one.query_score >= PROPOSED]
        scores = tuple(one.query_score for one in found.instances)
        feature = predictor.feature(tokens)
        one = Candidate(number, CONCEPT, found.presence, min(stabilities, default=None), feature, scores=scores)
        rows.append(Seen(one, mirrored.presence, *_against(found, truth, size_hw)))
    return rows


def _asked(predictor: Any, image_HWC: np.ndarray) -> tuple[Any, Any]:
    """(tokens, what is found)."""
    height, width = image_HWC.shape[:2]
    tokens = predictor.encode(predictor.preprocess(image_HWC)[None], [(width, height)])[0]
    return tokens, predictor.detect(tokens, [CONCEPT], score_threshold=0.3)[0]


def _against(found: Any, truth: list[np.ndarray], size_hw: tuple[int, int]) -> tuple[int, float]:
    """(errors: missed and false instances and a wrong presence, a person's seconds)."""
    masks = [_mask(one.mask_logits_hw, size_hw) for one in found.instances]
    given = [mask for one, mask in zip(found.instances, masks, strict=True) if one.score >= PROPOSED]
    right = _matched(given, truth)
    errors = len(truth) + len(given) - 2 * right + ((found.presence >= PROPOSED) != bool(truth))
    if not truth:
        return errors, PUBLIC.absent_seconds
    # What the desk shows is chosen by the query's own score.
    shown = [mask for one, mask in zip(found.instances, masks, strict=True) if one.query_score >= PROPOSED]
    missed = len(truth) - _matched(shown, truth)
    return errors, len(shown) * PUBLIC.check_seconds + missed * PUBLIC.click_seconds


def _mask(logits: Any, size_hw: tuple[int, int]) -> np.ndarray:
    from mlbackend.model.logits import logits_to_wire
    from mlbackend.model.masks import decode_wire_mask

    return decode_wire_mask(logits_to_wire(logits, height_px=size_hw[0], width_px=size_hw[1]))


def _matched(shown: list[np.ndarray], truth: list[np.ndarray]) -> int:
    if not shown or not truth:
        return 0
    ious = np.array([[(a & b).sum() / (a | b).sum() for b in truth] for a in map(lambda m: m.astype(bool), shown)])
    rows, columns = linear_sum_assignment(-ious)
    return int((ious[rows, columns] >= 0.5).sum())


Signal = Callable[[Candidate, float], float]  # a candidate, and how many look like it


def _gain(one: Candidate) -> float:
    limit = THRESHOLDS["stability_below"]
    return gain(
        presence=one.presence,
        scores=one.scores,
        stability=one.min_stability,
        stability_below=limit,
        apart=0,
    )


SIGNALS: dict[str, Signal] = {
    "nearness to 0.5": lambda one, _: -abs(one.presence - 0.5),
    "entropy of presence": lambda one, _: entropy_bits(one.presence),
    "objects in doubt": lambda one, _: objects_in_doubt(one.scores),
    "mask doubt": lambda one, _: mask_doubt(one.min_stability, THRESHOLDS["stability_below"]),
    "representativeness": lambda one, alike: alike,
    "cheapness": lambda one, _: -price(one.presence, one.scores),
    "gain": lambda one, _: _gain(one),
    "gain per second": lambda one, _: _gain(one) / price(one.presence, one.scores),
    "gain per second x representativeness": lambda one, alike: (
        _gain(one) * (1 + np.log2(alike)) / price(one.presence, one.scores)
    ),
}


def orders(rows: list[Seen], units: np.ndarray, seed: int) -> dict[str, list[int]]:
    """Signal -> the pool's places, first to last."""
    pool, rng = [row.candidate for row in rows], np.random.default_rng(seed)
    alike = (units @ units.T > SIMILAR).sum(1)
    shuffled = rng.permutation(len(pool))  # equals in random order
    found = {"random": shuffled.tolist()}
    for name, signal in SIGNALS.items():
        found[name] = sorted(shuffled.tolist(), key=lambda place: -signal(pool[place], alike[place]))
    apart = [abs(row.mirrored_presence - row.candidate.presence) for row in rows]
    found["disagreement with the mirrored picture"] = sorted(shuffled.tolist(), key=lambda place: -apart[place])
    doubt = np.array([one.presence * (1 - one.presence) for one in pool])[:, None]
    found["gradient k-means++ (BADGE)"] = _spread_out(units * doubt, rng)
    found["k-center"] = _farthest(units)
    found["half gain per second, half k-center"] = _in_turns(found["gain per second"], found["k-center"])
    for rank_by in (BY_DOUBT, BY_VALUE):
        thresholds = Thresholds(**THRESHOLDS, audit_share=0.0, batch=len(pool), rank_by=rank_by)
        found[f"the queue, by {rank_by}"] = [one.pair_id for one in choose(pool, thresholds, seed=seed)]
    return found


def _spread_out(rows: np.ndarray, rng: np.random.Generator) -> list[int]:
    """k-means++ seeding to the last row: each drawn by its squared distance from those before it."""
    order = [int(np.square(rows).sum(1).argmax())]
    nearest = np.square(rows - rows[order[0]]).sum(1).astype(float)
    while len(order) < len(rows):
        nearest[order] = 0
        left = nearest if nearest.sum() > 0 else np.isin(np.arange(len(rows)), order, invert=True).astype(float)
        order.append(int(rng.choice(len(rows), p=left / left.sum())))
        nearest = np.minimum(nearest, np.square(rows - rows[order[-1]]).sum(1))
    return order


def _farthest(rows: np.ndarray) -> list[int]:
    order = [int(np.square(rows - rows.mean(0)).sum(1).argmin())]
    nearest = np.square(rows - rows[order[0]]).sum(1)
    while len(order) < len(rows):
        nearest[order] = -1
        order.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, np.square(rows - rows[order[-1]]).sum(1))
    return order


def _in_turns(first: list[int], second: list[int]) -> list[int]:
    return list(dict.fromkeys(place for both in zip(first, second, strict=True) for place in both))


def worth(order: list[int], rows: list[Seen], units: np.ndarray, budget: float) -> dict[str, float]:
    """What a person finds in `budget` seconds, a minute."""
    spent, settled, reached = 0.0, 0, np.zeros(len(rows), bool)
    taken = 0
    for place in order:
        if spent >= budget:
            break
        spent, settled, taken = spent + rows[place].seconds, settled + rows[place].errors, taken + 1
        reached |= units @ units[place] > SIMILAR
        reached[place] = True
    errors = np.array([row.errors for row in rows])
    return {"settled": 60 * settled / spent, "reached": 60 * float(errors[reached].sum()) / spent, "pairs": taken}


def measure(seed: int, budget: float) -> dict[str, dict[str, float]]:
    rows = look(seed)
    towards = directions_of([row.candidate for row in rows])
    units = np.stack([towards[row.candidate.pair_id] for row in rows])
    wrong = sum(row.errors > 0 for row in rows)
    print(f"seed {seed}: {len(rows)} pairs, {sum(row.errors for row in rows)} errors on {wrong} of them", flush=True)
    return {name: worth(order, rows, units, budget) for name, order in orders(rows, units, seed).items()}


def summary(found: list[dict[str, dict[str, float]]]) -> list[dict[str, Any]]:
    """Means over seeds, and the standard error of each difference from random order on the same pools."""
    table = []
    for name in found[0]:
        row: dict[str, Any] = {"signal": name, "pairs": round(float(np.mean([one[name]["pairs"] for one in found])), 1)}
        for figure in ("settled", "reached"):
            values = np.array([one[name][figure] for one in found])
            gains = values - np.array([one["random"][figure] for one in found])
            error = gains.std(ddof=1) / len(gains) ** 0.5 if len(gains) > 1 else None
            row[figure] = round(float(values.mean()), 2)
            row[f"{figure}_over_random"] = round(float(gains.mean()), 2)
            row[f"{figure}_over_random_error"] = None if error is None else round(float(error), 2)
        table.append(row)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--budget", type=float, default=300.0)
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    table = summary([measure(seed, asked.budget) for seed in range(asked.seeds)])
    for row in sorted(table, key=lambda row: -row["settled"]):
        figures = f"{row['settled']:5.2f} settled, {row['reached']:6.2f} reached a minute"
        print(f"{row['signal']:>40}: {figures}, {row['pairs']} pairs")
    if asked.write:
        found = {"hardware": f"{os.cpu_count()} CPU cores", "seeds": asked.seeds, "budget_seconds": asked.budget}
        RESULTS.write_text(json.dumps(found | {"table": table}, indent=1) + "\n")


if __name__ == "__main__":
    main()
