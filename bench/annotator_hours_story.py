"""One arm's rounds in one world: mine with the model that serves, label, retrain, ask the gate, promote or not.

A round is one JSON file in the story's folder, written when all of it is done: a story goes on after the last of them,
and what a killed round left is thrown away. Trainer and gate are the product's commands with their defaults; the
judgement reads both holdouts, each decision on them is counted as a look, and "undecided" promotes nothing.
"""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import shutil
import subprocess
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from annotator.operations.loop.oracle import Point
from annotator.queue.acquisition import BY_DOUBT, Candidate, Thresholds, choose
from bench.feed import CONCEPT, Frame, World
from bench.few_labels import DEMO, REPOSITORY, trainer, use_django
from bench.person import Answer, ClickModel, Work, at_the_desk, by_clicks
from toolbox.files import write_json
from training import masks

if TYPE_CHECKING:
    from mlbackend.model.predictor import Predictor

SIZE_PX = 224
MINED = 0.3  # query score from which mining is told of an instance
PROPOSED = 0.5  # query score from which the desk proposes an instance, and mining reads its stability
TOGETHER = 8
VAL_ONE_IN = 7
FIGURES = ("cgf1", "pmf1", "il_mcc", "il_fpr")

ELSEWHERE, RANDOM, QUEUE, DOUBT, ALL = "elsewhere", "random", "queue", "doubt", "all"
RULES = ("band", "borderline", "nearest")
ARMS = (QUEUE, RANDOM, ELSEWHERE, DOUBT, *RULES, ALL)
# Elsewhere labels what random order labels, and learns by the same training: only the hours differ.
STORY_OF = {ELSEWHERE: RANDOM}


@dataclass(frozen=True)
class Plan:
    """`budget`: labels a round. `settings`: of the trainer, otherwise than a retrain has them; none in a real run."""

    seed: int
    rounds: int = 4
    budget: int = 30
    is_shuffled: bool = False
    settings: tuple[str, ...] = ()


@dataclass
class Labelled:
    """The frames of one round, and the masks that were accepted on each."""

    frames: list[Frame] = field(default_factory=list)
    accepted: list[list[masks.Rle]] = field(default_factory=list)


def thresholds(budget: int, **changed: Any) -> Thresholds:
    """A new project's."""
    from annotator.models import Project

    names = [one.name for one in dataclasses.fields(Thresholds) if one.name != "batch"]
    usual = {name: Project._meta.get_field(name).get_default() for name in names}
    return Thresholds(**{**usual, **changed}, batch=budget)


def thresholds_of(arm: str, budget: int) -> Thresholds:
    """The queue's, by gain per second or by doubt, or those by which one rule alone has everything: no audit, and no
    other reason that holds."""
    if arm == QUEUE:
        return thresholds(budget)
    if arm == DOUBT:
        return thresholds(budget, rank_by=BY_DOUBT)
    empty_band = {"presence_high": -1.0}
    alone: dict[str, dict[str, float]] = {
        "band": {"weight_band": 1.0},
        "borderline": {**empty_band, "weight_borderline": 1.0},
        "nearest": {**empty_band, "stability_below": 0.0, "weight_fill": 1.0},
    }
    weights = dict.fromkeys(("weight_band", "weight_disagreement", "weight_borderline", "weight_fill"), 0.0)
    return thresholds(budget, **{**weights, "audit_share": 0.0, "rank_by": BY_DOUBT, **alone[arm]})


def chosen(
    arm: str, budget: int, candidates: Sequence[Candidate], *, seed: int, answered: Sequence[Candidate] = ()
) -> list[int]:
    """Places of the frames that this arm labels in this round."""
    if arm == ALL:
        return [one.pair_id for one in candidates]
    if arm == RANDOM:
        places = [one.pair_id for one in candidates]
        count = min(budget, len(places))
        return [places[i] for i in np.random.default_rng(seed).choice(len(places), count, replace=False)]
    found = choose(candidates, thresholds_of(arm, budget), seed=seed, answered=answered)
    return [one.pair_id for one in found]


