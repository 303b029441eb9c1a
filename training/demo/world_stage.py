"""First stage: the ViT, the click decoder's neck and the click decoder learn what an object is.

Both domains, class-agnostic: foreground, edges of each instance, clicks. Concepts are told on easy pictures only, by
a temporary head on the ViT's tokens, which is thrown away.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from mlbackend.model.network import Sam3Network
from training.demo.architecture import CONCEPTS, GRID, VIT_WIDTH
from training.demo.drawings import Drawings
from training.demo.optimiser import Optimiser
from training.demo.prompts import CELLS, PAD, POSITIVE, WorldBatch, make_batch
from training.demo.stage import Stage
from training.demo.start import use_plain_attention
from training.launch import StopRequest

_CHANNELS = 1 + 4 + 1 + len(CONCEPTS)


class CellHead(nn.Module):
    """Temporary: reads foreground, extents and concept of 4 x 4 cells from each token."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(VIT_WIDTH)
        self.linear = nn.Linear(VIT_WIDTH, 16 * _CHANNELS)

    def forward(self, tokens_BNC: torch.Tensor) -> torch.Tensor:
        cells = self.linear(self.norm(tokens_BNC)).view(-1, GRID, GRID, 4, 4, _CHANNELS)
        return cells.permute(0, 5, 1, 3, 2, 4).reshape(-1, _CHANNELS, CELLS, CELLS)


def dense_losses(cells: torch.Tensor, batch: WorldBatch) -> dict[str, torch.Tensor]:
    cells = cells.float()
    foreground = (batch.numbers > 0).float()
    extent_error = F.smooth_l1_loss(cells[:, 1:5], batch.extents * 4, reduction="none", beta=0.1).mean(1)
    taught = batch.concepts >= 0
    concept = F.cross_entropy(cells[:, 5:], batch.concepts.clamp(min=0), reduction="none")
    weight = taught * (0.3 + foreground)
    return {
        "foreground": F.binary_cross_entropy_with_logits(cells[:, 0], foreground)
        + 0.5 * dice_loss(cells[:, 0].flatten(1), foreground.flatten(1)).mean(),
        "extent": 4 * (extent_error * foreground).sum() / foreground.sum().clamp(min=1),
        "concept": (concept * weight).sum() / weight.sum().clamp(min=1),
    }


def dice_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """1 - dice over the last axis."""
    chance = logits.sigmoid()
    return 1 - (2 * (chance * targets).sum(-1) + 1) / (chance.sum(-1) + targets.sum(-1) + 1)


def click_losses(masks: torch.Tensor, iou: torch.Tensor, batch: WorldBatch) -> dict[str, torch.Tensor]:
    """masks (B, P, 4, G, G): token 0 answers alone, the other three compete; iou (B, P, 4) is what each claims."""
    masks, iou = masks.float().flatten(3), iou.float()
    truth = batch.masks.flatten(2)[:, :, None].float().expand_as(masks)
    pixel = F.binary_cross_entropy_with_logits(masks, truth, reduction="none")
    focus = 0.15 + truth.amax(2, keepdim=True) * 0.6 + _near(batch.masks).flatten(2)[:, :, None]
    each = (pixel * focus).sum(-1) / focus.sum(-1) * 3 + dice_loss(masks, truth)
    found = masks.detach() > 0
    real_iou = (found & (truth > 0)).sum(-1) / (found | (truth > 0)).sum(-1).clamp(min=1)
    kept = batch.has_prompt.float()
    count = kept.sum().clamp(min=1)
    best = each[:, :, 1:].min(-1).values + 0.15 * each[:, :, 1:].mean(-1)
    claims = F.mse_loss(iou, real_iou, reduction="none").mean(-1)
    return {
        "mask": ((best + each[:, :, 0]) * kept).sum() / count,
        "iou": 4 * (claims * kept).sum() / count,
        "single_iou": (real_iou[:, :, 0] * kept).sum() / count,
    }


def _near(masks_BPGG: torch.Tensor) -> torch.Tensor:
    """1 within two cells of a mask: where the edge is decided."""
    return F.max_pool2d(masks_BPGG.float(), 5, stride=1, padding=2)


