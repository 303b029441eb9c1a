"""Which image each prompt is asked of."""

from __future__ import annotations

from collections.abc import Callable

import torch
from transformers.models.sam3.modeling_sam3 import Sam3VisionEncoderOutput


def rows_for_prompts(
    vision: Sam3VisionEncoderOutput, prompts: int, image_rows_P: torch.Tensor | None
) -> Callable[[torch.Tensor], torch.Tensor]:
    """What makes one row a prompt of a level or its positions. The coarsest of four is unused, as in Sam3Model."""
    if image_rows_P is not None:
        return lambda level: level[image_rows_P]
    images = vision.fpn_hidden_states[-2].shape[0]
    if images == prompts:
        return lambda level: level
    if images != 1:
        raise ValueError(f"{prompts} prompts over {images} images: say which with image_rows_P")
    return lambda level: level.expand(prompts, -1, -1, -1)
