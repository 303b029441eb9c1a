"""The geometry encoder on prompts that are embedded already, and its CLS token alone.

Legend: B images, N prompts of an image, C channels.
"""

from __future__ import annotations

import torch
from transformers.models.sam3.modeling_sam3 import Sam3GeometryEncoder, Sam3VisionEncoderOutput


def cls_tokens(encoder: Sam3GeometryEncoder, vision: Sam3VisionEncoderOutput) -> torch.Tensor:
    """(B, 1, C): what the encoder makes of an image where nobody showed it anything.

    Meta's model puts it behind the words of every prompt (sam3_image.py, _encode_prompt); transformers' Sam3Model
    leaves the encoder out where there are no boxes.
    """
    images = vision.fpn_hidden_states[-2].shape[0]
    return attend(encoder, encoder.cls_embed.weight.view(1, 1, -1).expand(images, -1, -1), vision)


def attend(encoder: Sam3GeometryEncoder, embedded_BNC: torch.Tensor, vision: Sam3VisionEncoderOutput) -> torch.Tensor:
    """Sam3GeometryEncoder.forward behind the embedding of its prompts: (B, N, C), each having looked at its image."""
    features, position = (
        level.flatten(2).transpose(1, 2) for level in (vision.fpn_hidden_states[-2], vision.fpn_position_encoding[-2])
    )
    prompts = encoder.prompt_layer_norm(encoder.final_proj(embedded_BNC))
    for layer in encoder.layers:
        prompts = layer(prompt_feats=prompts, vision_feats=features, vision_pos_encoding=position, prompt_mask=None)
    return encoder.output_layer_norm(prompts)