def answer_all(network: Sam3Network, levels: list[torch.Tensor], **prompts) -> tuple[torch.Tensor, torch.Tensor]:
    """Every mask token's answer in one pass; transformers would keep the first one or the last three."""
    decoder = network.tracker.mask_decoder
    decoder.eval()
    decoder._dynamic_multimask_via_stability = lambda masks, iou: (masks, iou)
    try:
        answer = network.click(levels, multimask=False, **prompts)
    finally:
        del decoder._dynamic_multimask_via_stability
    return answer.mask_logits_BPKHW, answer.iou_BPK


def click_step(
    network: Sam3Network,
    levels: list[torch.Tensor],
    batch: WorldBatch,
    kind: float,
) -> dict[str, torch.Tensor]:
    """kind in 0..1 chooses what the person did: mostly points, sometimes a box or a click on an earlier mask."""
    if kind < 0.12:
        return click_losses(
            *answer_all(network, levels, points_px_BPN2=None, labels_BPN=None, boxes_px_BP4=batch.boxes), batch
        )
    if kind < 0.27:
        return _refine_step(network, levels, batch)
    return click_losses(*answer_all(network, levels, points_px_BPN2=batch.points, labels_BPN=batch.labels), batch)


def _refine_step(network: Sam3Network, levels: list[torch.Tensor], batch: WorldBatch) -> dict[str, torch.Tensor]:
    """One object an image: answer a click, then a second one where that answer was wrong, with the mask as input."""
    batch.masks, batch.has_prompt = batch.masks[:, :1], batch.has_prompt[:, :1]
    points, labels = batch.points[:, :1, :2].clone(), batch.labels[:, :1, :2].clone()
    labels[:, :, 1] = PAD
    with torch.no_grad():
        first = answer_all(network, levels, points_px_BPN2=points, labels_BPN=labels)[0][:, :, :1].float()
    wrong = (first[:, 0, 0] > 0) != batch.masks[:, 0]
    flat = wrong.flatten(1).float() + 1e-6
    spot = torch.multinomial(flat, 1)[:, 0]
    cell_px = network.image_size_px / CELLS
    points[:, 0, 1, 0] = (spot % CELLS + 0.5) * cell_px
    points[:, 0, 1, 1] = (spot // CELLS + 0.5) * cell_px
    labels[:, 0, 1] = torch.where(batch.masks[:, 0].flatten(1).gather(1, spot[:, None])[:, 0], POSITIVE, 0)
    return click_losses(
        *answer_all(
            network, levels, points_px_BPN2=points, labels_BPN=labels, mask_logits_B1HW=first[:, 0].clamp(-10, 10)
        ),
        batch,
    )


def train_world(
    network: Sam3Network,
    domains: list[Drawings],
    *,
    steps: int,
    folder: Path,
    seed: int,
    stop: StopRequest | None = None,
    batch_size: int = 16,
    prompts: int = 6,
    rate: float = 2e-3,
) -> float:
    """Runs to `steps`, resuming from the folder; returns the seconds spent. domains[0] alone tells its concepts."""
    head = CellHead()
    trained = [(name, p) for name, p in network.named_parameters() if _is_world(name)] + [
        (f"cells_embed.{name}", p) for name, p in head.named_parameters()
    ]
    use_plain_attention(network)
    network.train()

    def losses_at(step: int) -> dict[str, torch.Tensor]:
        rng = np.random.default_rng([seed, step])
        torch.manual_seed(seed * 1_000_003 + step)
        rows = [rng.integers(0, len(d), batch_size // len(domains)) for d in domains]
        return world_losses(network, head, make_batch(domains, rows, prompts, rng), rng.random())

    optimiser = Optimiser(trained, rate=rate, steps=steps)
    seconds = Stage(folder, {"network": network, "head": head}, optimiser, losses_at, stop).run(steps)
    network.eval()
    return seconds


def world_losses(network: Sam3Network, head: CellHead, batch: WorldBatch, kind: float) -> dict[str, torch.Tensor]:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        tokens = network.encode(batch.pixels)
        losses = dense_losses(head(tokens), batch) | click_step(network, network.tracker_features(tokens), batch, kind)
    total = torch.stack([value for name, value in losses.items() if name != "single_iou"]).sum()
    return losses | {"total": total}


def _is_world(name: str) -> bool:
    """Backbone and click side. The backbone is listed under the detector, which is where the hub stores it."""
    return name.startswith("detector.vision_encoder.backbone.") or (
        name.startswith("tracker.") and "pred_obj_score_head" not in name
    )
