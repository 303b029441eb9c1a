"""SAM 3's detection losses, after the official recipe (facts/sam3.md section 3).

Legend: P prompts, Q queries, M objects of one prompt, H W mask rows and columns. A prompt without objects is an
explicit negative: it trains the presence score and nothing else.

A target that is not exhaustive holds some of the objects; of the rest nothing is known, and nothing of the rest is
trained. Its marked objects train boxes and masks as ever, and two things are certain: the concept is there (presence
aims at 1) and the queries matched to marked objects are right (their scores are pulled up). No score is pulled down:
an unmatched query may lie on an object that nobody marked, and so may a matched one whose box is far off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from mlbackend.model.network import Detections, LayerOutput
from training.config import Config
from training.matcher import MatchCosts, box_iou_and_union, generalised_iou, match, match_many, to_cxcywh

Pairs = list[tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True)
class Target:
    """The truth of one (image, concept) pair: boxes xyxy in 0..1, masks at any size; M = 0 is an explicit negative.

    is_exhaustive: these are all the objects. ValueError where they are not all and none: that is no truth.
    """

    boxes_xyxy_M4: torch.Tensor
    masks_MHW: torch.Tensor
    is_exhaustive: bool = True

    def __post_init__(self) -> None:
        if not self.is_exhaustive and not len(self.boxes_xyxy_M4):
            raise ValueError("a pair without instances that is not exhaustive says nothing: it can't be trained on")

    @classmethod
    def from_masks(cls, masks_MHW: torch.Tensor) -> Target:
        """Boxes enclose the masks' pixels; ValueError on a mask without pixels, which would train a box of nothing."""
        height, width = masks_MHW.shape[-2:]
        boxes = []
        for mask in masks_MHW.bool():
            rows, cols = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
            if not len(rows):
                raise ValueError("an instance has an empty mask: drop it, or mark the pair as absent")
            boxes.append([cols[0] / width, rows[0] / height, (cols[-1] + 1) / width, (rows[-1] + 1) / height])
        return cls(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4), masks_MHW)


@dataclass(frozen=True)
class LossWeights:
    """The public recipe's numbers. presence_smoothing moves presence targets that far from 0 and 1 (official: 0)."""

    score: float = 20.0
    presence: float = 20.0
    box_l1: float = 5.0
    giou: float = 2.0
    mask_focal: float = 200.0
    mask_dice: float = 10.0
    positive_weight: float = 10.0
    alpha: float = 0.25
    gamma: float = 2.0
    padded_queries: int = 200
    presence_smoothing: float = 0.0
    one_to_many: float = 0.0
    semantic_focal: float = 0.0
    semantic_dice: float = 0.0
    semantic_alpha: float = 0.6

    @classmethod
    def of(cls, config: Config) -> LossWeights:
        """As a run's config has them; a term that is switched off weighs nothing."""
        return cls(
            score=config.loss_score,
            presence=config.loss_presence,
            box_l1=config.loss_box_l1,
            giou=config.loss_giou,
            mask_focal=config.loss_mask_focal,
            mask_dice=config.loss_mask_dice,
            positive_weight=config.positive_weight,
            presence_smoothing=config.presence_smoothing,
            one_to_many=config.loss_one_to_many if config.one_to_many else 0.0,
            semantic_focal=config.loss_semantic_focal if config.semantic else 0.0,
            semantic_dice=config.loss_semantic_dice if config.semantic else 0.0,
        )


@dataclass(frozen=True)
class Drawn:
    """What the terms of masks are means over: the objects of the prompts whose masks are drawn, and how many of these
    prompts are positives with all their objects marked.

    A batch that is learned part by part gives each part the whole batch's.
    """

    objects: int
    whole: int

    @classmethod
    def of(cls, targets: Sequence[Target]) -> Drawn:
        whole = sum(target.is_exhaustive and len(target.boxes_xyxy_M4) > 0 for target in targets)
        return cls(sum(len(target.boxes_xyxy_M4) for target in targets), whole)


@dataclass(frozen=True)
class Counts:
    """What the terms are means over. A batch that is learned part by part gives each part the whole batch's counts."""

    prompts: int
    objects: int

    @classmethod
    def of(cls, targets: Sequence[Target]) -> Counts:
        return cls(len(targets), sum(len(target.boxes_xyxy_M4) for target in targets))


