"""A tiny network and its inputs, made from names alone, so that another program can make the same ones.

Meta's own modules were given these weights and inputs; what they answered lies in tests/data/official_sam3/ (its
README says how it was made). Nothing here follows from a library's random numbers but numpy's PCG64.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers.models.sam3.configuration_sam3 import Sam3Config
from transformers.models.sam3.modeling_sam3 import Sam3VisionEncoderOutput

from mlbackend.model.network import Sam3Network, TextFeatures

FILE = Path(__file__).parent / "data" / "official_sam3" / "answers.npz"
WIDTH, QUERIES, LAYERS, TOKENS = 32, 12, 2, 32
SIDES = (16, 8, 4, 2)
IMAGE_ROWS = (0, 1, 1, 0)
TOKEN_COUNTS = (32, 5, 3, 9)


def reference_config() -> Sam3Config:
    part = {"hidden_size": WIDTH, "num_attention_heads": 4, "intermediate_size": 48, "num_layers": LAYERS}
    part |= {"dropout": 0.0}
    return Sam3Config(
        vision_config={
            "model_type": "sam3_vision_model",
            "fpn_hidden_size": WIDTH,
            "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
            "backbone_config": {
                "model_type": "sam3_vit_model",
                "hidden_size": 32,
                "intermediate_size": 32,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "image_size": 56,
                "pretrain_image_size": 28,
                "window_size": 2,
                "global_attn_indexes": [0],
            },
        },
        text_config={
            "model_type": "clip_text_model",
            "vocab_size": 514,
            "hidden_size": WIDTH,
            "intermediate_size": 32,
            "projection_dim": WIDTH,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "max_position_embeddings": TOKENS,
            "bos_token_id": 512,
            "eos_token_id": 513,
            "pad_token_id": 513,
        },
        geometry_encoder_config=part,
        detr_encoder_config=part,
        detr_decoder_config=part | {"num_queries": QUERIES},
        mask_decoder_config={"hidden_size": WIDTH, "num_attention_heads": 4},
    )


def drawn(name: str, shape: tuple[int, ...], scale: float = 1.0) -> torch.Tensor:
    """Normal numbers that follow from the name."""
    numbers = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape)
    return torch.from_numpy((scale * numbers).astype(np.float32))


def reference_network() -> Sam3Network:
    network = Sam3Network.from_config(reference_config())
    with torch.no_grad():
        for name, parameter in network.detector.named_parameters():
            parameter.copy_(_weight(name, tuple(parameter.shape)))
    return network


def _weight(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """Matrices keep the size of what passes them; norms stay near 1; boxes stay near their reference points."""
    if "norm" in name:
        return drawn(name, shape, 0.1) + (1.0 if name.endswith("weight") else 0.0)
    if name.endswith(("reference_points.weight", "query_embed.weight", "presence_token.weight", "cls_embed.weight")):
        return drawn(name, shape)
    fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else 16
    return drawn(name, shape, 0.3 if "box_head.layer3" in name else 1.2) / fan_in**0.5


@dataclass(frozen=True)
class ReferenceInputs:
    vision: Sam3VisionEncoderOutput
    text: TextFeatures
    image_rows_P: torch.Tensor


def reference_inputs() -> ReferenceInputs:
    levels = tuple(drawn(f"level {side}", (2, WIDTH, side, side)) for side in SIDES)
    positions = tuple(drawn(f"position {side}", (1, WIDTH, side, side), 0.5).repeat(2, 1, 1, 1) for side in SIDES)
    mask = torch.arange(TOKENS)[None] < torch.tensor(TOKEN_COUNTS)[:, None]
    text = TextFeatures(drawn("text", (len(TOKEN_COUNTS), TOKENS, WIDTH)), mask)
    vision = Sam3VisionEncoderOutput(fpn_hidden_states=levels, fpn_position_encoding=positions)
    return ReferenceInputs(vision, text, torch.tensor(IMAGE_ROWS))


def reference_answers() -> dict[str, torch.Tensor]:
    with np.load(FILE) as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}