class Eyes:
    """A model as mining and the desk see it. `tokens` outlive it: no version here has another ViT."""

    def __init__(self, model: Path, images: Path, tokens: dict[str, Any]) -> None:
        import torch

        from mlbackend.model.loader import LoadOptions, load_predictor

        torch.set_num_threads(1)  # as the trainer: threads that wait for one another cost more where others work too
        self.images, self.tokens = images, tokens
        self.predictor: Predictor = load_predictor(model, LoadOptions())

    def encode(self, frames: Iterable[Frame]) -> None:
        import torch

        new = [frame.sha256 for frame in frames if frame.sha256 not in self.tokens]
        for start in range(0, len(new), TOGETHER):
            some = new[start : start + TOGETHER]
            pixels = torch.stack([self.predictor.preprocess(self._picture(sha256)) for sha256 in some])
            self.tokens.update(zip(some, self.predictor.encode(pixels, [(SIZE_PX, SIZE_PX)] * len(some)), strict=True))

    def _picture(self, sha256: str) -> np.ndarray:
        return np.array(Image.open(self.images / sha256[:2] / sha256).convert("RGB"))

    def candidates(self, frames: Sequence[Frame], places: Sequence[int]) -> list[Candidate]:
        self.encode(frames[place] for place in places)
        rows = []
        for start in range(0, len(places), TOGETHER):
            some = places[start : start + TOGETHER]
            tokens = [self.tokens[frames[place].sha256] for place in some]
            found = self.predictor.detect_each(tokens, [CONCEPT], score_threshold=MINED)
            scenes = [frames[place].scene for place in some]
            rows += [self._candidate(*one) for one in zip(some, scenes, tokens, found, strict=True)]
        return rows

    def _candidate(self, place: int, scene: str, tokens: Any, found: list[Any]) -> Candidate:
        (one,) = found
        scores = tuple(instance.query_score for instance in one.instances)
        stabilities = [instance.stability for instance in one.instances if instance.query_score >= PROPOSED]
        feature = self.predictor.feature(tokens)
        stability = min(stabilities, default=None)
        return Candidate(place, CONCEPT, one.presence, stability, feature, scores=scores, scene=scene)

    def proposals(self, frame: Frame) -> list[np.ndarray]:
        (found,) = self.predictor.detect(self.tokens[frame.sha256], [CONCEPT], score_threshold=PROPOSED)
        return [_full_size(one.mask_logits_hw) for one in found.instances]

    def clicker(self, frame: Frame) -> Callable[[], ClickModel]:
        """For each object a click model of its own, which feeds its last mask back as the desk does."""
        from mlbackend.model.predictor import Prompt
        from mlbackend.model.prompts import Point as WirePoint

        features = self.predictor.click_features(self.tokens[frame.sha256])

        def begin() -> ClickModel:
            earlier: list[Any] = [None]

            def click(points: Sequence[Point]) -> np.ndarray:
                prompts = tuple(WirePoint(point.x, point.y, point.label) for point in points)
                best = self.predictor.click([Prompt(features, prompts, None, earlier[0])])[0][0]
                earlier[0] = best.mask_logits_hw
                return _full_size(best.mask_logits_hw)

            return click

        return begin


def _full_size(logits_hw: Any) -> np.ndarray:
    from mlbackend.model.logits import logits_to_wire
    from mlbackend.model.masks import decode_wire_mask

    return decode_wire_mask(logits_to_wire(logits_hw, height_px=SIZE_PX, width_px=SIZE_PX))