def detection_loss(
    detections: Detections,
    targets: Sequence[Target],
    *,
    mask_rows: torch.Tensor | None = None,
    weights: LossWeights | None = None,
    costs: MatchCosts | None = None,
    drawn: Drawn | None = None,
    counts: Counts | None = None,
) -> dict[str, torch.Tensor]:
    """Weighted terms, which add up to "total": presence, score, box_l1, giou of all layers, masks of the last one; and,
    where their weights are not 0, "many" (the one-to-many branch) and "semantic".

    mask_rows are the prompts that detections.mask_logits_PQHW holds, as given to Sam3Network.detect(). counts and drawn
    are those of the whole batch where these are some of its prompts: the parts' terms then add up to the batch's.
    """
    weights, counts = weights or LossWeights(), counts or Counts.of(targets)
    rows = range(len(targets)) if mask_rows is None else mask_rows.tolist()
    drawn = drawn or Drawn.of([targets[row] for row in rows])
    boxes = [target.boxes_xyxy_M4.to(detections.presence_logits_P.device) for target in targets]
    whole_P = torch.tensor([t.is_exhaustive for t in targets], device=detections.presence_logits_P.device)
    terms: dict[str, torch.Tensor] = {}
    for layer in detections.layers:
        pairs = match(layer.query_logits_PQ, layer.boxes_xyxy_PQ4, boxes, costs)
        for name, value in _layer_terms(layer, boxes, pairs, whole_P, weights, counts).items():
            terms[name] = terms[name] + value if name in terms else value
    if detections.mask_logits_PQHW is not None:
        terms |= _mask_terms(detections.mask_logits_PQHW, targets, pairs, rows, weights, drawn)
    if weights.one_to_many:
        many = _many_loss(detections, targets, boxes, whole_P, rows, weights, counts, drawn)
        terms["many"] = weights.one_to_many * many
    if (weights.semantic_focal or weights.semantic_dice) and detections.mask_logits_PQHW is not None:
        terms["semantic"] = _semantic_loss(detections, targets, rows, weights, drawn)
    return terms | {"total": torch.stack(list(terms.values())).sum()}


def _layer_terms(
    layer: LayerOutput,
    boxes: Sequence[torch.Tensor],
    pairs: Pairs,
    whole_P: torch.Tensor,
    weights: LossWeights,
    counts: Counts,
) -> dict[str, torch.Tensor]:
    predicted = torch.cat([row[q] for row, (q, _) in zip(layer.boxes_xyxy_PQ4.float(), pairs, strict=True)])
    truth = torch.cat([row[m] for row, (_, m) in zip(boxes, pairs, strict=True)]).to(predicted)
    count, share = max(1, counts.objects), len(boxes) / counts.prompts
    present = torch.tensor([len(row) > 0 for row in boxes], device=predicted.device)
    return {
        "presence": share
        * weights.presence
        * presence_loss(layer.presence_logits_P, present, weights.presence_smoothing),
        "score": share * weights.score * score_loss(layer.query_logits_PQ, pairs, predicted, truth, whole_P, weights),
        "box_l1": weights.box_l1 * (to_cxcywh(predicted) - to_cxcywh(truth)).abs().sum() / count,
        "giou": weights.giou * (1 - generalised_iou(predicted, truth)).sum() / count,
    }


def presence_loss(presence_logits_P: torch.Tensor, present_P: torch.Tensor, smoothing: float = 0.0) -> torch.Tensor:
    """Half the mean cross entropy: the official focal loss with alpha 0.5 and gamma 0."""
    target = present_P.float() * (1 - 2 * smoothing) + smoothing
    return 0.5 * F.binary_cross_entropy_with_logits(presence_logits_P.float(), target)


def score_loss(
    query_logits_PQ: torch.Tensor,
    pairs: Pairs,
    predicted_K4: torch.Tensor,
    truth_K4: torch.Tensor,
    whole_P: torch.Tensor,
    weights: LossWeights,
) -> torch.Tensor:
    """IoU-aware cross entropy (IABCEMdetr): a matched query aims at p^a IoU^(1-a), at least 0.01; others at 0.

    The plain focal loss leaves scores under 0.5, where the official metric drops them. Averaged over at least
    padded_queries queries; negatives contribute nothing. Where a prompt's objects are not all marked (whole_P is
    False), a matched query aims no lower than it stands and the others at nothing: no gradient pulls down.
    """
    logits = query_logits_PQ.float()
    matched, aim, positive = torch.zeros_like(logits), torch.zeros_like(logits), torch.zeros_like(logits[:, :1])
    rows = torch.cat([torch.full_like(q, row) for row, (q, _) in enumerate(pairs)])
    queries = torch.cat([q for q, _ in pairs])
    with torch.no_grad():
        iou = box_iou_and_union(predicted_K4, truth_K4)[0]
        quality = logits[rows, queries].sigmoid() ** weights.alpha * iou ** (1 - weights.alpha)
        matched[rows, queries] = 1.0
        aim[rows, queries] = quality.clamp(min=0.01)
        positive[rows] = 1.0
        whole = whole_P[:, None]
        aim = torch.where(whole, aim, torch.maximum(aim, logits.sigmoid() * matched))
    up = F.binary_cross_entropy_with_logits(logits, aim, reduction="none") * matched * weights.positive_weight
    down = F.softplus(logits) * logits.sigmoid() ** weights.gamma * (1 - matched) * whole
    prompts, queries_each = logits.shape
    return ((up + down) * positive).sum() / (prompts * max(queries_each, weights.padded_queries))


