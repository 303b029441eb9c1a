"""What a step of the clicks takes, on tensors without contents: see rehearsal.py."""

from __future__ import annotations

import torch

from mlbackend.model.network import Sam3Network
from training.clicks import at_size, click_losses, tuned
from training.targets import TARGET_CELLS_PER_TOKEN

POINTS = 3


def pretend_clicks(network: Sam3Network, tokens_BNC: torch.Tensor) -> None:
    """Forward and backward of the costliest round there is: three masks each, beside an earlier one."""
    network.requires_grad_(False)
    parameters = tuned(network).values()
    with torch.no_grad():
        levels = network.tracker_features(tokens_BNC)
    objects, side = len(tokens_BNC), network.grid_size
    answer = network.click(
        levels,
        torch.empty(objects, 1, POINTS, 2),
        torch.ones(objects, 1, POINTS, dtype=torch.long),
        mask_logits_B1HW=torch.empty(objects, 1, 4 * side, 4 * side),
    )
    truth_BHW = torch.empty(objects, TARGET_CELLS_PER_TOKEN * side, TARGET_CELLS_PER_TOKEN * side)
    masks_BKHW = at_size(answer.mask_logits_BPKHW[:, 0], truth_BHW.shape[-2:])
    click_losses(masks_BKHW, answer.iou_BPK[:, 0], truth_BHW).sum().backward()
    for parameter in parameters:
        parameter.grad = None