@cache
def surroundings() -> dict[str, Any]:
    """Read once: what was there when the process began is what runs."""
    described = ["git", "describe", "--always", "--dirty"]
    commit = subprocess.run(described, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.strip()
    named = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    cpu = named[0].partition(": ")[2] if named else platform.machine()
    return {"commit": commit, "cpu": cpu, "cores": os.cpu_count()}


def truth_of(frame: Frame) -> list[np.ndarray]:
    return [masks.decode_rle(rle, height_px=SIZE_PX, width_px=SIZE_PX) for rle in frame.truth]


def shuffled(accepted: Sequence[list[masks.Rle]], seed: list[int]) -> list[list[masks.Rle]]:
    """The negative control: each answer lies at another frame, but for those that chance leaves."""
    return [accepted[place] for place in np.random.default_rng(seed).permutation(len(accepted))]


class Story:
    """One arm (random order has two prices) of one seed. `tokens` may be shared by the stories of a world."""

    def __init__(self, folder: Path, world: World, arm: str, plan: Plan, tokens: dict[str, Any]) -> None:
        self.folder, self.world, self.arm, self.plan, self.tokens = folder, world, arm, plan, tokens
        self.frames = [frame for row in world.pool for frame in row]

    def file(self, number: int) -> Path:
        return self.folder / f"round-{number}.json"

    @property
    def done(self) -> list[dict[str, Any]]:
        """The finished rounds, from the first on."""
        rows: list[dict[str, Any]] = []
        while self.file(len(rows) + 1).exists():
            rows.append(json.loads(self.file(len(rows) + 1).read_text()))
        return rows

    def go_on(self, say: Callable[[dict[str, Any]], None]) -> None:
        """The rounds that are missing. SystemExit where the story was begun by another plan."""
        asked = json.loads(json.dumps(dataclasses.asdict(self.plan)))
        plan = self.folder / "plan.json"
        if not plan.exists():
            write_json(plan, asked)
        if (begun := json.loads(plan.read_text())) != asked:
            raise SystemExit(f"{self.folder} was begun with {begun}, not {asked}: name another folder.")
        use_django(self.folder)
        for number in range(len(self.done) + 1, self.plan.rounds + 1):
            write_json(self.file(number), row := _Round(self, number).row())
            say(row)


class _Round:
    def __init__(self, story: Story, number: int) -> None:
        self.story, self.number, self.before = story, number, story.done
        self.home = story.folder / f"round-{number}"
        serving = self.before[-1]["serving"] if self.before else None
        self.serving = story.folder / serving if serving else DEMO

    @cached_property
    def eyes(self) -> Eyes:
        return Eyes(self.serving, self.story.world.images, self.story.tokens)

    def row(self) -> dict[str, Any]:
        """All that is kept of this round."""
        began = time.monotonic()
        shutil.rmtree(self.home, ignore_errors=True)
        places = self._choose()
        fresh, work = self._label(places)
        gate = self._train_and_judge([*self._labelled(), fresh])
        is_promoted = gate["decision"] == "promote"
        model = f"round-{self.number}/train/model"
        self._tidy(keep_model=is_promoted)
        frames = [self.story.frames[place] for place in places]
        return {
            "arm": self.story.arm,
            "seed": self.story.plan.seed,
            "round": self.number,
            "shuffled": self.story.plan.is_shuffled,
            "places": places,
            "accepted": fresh.accepted,
            "work": {name: dataclasses.asdict(one) for name, one in work.items()},
            "positives": sum(bool(frame.truth) for frame in frames),
            "tail": sum(frame.is_tail for frame in frames),
            "scenes": len({frame.scene for frame in frames}),
            "decision": gate["decision"],
            "reasons": gate["reasons"],
            "before": _figures(gate["champion"]),
            "trained": _figures(gate["challenger"]),
            "served": _figures(gate["challenger" if is_promoted else "champion"]),
            "mined_by": str(self.serving.relative_to(self.story.folder)) if self.before_serving else None,
            "serving": model if is_promoted else self.before_serving,
            "wall_seconds": round(time.monotonic() - began, 1),
            "load": round(os.getloadavg()[0], 2),
            **surroundings(),
        }

    @property
    def before_serving(self) -> str | None:
        return self.before[-1]["serving"] if self.before else None

    def _labelled(self) -> list[Labelled]:
        frames = self.story.frames
        return [Labelled([frames[place] for place in row["places"]], row["accepted"]) for row in self.before]

    def _choose(self) -> list[int]:
        """From all frames that have come so far and were not labelled."""
        taken = {place for row in self.before for place in row["places"]}
        here = sum(len(row) for row in self.story.world.pool[: self.number])
        left = [place for place in range(here) if place not in taken]
        seed = self.story.plan.seed * 1000 + self.number
        if self.story.arm in (RANDOM, ALL):
            blank = [Candidate(place, CONCEPT, 0.5, None) for place in left]
            return chosen(self.story.arm, self.story.plan.budget, blank, seed=seed)
        # What was labelled since this version serves has taught it nothing yet.
        unlearnt = [place for row in self.before if row["mined_by"] == self.before_serving for place in row["places"]]
        candidates = self.eyes.candidates(self.story.frames, left)
        answered = self.eyes.candidates(self.story.frames, unlearnt)
        return chosen(self.story.arm, self.story.plan.budget, candidates, seed=seed, answered=answered)

    def _label(self, places: Sequence[int]) -> tuple[Labelled, dict[str, Work]]:
        """At the desk; random order is priced elsewhere too, where everything is clicked."""
        frames = [self.story.frames[place] for place in places]
        self.eyes.encode(frames)
        work = {"desk": Work()}
        answers: list[Answer] = []
        for frame in frames:
            truth, clicker = truth_of(frame), self.eyes.clicker(frame)
            answers.append(at_the_desk(truth, self.eyes.proposals(frame), clicker))
            work["desk"] += answers[-1].work
            if self.story.arm == RANDOM:
                work[ELSEWHERE] = work.get(ELSEWHERE, Work()) + by_clicks(truth, clicker).work
        accepted = [[masks.encode_mask(mask) for mask in answer.masks] for answer in answers]
        if self.story.plan.is_shuffled:
            accepted = shuffled(accepted, [self.story.plan.seed, self.number])
        return Labelled(frames, accepted), work

    def _train_and_judge(self, labelled: list[Labelled]) -> dict[str, Any]:
        freeze(self.home / "snapshot", self.story.world, labelled)
        features = self.story.world.images.parent / "features"
        shared = [f"snapshot={self.home / 'snapshot'}", f"images={self.story.world.images}", f"features={features}"]
        seed = [f"seed={self.story.plan.seed}"]
        trainer("train", self.home / "train", [*shared, *seed, f"base_model={self.serving}", *self.story.plan.settings])
        models = [f"champion={self.serving}", f"challenger={self.home / 'train' / 'model'}", f"baseline={DEMO}"]
        return trainer("gate", self.home / "gate", [*shared, *seed, *models, f"looks={self.number - 1}"])

    def _tidy(self, *, keep_model: bool) -> None:
        shutil.rmtree(self.home / "train" / "checkpoints", ignore_errors=True)
        if not keep_model:
            shutil.rmtree(self.home / "train" / "model")


def _figures(summary: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Of both holdouts together, and of each."""
    parts = {"both": summary, **summary["by_source"]}
    return {name: {key: round(one[key], 5) for key in FIGURES} for name, one in parts.items()}


def freeze(folder: Path, world: World, labelled: Sequence[Labelled]) -> None:
    """A snapshot as the annotator writes it, by its own code. Of the scenes one in seven validates, whole."""
    from annotator.data.snapshot_documents import canonical, documents_write

    folder.mkdir(parents=True)
    rows: list[tuple[Frame, Sequence[masks.Rle], str, int, str]] = []
    rows += [(frame, frame.truth, "train", 0, frame.kind) for frame in world.settled]
    rows += [(frame, frame.truth, "val", 0, frame.kind) for frame in world.val]
    for name, frames in world.holdouts.items():
        rows += [(frame, frame.truth, "holdout", 0, name) for frame in frames]
    for number, one in enumerate(labelled, start=1):
        for frame, accepted in zip(one.frames, one.accepted, strict=True):
            rows.append((frame, accepted, _split(frame), number, frame.kind))
    pairs = [_settled(*row) for row in sorted(rows, key=lambda row: row[0].sha256)]
    written = documents_write(folder=folder, pairs=pairs)
    hashes = {"content_hash": written.content_hash, "files": written.files, "counts": written.counts}
    concepts = [{"name": CONCEPT, "category_id": 1}]
    manifest = {"format": "sa-co", "project": "annotator-hours", "concepts": concepts, **hashes}
    (folder / "manifest.json").write_bytes(canonical(manifest))


def _split(frame: Frame) -> str:
    return "train" if zlib.crc32(frame.scene.encode()) % VAL_ONE_IN else "val"


def _settled(frame: Frame, accepted: Sequence[masks.Rle], split: str, number: int, source: str) -> Any:
    from annotator.data.snapshot_documents import SettledPair

    return SettledPair(
        sha256=frame.sha256,
        width=SIZE_PX,
        height=SIZE_PX,
        split=split,
        phrase=CONCEPT,
        category_id=1,
        truth="present" if accepted else "absent",
        masks=tuple(accepted),
        prompts=tuple([] for _ in accepted),
        is_exhaustive=True,
        source=source,
        truth_source="annotated",
        round=number,
        scene=frame.scene,
    )
