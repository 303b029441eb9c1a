"""What a run needs on a card, before the card is touched: by phase and part, and what to change if it is too much."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from training.config import Config
from training.dataset import Pair, Snapshot
from training.errors import Refused
from training.fit import Fit, asked_fit
from training.precision import Precision
from training.rehearsal import FP32_BYTES, Lesson, Rehearsal
from training.views import Views
from training.vit import choose_vit_dtype

log = logging.getLogger(__name__)
GB = 10**9
MIB = 2**20
UNITS = {"GB": GB, "GIB": 2**30, "MB": 10**6, "MIB": MIB}
# Of CUDA itself and of what torch's allocator cannot reuse; the second figure is also what a rehearsal is wrong by.
CONTEXT_BYTES = 700 * 2**20
SPARE = 1.08
USUAL_OBJECTS = 10
KEPT_QUERIES = 50


@dataclass(frozen=True)
class Phase:
    """The most bytes at once while something is done, and of what they are."""

    name: str
    parts: dict[str, int]

    @property
    def bytes(self) -> int:
        return sum(self.parts.values())


@dataclass(frozen=True)
class Plan:
    """card_bytes is None where there is no card and none was named; change: settings with which it would fit."""

    phases: list[Phase]
    fit: Fit
    card_bytes: int | None
    sentence: str
    change: dict[str, Any]
    features_bytes: int = 0

    @property
    def needed_bytes(self) -> int:
        return _with_spare(max(phase.bytes for phase in self.phases))

    @property
    def fits(self) -> bool | None:
        return None if self.card_bytes is None else self.needed_bytes <= self.card_bytes

    def plain(self) -> dict[str, Any]:
        return {
            "needed_bytes": self.needed_bytes,
            "card_bytes": self.card_bytes,
            "fits": self.fits,
            "sentence": self.sentence,
            "change": self.change,
            "phases": [{"name": phase.name, "bytes": phase.bytes, "parts": phase.parts} for phase in self.phases],
            "settings": {
                "micro_pairs": self.fit.micro_pairs,
                "judge_pairs": self.fit.judge_pairs,
                "recompute": "always" if self.fit.recompute else "never",
                "precision": self.fit.precision.name,
            },
            "features_bytes": self.features_bytes,
        }


def card_bytes_of(words: str) -> int:
    """`24GB`, `22.5 GiB`; Refused for what is no size."""
    text = words.strip().upper().replace(" ", "")
    unit = next((unit for unit in sorted(UNITS, key=len, reverse=True) if text.endswith(unit)), "")
    try:
        return int(float(text.removesuffix(unit)) * UNITS[unit or "GB"])
    except ValueError:
        raise Refused("bad_card", f"--card is a size such as 24GB or 22.5GiB, not {words!r}.") from None


def free_card_bytes(kept_free_mib: int = 0) -> int | None:
    """Of the card here: what nobody has now, and no more than what is not kept for others, who may take it later."""
    if not torch.cuda.is_available():
        return None
    free, total = torch.cuda.mem_get_info()
    return left_for_us(free + torch.cuda.memory_reserved() + CONTEXT_BYTES, total, kept_free_mib)


def left_for_us(free: int, total: int, kept_free_mib: int) -> int:
    """Bytes of a card that a run may take. What the others have of their share already, is not taken off twice."""
    return max(0, min(free, total - kept_free_mib * MIB))


class Planner:
    """Plans for one config and model folder, with a card's arithmetic wherever the plan itself is made."""

    def __init__(
        self,
        config: Config,
        folder: str | Path,
        card_bytes: int | None,
        rehearsal: Rehearsal | None = None,
        cards: int = 1,
    ) -> None:
        """A rehearsal that other plans for the folder were made with spares what it has rehearsed already.

        cards: of a run in several processes; the plan is for one of them, with its share of every batch.
        """
        self.config, self.card_bytes, self.cards = _of_one_card(config, cards), card_bytes, cards
        self.rehearsal = rehearsal or Rehearsal(folder, config)
        train, val = _pairs(config)
        self.pairs = [*train, *val]
        # Views of training images alone; which of them suit no pair, and are left out, is not looked at here.
        learned, judged = ({pair.image for pair in pairs} for pairs in (train, val))
        self.encodes = Views.of(config).count * len(learned) + len(judged - learned)
        largest = max((len(pair.instances) for pair in self.pairs), default=USUAL_OBJECTS)
        self.objects = max(1, min(largest, 200))

    def train(self) -> Plan:
        """Of a training run: what fits of what the config leaves open, else the change that would make it fit."""
        fit = self._cut(self.config)
        if fit is not None:
            return self._plan(self.phases(fit, self.config), fit, {})
        least = list(_choices(self.config))[-1]
        phases = self.phases(least, self.config)
        for change in _changes(self.config) if self._holds([self._loading()]) else ():
            fit = self._cut(replace(self.config, **change))
            if fit is not None:
                found = {"micro_pairs": fit.micro_pairs, "judge_pairs": fit.judge_pairs}
                return self._plan(phases, least, {name: found.get(name, value) for name, value in change.items()})
        return self._plan(phases, least, {})

    def _cut(self, config: Config) -> Fit | None:
        """As little as a run has to be cut to fit; None where even pair by pair is too much. Few rehearsals."""
        choices = list(_choices(config))
        if not any(self._holds(self.phases(fit, config)) for fit in (choices[0], choices[-1])):
            return None
        return next(fit for fit in choices if self._holds(self.phases(fit, config)))

    def judge(self) -> Plan:
        """Of an evaluation or the gate, which has one model on the card at a time."""
        asked = fit = _as_on_a_card(self.config)
        while fit.judge_pairs > 1 and not self._holds([self._judging(fit)]):
            fit = replace(fit, judge_pairs=fit.judge_pairs // 2)
        if fit == asked or not self.config.judge_pairs:
            return self._plan(self._phases_of_judging(fit), fit, {})
        change = {"judge_pairs": fit.judge_pairs} if self._holds(self._phases_of_judging(fit)) else {}
        return self._plan(self._phases_of_judging(asked), asked, change)

    def phases(self, fit: Fit, config: Config) -> list[Phase]:
        if config.vit != "frozen":  # nothing is encoded beforehand
            return [self._loading(), self._training(fit, config), self._validating(fit, config)]
        encoding = self._encoding(fit, config)
        encoding = replace(encoding, parts=encoding.parts | {"average": self._kept_for_learning(config)["average"]})
        return [self._loading(), encoding, self._training(fit, config), self._validating(fit, config)]

    def _phases_of_judging(self, fit: Fit) -> list[Phase]:
        return [self._loading(), self._encoding(fit, self.config), self._judging(fit)]

    def _holds(self, phases: list[Phase]) -> bool:
        return self.card_bytes is None or all(_with_spare(phase.bytes) <= self.card_bytes for phase in phases)

    def _loading(self) -> Phase:
        sizes = self.rehearsal.sizes
        return Phase("load", {"weights": FP32_BYTES * (sizes.vit + sizes.text + sizes.heads)})

    def _encoding(self, fit: Fit, config: Config) -> Phase:
        sizes = self.rehearsal.sizes
        dtype = choose_vit_dtype(_bf16_for_auto(config.vit_dtype), torch.device("cpu"))
        weights = FP32_BYTES * (sizes.text + sizes.heads) + dtype.itemsize * sizes.vit
        key = ("encode", dtype, fit.encode_images)
        active = self._once(key, lambda: self.rehearsal.encode(dtype, images=fit.encode_images))
        return Phase("encode", {"weights": weights, "activations": active})

    def _training(self, fit: Fit, config: Config) -> Phase:
        gradients, of_clicks = (FP32_BYTES * count for count in (self._trained(config), self._tuned(config)))
        active = max(self._learn(fit, lesson) for lesson in self._lessons(fit, config)) - gradients + of_clicks
        if of_clicks:  # one after the other
            active = max(active, self._click(config) - of_clicks)
        parts = {"weights": self._weights(config), "gradients": gradients, **self._kept_for_learning(config)}
        return Phase("train", parts | {"activations": max(0, active)})

    def _lessons(self, fit: Fit, config: Config) -> Iterator[Lesson]:
        """The costliest of the parts that a batch is cut into: of pairs, and where there are several, of mixtures."""
        hands = math.ceil(config.batch_pairs / fit.micro_pairs)
        pairs = Lesson(
            pairs=math.ceil(config.batch_pairs / hands),
            drawn=math.ceil(min(config.mask_pairs, config.batch_pairs) / hands),
            mixed=config.blend_pairs if hands == 1 else 0,
            objects=self.objects,
            learns_text=config.text_rate > 0,
            has_gradients=hands > 1,
            one_to_many=config.one_to_many,
            semantic=config.semantic,
        )
        yield pairs
        if hands > 1 and config.blend_pairs:
            yield replace(pairs, pairs=0, drawn=0, mixed=min(config.blend_pairs, fit.micro_pairs))

    def _learn(self, fit: Fit, lesson: Lesson) -> int:
        return self._once((fit.recompute, fit.precision, lesson), lambda: self.rehearsal.learn(fit, lesson))

    def _validating(self, fit: Fit, config: Config) -> Phase:
        judging = self._judging(fit)
        parts = {"weights": self._weights(config), **self._kept_for_learning(config)}
        return Phase("validate", parts | {"activations": judging.parts["activations"]})

    def _judging(self, fit: Fit) -> Phase:
        key = ("judge", fit.precision, fit.judge_pairs)
        active = self._once(key, lambda: self.rehearsal.judge(fit, pairs=fit.judge_pairs, kept=KEPT_QUERIES))
        sizes = self.rehearsal.sizes
        return Phase("judge", {"weights": FP32_BYTES * (sizes.text + sizes.heads), "activations": active})

    def _weights(self, config: Config) -> int:
        """A frozen text tower waits off the card, and so does a frozen ViT; not one with adapters."""
        sizes = self.rehearsal.sizes
        vit = sizes.vit + self.rehearsal.added if config.vit != "frozen" else 0
        return FP32_BYTES * (sizes.heads + vit + (sizes.text if config.text_rate > 0 else 0))

    def _trained(self, config: Config) -> int:
        return self.rehearsal.trained(with_text=config.text_rate > 0) + self._tuned(config)

    def _tuned(self, config: Config) -> int:
        """Numbers of the click decoder that learn."""
        return self.rehearsal.sizes.clicks if config.click_rate > 0 else 0

    def _click(self, config: Config) -> int:
        key = ("click", config.click_pairs)
        return self._once(key, lambda: self.rehearsal.click(config.click_pairs))

    def _kept_for_learning(self, config: Config) -> dict[str, int]:
        trained = FP32_BYTES * self._trained(config)
        return {"optimiser": 2 * trained, "average": trained}

    def _once(self, key: tuple[Any, ...], work: Callable[[], int]) -> int:
        known = self.rehearsal.known
        if key not in known:
            known[key] = work()
        return known[key]

    def _plan(self, phases: list[Phase], fit: Fit, change: dict[str, Any]) -> Plan:
        kept = 0 if self.rehearsal.moves_vit else 2 * self.rehearsal.sizes.tokens_an_image * self.encodes
        plan = Plan(phases, fit, self.card_bytes, "", change, kept)
        return replace(plan, sentence=_sentence(plan, self.config.kept_free_mib, self.cards))


def planned_fit(
    config: Config, folder: str | Path, device: torch.device, *, judges: bool = False, cards: int = 1
) -> Fit:
    """How a run is cut to the card that it is about to use; Refused in one sentence where it cannot be."""
    if device.type != "cuda":
        return asked_fit(config, device)
    planner = Planner(config, folder, free_card_bytes(config.kept_free_mib), cards=cards)
    plan = planner.judge() if judges else planner.train()
    log.info(plan.sentence)
    if not plan.fits:
        raise Refused("too_little_memory", plan.sentence, settings=plan.change)
    return plan.fit


def as_words(plan: Plan) -> str:
    """For a person at a terminal."""
    lines = [plan.sentence]
    for phase in plan.phases:
        parts = ", ".join(f"{name} {size / GB:.2f}" for name, size in phase.parts.items())
        lines.append(f"  {phase.name:<9}{phase.bytes / GB:6.2f} GB: {parts}")
    settings = ", ".join(f"{name} {value}" for name, value in plan.plain()["settings"].items())
    lines.append(f"  with {settings}; {SPARE:.0%} of it and {CONTEXT_BYTES / GB:.1f} GB for CUDA are counted")
    if plan.features_bytes:
        lines.append(f"  features on disk: {plan.features_bytes / GB:.2f} GB")
    return "\n".join(lines)


def _choices(config: Config) -> Iterator[Fit]:
    """From everything at once down to pair by pair, as far as the config leaves it open."""
    fit = _as_on_a_card(config)
    while True:
        yield fit
        smaller = fit
        if not config.micro_pairs and fit.micro_pairs > 1:
            smaller = replace(smaller, micro_pairs=math.ceil(fit.micro_pairs / 2))
        if not config.judge_pairs and fit.judge_pairs > 1:
            smaller = replace(smaller, judge_pairs=fit.judge_pairs // 2)
        if smaller == fit:
            return
        fit = smaller


def _changes(config: Config) -> Iterator[dict[str, Any]]:
    """What may be given up, the least first; each also with what comes before it."""
    given: dict[str, Any] = {}
    for name, value, is_news in (
        ("micro_pairs", None, config.micro_pairs is not None),
        ("judge_pairs", None, config.judge_pairs is not None),
        ("recompute", "always", config.recompute == "never"),
        ("precision", "bfloat16", config.precision == "float32"),
        ("vit_dtype", "bfloat16", config.vit == "frozen" and config.vit_dtype == "float32"),
        ("text_rate", 0.0, config.text_rate > 0),
    ):
        if is_news:
            given[name] = value
            yield dict(given)


def _of_one_card(config: Config, cards: int) -> Config:
    shares = {name: math.ceil(getattr(config, name) / cards) for name in ("batch_pairs", "mask_pairs", "blend_pairs")}
    return replace(config, **shares) if cards > 1 else config


def _sentence(plan: Plan, kept_free_mib: int, cards: int = 1) -> str:
    largest = max(plan.phases, key=lambda phase: phase.bytes)
    doing = {"load": "to load", "encode": "to encode images", "train": "for a step", "validate": "to validate"}
    whose = "a card's memory" if cards == 1 else f"the memory of each of {cards} cards"
    needs = f"It needs {plan.needed_bytes / GB:.1f} GB of {whose}, most of it {doing.get(largest.name, 'to judge')}"
    if plan.card_bytes is None:
        return f"{needs}; no card is here."
    kept = f" beside the {kept_free_mib * MIB / GB:.1f} GB kept for the ML backend" if kept_free_mib else ""
    there = f"{plan.card_bytes / GB:.1f} GB are there{' on one' if cards > 1 else ''}{kept}"
    if plan.fits:
        return f"{needs}; {there}: it fits."
    if not plan.change:
        less = ", or a smaller batch_pairs" if any(phase.name == "train" for phase in plan.phases) else ""
        return f"{needs}; {there}: it takes a card with more{less}."
    words = ", ".join(f"{name} to {value}" for name, value in plan.change.items())
    return f"{needs}; {there}: set {words}, then it fits."


def _with_spare(size: int) -> int:
    return int(size * SPARE) + CONTEXT_BYTES


def _as_on_a_card(config: Config) -> Fit:
    """What `auto` means on a card, also where there is none to ask."""
    if torch.cuda.is_available():
        return asked_fit(config, torch.device("cuda"))
    fit = asked_fit(config, torch.device("cpu"))
    if config.precision == "auto":
        fit = replace(fit, precision=Precision(torch.bfloat16))
    return replace(fit, recompute=config.recompute != "never")


def _bf16_for_auto(wanted: str) -> str:
    return "bfloat16" if wanted == "auto" else wanted


def _pairs(config: Config) -> tuple[Sequence[Pair], Sequence[Pair]]:
    """To learn from and to judge by, where the plan is for a snapshot: its images and its fullest pair count."""
    if not config.snapshot:
        return [], []
    snapshot = Snapshot(config.snapshot)
    return snapshot.split("train").trainable, snapshot.split("val").pairs
