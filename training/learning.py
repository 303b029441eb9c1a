"""One update of the trained weights, from a whole batch at once or from parts of it that fit the card.

The parts' gradients add up to the batch's: each part's terms are divided by the whole batch's counts (losses.Counts).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from mlbackend.model.network import Detections, TextFeatures
from training.blending import Mixture, blend_loss, mixtures
from training.config import Config
from training.dataset import Pair
from training.errors import TrainingError
from training.evaluate import draw_masks, find_pairs
from training.features import FeatureStore
from training.fit import Fit
from training.losses import Counts, Drawn, LossWeights, detection_loss
from training.models import Model
from training.recompute import recomputed
from training.sampling import Batch
from training.targets import Targets
from training.texts import Texts
from training.views import View

LOSS_NAMES = {"score": "class", "box_l1": "box", "mask_focal": "mask", "mask_dice": "dice"}
# The losses begin near 60: torch's own 65,536 overflows at once, and every overflow is a step not made.
FIRST_SCALE, SCALE_GROWS_AFTER = 256.0, 200
Terms = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Part:
    """As much of a batch as is looked at together, each pair in its view; masks are learned from those at mask_rows."""

    pairs: list[Pair]
    mask_rows: list[int]
    mixed: list[Mixture]
    views: list[View]


class Learner:
    """Owns the update: forward, loss, backward, clip, step."""

    def __init__(
        self,
        config: Config,
        fit: Fit,
        model: Model,
        features: FeatureStore,
        texts: Texts,
        parameters: dict[str, nn.Parameter],
        optimiser: torch.optim.Optimizer,
    ) -> None:
        self.config, self.fit, self.model, self.features, self.texts = config, fit, model, features, texts
        self.parameters, self.optimiser = parameters, optimiser
        self.weights = LossWeights.of(config)
        self.targets = Targets(model.network.grid_size)
        self.scaler = torch.amp.GradScaler(
            model.device.type,
            init_scale=FIRST_SCALE,
            growth_interval=SCALE_GROWS_AFTER,
            enabled=fit.precision.wants_scaling,
        )

    def learn(self, batch: Batch, step: int) -> dict[str, float]:
        """Move the weights by one step; the loss terms as numbers."""
        mixed = mixtures(batch, limit=self.config.blend_pairs, seed=self.config.seed, step=step)
        shown = list(map(self.targets.objects, batch.pairs, batch.views))
        counts = Counts(len(batch.pairs), sum(shown))
        drawn = _drawn(batch.pairs, shown, min(batch.positives, self.config.mask_pairs))
        self.optimiser.zero_grad(set_to_none=True)
        sums: dict[str, float] = {}
        for part in cut(batch, mixed, self.config.mask_pairs, self.fit.micro_pairs):
            for name, value in self._learn_part(part, counts, drawn, len(mixed), step).items():
                sums[name] = sums.get(name, 0.0) + value
        self.scaler.unscale_(self.optimiser)
        torch.nn.utils.clip_grad_norm_(list(self.parameters.values()), self.config.clip_norm)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        return {LOSS_NAMES.get(name, name): value for name, value in sums.items()}

    def _learn_part(self, part: Part, counts: Counts, drawn: Drawn, mixed: int, step: int) -> dict[str, float]:
        terms = self.terms(part, counts, mixed, drawn)
        total = terms["total"]
        if not bool(torch.isfinite(total)):
            raise TrainingError("diverged", f"The loss is no number at step {step}: lower learning_rate.")
        self.scaler.scale(total).backward()
        return {name: float(value.detach()) for name, value in terms.items()}

    def terms(self, part: Part, counts: Counts, mixed: int, drawn: Drawn | None = None) -> Terms:
        """The part's share of the batch's weighted terms and their "total"; mixed: how many mixtures the batch has."""
        device = self.model.device
        with self.fit.precision.autocast(device):
            detections = self._detect(part) if part.pairs else None
            blended = self._blend(part) if part.mixed else None
        terms: Terms = {}
        if detections is not None:
            targets = list(map(self.targets.of, part.pairs, part.views))
            rows = torch.tensor(part.mask_rows, dtype=torch.long, device=device)
            terms = detection_loss(
                detections, targets, mask_rows=rows, weights=self.weights, counts=counts, drawn=drawn
            )
        if blended is not None:
            terms["blend"] = self.weights.presence * blended * (len(part.mixed) / mixed)
            terms["total"] = terms["total"] + terms["blend"] if "total" in terms else terms["blend"]
        return terms

    def _detect(self, part: Part) -> Detections:
        return detected(
            self.model,
            self.features,
            part,
            self.texts([pair.phrase for pair in part.pairs]),
            recompute=self.fit.recompute,
            one_to_many=self.config.one_to_many,
            semantic=self.weights.semantic_focal > 0 or self.weights.semantic_dice > 0,
        )

    def _blend(self, part: Part) -> torch.Tensor:
        return blend_loss(self.model, self.features, self.texts, part.mixed)


def detected(
    model: Model,
    features: FeatureStore,
    part: Part,
    text: TextFeatures,
    *,
    recompute: bool,
    one_to_many: bool,
    semantic: bool,
) -> Detections:
    """What is learned from: the part's answers, those of the branches that learn, and the masks of its mask_rows."""
    found, tokens = find_pairs(model, features, part.pairs, text, views=part.views, one_to_many=one_to_many)
    if not part.mask_rows:
        return found
    if recompute:
        rows = (recomputed(draw_masks, model, found, tokens, [row], semantic=semantic) for row in part.mask_rows)
        drawn = torch.cat(list(rows))
    else:
        drawn = draw_masks(model, found, tokens, part.mask_rows, semantic=semantic)
    return found.with_drawn(drawn[:, :-1], drawn[:, -1]) if semantic else found.with_drawn(drawn, None)


def _drawn(pairs: Sequence[Pair], shown: Sequence[int], with_masks: int) -> Drawn:
    """Of the whole batch's pairs whose masks are learned from: the first ones; shown: how many objects each shows."""
    return Drawn(sum(shown[:with_masks]), sum(pair.is_exhaustive for pair in pairs[:with_masks]))


def cut(batch: Batch, mixed: Sequence[Mixture], mask_pairs: int, micro_pairs: int) -> list[Part]:
    """The batch in as few parts of at most micro_pairs as there can be; pairs with masks are dealt out evenly.

    A batch that fits is one part; else mixtures are parts of their own, since they cost about what pairs do.
    """
    with_masks = min(batch.positives, mask_pairs)
    if len(batch.pairs) <= micro_pairs:
        return [Part(batch.pairs, list(range(with_masks)), list(mixed), batch.views)]
    parts = []
    for places in _dealt(len(batch.pairs), micro_pairs):
        rows = [row for row, place in enumerate(places) if place < with_masks]
        pairs, views = [batch.pairs[place] for place in places], [batch.views[place] for place in places]
        parts.append(Part(pairs, rows, [], views))
    for places in _dealt(len(mixed), micro_pairs):
        parts.append(Part([], [], [mixed[place] for place in places], []))
    return parts


def _dealt(count: int, at_most: int) -> list[range]:
    hands = math.ceil(count / at_most)
    return [range(hand, count, hands) for hand in range(hands)]
