"""Which query answers for which object: one to one, at the least total cost.

Legend: P prompts, Q queries, M objects of one prompt. Boxes are xyxy in 0..1 of the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment


@dataclass(frozen=True)
class MatchCosts:
    """SAM 3's BinaryHungarianMatcherV2 (facts/sam3.md section 3): boxes and scores only, no mask cost."""

    score: float = 2.0
    box_l1: float = 5.0
    giou: float = 2.0
    alpha: float = 0.25
    gamma: float = 2.0


@dataclass(frozen=True)
class ManyCosts:
    """SAM 3's BinaryOneToManyMatcher: the value of a query for an object is alpha x its score + (1 - alpha) x IoU."""

    alpha: float = 0.3
    threshold: float = 0.4
    best: int = 4


@torch.no_grad()
def match(
    query_logits_PQ: torch.Tensor,
    boxes_xyxy_PQ4: torch.Tensor,
    target_boxes: Sequence[torch.Tensor],
    costs: MatchCosts | None = None,
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """For each prompt (query indices, object indices), equally long; both empty on a negative.

    target_boxes holds one (M, 4) tensor a prompt. With more objects than queries the costliest objects stay unmatched.
    ValueError if a box is not finite: the assignment would be arbitrary.
    """
    costs = costs or MatchCosts()
    pairs = []
    for logits_Q, boxes_Q4, truth_M4 in zip(query_logits_PQ, boxes_xyxy_PQ4, target_boxes, strict=True):
        cost_QM = _cost(logits_Q.float(), boxes_Q4.float(), truth_M4.float(), costs)
        if not torch.isfinite(cost_QM).all():
            raise ValueError(
                "a predicted box, score or target box is not finite: lower the learning rate or check the targets"
            )
        queries, objects = linear_sum_assignment(cost_QM.cpu().numpy())
        device = logits_Q.device
        pairs.append(
            (
                torch.as_tensor(queries, dtype=torch.long, device=device),
                torch.as_tensor(objects, dtype=torch.long, device=device),
            )
        )
    return pairs


@torch.no_grad()
def match_many(
    query_logits_PQ: torch.Tensor,
    boxes_xyxy_PQ4: torch.Tensor,
    target_boxes: Sequence[torch.Tensor],
    costs: ManyCosts | None = None,
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """As match(), but several queries may answer for one object: those of its best that are good enough."""
    costs = costs or ManyCosts()
    pairs = []
    for logits_Q, boxes_Q4, truth_M4 in zip(query_logits_PQ, boxes_xyxy_PQ4, target_boxes, strict=True):
        iou_QM = box_iou_and_union(boxes_Q4.float()[:, None], truth_M4.float()[None])[0]
        value_QM = costs.alpha * logits_Q.float().sigmoid()[:, None] + (1 - costs.alpha) * iou_QM
        good_QM = value_QM > costs.threshold
        if len(truth_M4):
            good_QM &= value_QM > torch.quantile(value_QM, max(0.0, 1 - costs.best / len(logits_Q)), dim=0)
        queries, objects = good_QM.nonzero(as_tuple=True)
        pairs.append((queries, objects))
    return pairs


def _cost(logits_Q: torch.Tensor, boxes_Q4: torch.Tensor, truth_M4: torch.Tensor, costs: MatchCosts) -> torch.Tensor:
    chance = logits_Q.sigmoid()
    hit = costs.alpha * (1 - chance) ** costs.gamma * -F.logsigmoid(logits_Q)
    miss = (1 - costs.alpha) * chance**costs.gamma * -F.logsigmoid(-logits_Q)
    distance = torch.cdist(to_cxcywh(boxes_Q4), to_cxcywh(truth_M4), p=1)
    return (
        costs.score * (hit - miss)[:, None]
        + costs.box_l1 * distance
        - costs.giou * generalised_iou(boxes_Q4[:, None], truth_M4[None])
    )


def to_cxcywh(boxes_xyxy: torch.Tensor) -> torch.Tensor:
    near, far = boxes_xyxy[..., :2], boxes_xyxy[..., 2:]
    return torch.cat([(near + far) / 2, far - near], dim=-1)


def box_iou_and_union(a_xyxy: torch.Tensor, b_xyxy: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Broadcasts over the leading axes; an empty box has IoU 0 with everything."""
    overlap = torch.minimum(a_xyxy[..., 2:], b_xyxy[..., 2:]) - torch.maximum(a_xyxy[..., :2], b_xyxy[..., :2])
    inside = overlap.clamp(min=0).prod(-1)
    union = _area(a_xyxy) + _area(b_xyxy) - inside
    return inside / union.clamp(min=1e-9), union


def generalised_iou(a_xyxy: torch.Tensor, b_xyxy: torch.Tensor) -> torch.Tensor:
    """IoU minus the share of the enclosing box that neither fills (Rezatofighi et al. 2019), in -1..1."""
    iou, union = box_iou_and_union(a_xyxy, b_xyxy)
    frame = torch.maximum(a_xyxy[..., 2:], b_xyxy[..., 2:]) - torch.minimum(a_xyxy[..., :2], b_xyxy[..., :2])
    enclosing = frame.clamp(min=0).prod(-1)
    return iou - (enclosing - union) / enclosing.clamp(min=1e-9)


def _area(boxes_xyxy: torch.Tensor) -> torch.Tensor:
    return (boxes_xyxy[..., 2:] - boxes_xyxy[..., :2]).clamp(min=0).prod(-1)
