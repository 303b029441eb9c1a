"""How often does the gate promote what is no better, and how often what is? Simulated with the product's own decision.

    .venv/bin/python -m bench.gate_errors [--rounds 400] [--write]

A holdout is drawn anew each round: half of its scenes show the thing (1 to 4 instances), half do not; a scene has 1 or
10 frames that are alike. Each model answers by a chance of its own and one that both share, since both find the same
scenes hard. The champion's CGF1 is about 55 and it fires on 15 of 1,000 negatives. A better challenger draws better
masks; one with "tripled alarms" fires on 45. "Twenty looks": twenty challengers as good as the champion meet one
holdout, each told how many came before; counted is whether any of them is promoted.

--write keeps bench/results/gate_errors.json and puts the table into docs/training.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import stats

from bench.few_labels import REPOSITORY
from bench.few_labels_report import put_table
from toolbox.cgf1_sums import cgf1_of_sums
from toolbox.gate_policy import Policy
from training.cgf1 import IOU_THRESHOLDS, PairCounts, sums_of
from training.errors import Refused
from training.gate import Asked, Judged, decide

RESULT = REPOSITORY / "bench" / "results" / "gate_errors.json"
PAIRS = (50, 200, 300, 1000, 3000)
GAINS = (0, 1, 2, 5, 10)
SHARED, FRAME = 0.9, 0.1  # how much of what is hard is hard for both; how much frames of a scene differ
RECALL, ALARMS, QUALITY = 0.9, 0.015, 0.7
POLICY = Policy()


@dataclass(frozen=True)
class Skill:
    """quality: the share of the IoU thresholds that a usual mask reaches."""

    quality: float = QUALITY
    alarms: float = ALARMS


@dataclass(frozen=True)
class Scenes:
    """A holdout's scenes; `hard_S` is what both models share."""

    scene_P: np.ndarray
    instances_P: np.ndarray
    hard_S: np.ndarray

    @classmethod
    def drawn(cls, rng: np.random.Generator, pairs: int, frames: int) -> Scenes:
        scenes = max(2, pairs // frames)
        scene_P = np.arange(pairs) % scenes
        instances_S = np.where(np.arange(scenes) % 2, 0, rng.integers(1, 5, scenes))
        return cls(scene_P, instances_S[scene_P], rng.normal(size=scenes))

    @property
    def asked(self) -> Asked:
        return Asked([str(scene) for scene in self.scene_P], ["chicken"] * len(self.scene_P))

    def answered(self, rng: np.random.Generator, skill: Skill) -> Judged:
        """What a model of this skill finds, drawn anew."""
        pairs = len(self.scene_P)
        own_S = np.sqrt(SHARED) * self.hard_S + np.sqrt(1 - SHARED) * rng.normal(size=len(self.hard_S))
        ease_P = (own_S[self.scene_P] + FRAME * rng.normal(size=pairs)) / np.sqrt(1 + FRAME**2)
        positive_P = self.instances_P > 0
        fires_P = ease_P > stats.norm.isf(np.where(positive_P, RECALL, skill.alarms))
        found_P = rng.binomial(self.instances_P, 0.55 + 0.45 * stats.norm.cdf(ease_P))
        found_P = np.where(fires_P & positive_P, np.maximum(found_P, 1), 0)
        reached_P = np.round(10 * np.clip(skill.quality + 0.18 * ease_P + 0.05 * rng.normal(size=pairs), 0, 1))
        hits_PT = found_P[:, None] * (np.arange(len(IOU_THRESHOLDS)) < reached_P[:, None])
        more_P = np.where(positive_P, found_P + rng.binomial(1, 0.15, pairs), 1)
        counts = PairCounts(list(range(pairs)), self.instances_P, np.where(fires_P, more_P, 0), hits_PT)
        return Judged(counts, stats.norm.cdf(ease_P))


def quality_for(points: float) -> float:
    """The quality that raises CGF1 by so many points, found on a large drawn holdout."""
    scenes = Scenes.drawn(np.random.default_rng(7), 100_000, 1)
    figures = [_cgf1(scenes.answered(np.random.default_rng(8), Skill(quality))) for quality in (QUALITY, QUALITY + 0.1)]
    return QUALITY + 0.1 * points / (100 * (figures[1] - figures[0]))


def _cgf1(judged: Judged) -> float:
    return float(cgf1_of_sums(sums_of(judged.counts).sum(axis=0, keepdims=True))[0])


def decisions(pairs: int, frames: int, skill: Skill, rounds: int) -> Iterator[str]:
    for number in range(rounds):
        rng = np.random.default_rng([pairs, frames, number])
        scenes = Scenes.drawn(rng, pairs, frames)
        yield decided(scenes, scenes.answered(rng, Skill()), scenes.answered(rng, skill))


def decided(scenes: Scenes, champion: Judged, challenger: Judged, looks: int = 0) -> str:
    try:
        return decide(champion, challenger, scenes.asked, POLICY, looks=looks)["decision"]
    except Refused as refused:
        return refused.code


def any_of_twenty(pairs: int, frames: int, rounds: int) -> Iterator[str]:
    for number in range(rounds):
        rng = np.random.default_rng([pairs, frames, number, 20])
        scenes = Scenes.drawn(rng, pairs, frames)
        champion = scenes.answered(rng, Skill())
        found = (decided(scenes, champion, scenes.answered(rng, Skill()), looks) for looks in range(20))
        yield "promote" if "promote" in found else "none"


def cell(name: str, pairs: int, frames: int, found: Sequence[str]) -> dict[str, Any]:
    row = {"what": name, "pairs": pairs, "frames": frames, "rounds": len(found)}
    row |= {word: found.count(word) for word in sorted(set(found))}
    print(row, flush=True)
    return row


def measure(rounds: int) -> list[dict[str, Any]]:
    rows = []
    skills = {f"+{gain}": Skill(quality_for(gain)) for gain in GAINS}
    skills |= {"+5, alarms tripled": Skill(quality_for(5), alarms=3 * ALARMS)}
    for pairs in PAIRS:
        for frames in (1, 10):
            for name, skill in skills.items():
                if frames == 1 or name == "+0":
                    rows.append(cell(name, pairs, frames, list(decisions(pairs, frames, skill, rounds))))
    for pairs, frames in ((300, 1), (1000, 1), (1000, 10)):
        rows.append(cell("twenty looks", pairs, frames, list(any_of_twenty(pairs, frames, max(20, rounds // 4)))))
    return rows


def table(rows: Sequence[dict[str, Any]]) -> list[str]:
    names = list(dict.fromkeys((row["what"], row["frames"]) for row in rows))
    heads = [f"{what}{'' if frames == 1 else f', {frames} frames a scene'}" for what, frames in names]
    lines = ["| pairs | " + " | ".join(heads) + " |", "| --- " * (len(heads) + 1) + "|"]
    for pairs in sorted({row["pairs"] for row in rows}):
        found = {(row["what"], row["frames"]): row for row in rows if row["pairs"] == pairs}
        lines.append(f"| {pairs} | " + " | ".join(_share(found.get(name)) for name in names) + " |")
    return lines


def _share(row: dict[str, Any] | None) -> str:
    if row is None:
        return ""
    if row.get("too_few_scenes") == row["rounds"]:
        return "refused"
    return f"{100 * row.get('promote', 0) / row['rounds']:.1f} %"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=400)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    rows = measure(options.rounds)
    print("\n".join(table(rows)))
    if options.write:
        RESULT.write_text(json.dumps({"policy": asdict(POLICY), "rows": rows}, indent=1) + "\n")
        put_table(REPOSITORY / "docs" / "training.md", "gate_errors", table(rows))


if __name__ == "__main__":
    main()