def _mask_terms(
    mask_logits_RQHW: torch.Tensor,
    targets: Sequence[Target],
    pairs: Pairs,
    rows: Sequence[int],
    weights: LossWeights,
    drawn: Drawn,
) -> dict[str, torch.Tensor]:
    """Means over the objects of the prompts in rows alone: those of the others have no mask here."""
    focal = dice = mask_logits_RQHW.new_zeros((), dtype=torch.float32)
    for logits_QHW, row in zip(mask_logits_RQHW, rows, strict=True):
        queries, objects = pairs[row]
        if len(queries):
            truth = targets[row].masks_MHW.to(logits_QHW.device)[objects].float()
            logits = _resize(logits_QHW[queries].float(), truth.shape[-2:])
            focal = focal + focal_loss(logits, truth, weights.alpha, weights.gamma).mean((1, 2)).sum()
            dice = dice + dice_loss(logits, truth).sum()
    count = max(1, drawn.objects)
    return {"mask_focal": weights.mask_focal * focal / count, "mask_dice": weights.mask_dice * dice / count}


def _many_loss(
    detections: Detections,
    targets: Sequence[Target],
    boxes: Sequence[torch.Tensor],
    whole_P: torch.Tensor,
    rows: Sequence[int],
    weights: LossWeights,
    counts: Counts,
    drawn: Drawn,
) -> torch.Tensor:
    """The one-to-many branch's score, boxes and masks; it has no presence. Its last layer is matched one to many, the
    earlier ones one to one, as the public recipe has it. Means are over objects, however many queries answer for one.
    """
    if detections.many is None:
        raise ValueError("the one-to-many loss needs detect(one_to_many=True)")
    layers, parts = detections.many.layers, []
    for layer in layers:
        matcher = match_many if layer is layers[-1] else match
        pairs = matcher(layer.query_logits_PQ, layer.boxes_xyxy_PQ4, boxes)
        terms = _layer_terms(layer, boxes, pairs, whole_P, weights, counts)
        parts += [terms["score"], terms["box_l1"], terms["giou"]]
    if detections.many.mask_logits_PQHW is not None:
        parts += _mask_terms(detections.many.mask_logits_PQHW, targets, pairs, rows, weights, drawn).values()
    return torch.stack(parts).sum()


def _semantic_loss(
    detections: Detections, targets: Sequence[Target], rows: Sequence[int], weights: LossWeights, drawn: Drawn
) -> torch.Tensor:
    """Focal and dice of the concept's pixels, whichever object they belong to: means over the positives that are drawn.

    A negative is left to the presence score, as in the official loss. A positive of which not everything is marked is
    left out: the pixels between its marked objects may be the concept's too.
    """
    if detections.semantic_logits_PHW is None:
        raise ValueError("the semantic loss needs detect(with_masks=True)")
    loss = detections.semantic_logits_PHW.new_zeros((), dtype=torch.float32)
    for logits_HW, row in zip(detections.semantic_logits_PHW, rows, strict=True):
        target = targets[row]
        if not target.is_exhaustive or not len(target.boxes_xyxy_M4):
            continue
        truth = target.masks_MHW.to(logits_HW.device).bool().any(0)[None].float()
        logits = _resize(logits_HW[None].float(), truth.shape[-2:])
        focal = focal_loss(logits, truth, weights.semantic_alpha, weights.gamma).mean()
        loss = loss + weights.semantic_focal * focal + weights.semantic_dice * dice_loss(logits, truth).sum()
    return loss / max(1, drawn.whole)


def focal_loss(logits: torch.Tensor, targets: torch.Tensor, alpha: float = 0.25, gamma: float = 2.0) -> torch.Tensor:
    """Element by element (Lin et al. 2017)."""
    chance = logits.sigmoid()
    missed = torch.where(targets > 0.5, 1 - chance, chance)
    balance = torch.where(targets > 0.5, alpha, 1 - alpha)
    return balance * missed**gamma * F.binary_cross_entropy_with_logits(logits, targets, reduction="none")


def dice_loss(logits_KHW: torch.Tensor, targets_KHW: torch.Tensor) -> torch.Tensor:
    """1 - dice of each mask, with one pixel added above and below as in the official loss."""
    chance, truth = logits_KHW.sigmoid().flatten(1), targets_KHW.flatten(1)
    return 1 - (2 * (chance * truth).sum(1) + 1) / (chance.sum(1) + truth.sum(1) + 1)


def _resize(logits_KHW: torch.Tensor, size: torch.Size) -> torch.Tensor:
    """Logits to the truth's size, before the sigmoid: the official order."""
    if logits_KHW.shape[-2:] == size:
        return logits_KHW
    return F.interpolate(logits_KHW[None], size=tuple(size), mode="bilinear", align_corners=False)[0]
