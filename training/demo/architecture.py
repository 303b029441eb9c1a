"""The demo model's sizes and tokenizer: SAM 3's own architecture, with nothing changed but the numbers."""

from __future__ import annotations

from pathlib import Path

from transformers import CLIPTokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode
from transformers.models.sam3.configuration_sam3 import Sam3Config

IMAGE_SIZE_PX = 224
PATCH_PX = 14
GRID = IMAGE_SIZE_PX // PATCH_PX
VIT_WIDTH = 128
NECK_WIDTH = 64
QUERIES = 20
CONCEPTS = ("chicken", "duck", "rock", "feeder", "egg")


def demo_config() -> Sam3Config:
    """2.7 M parameters. One window spans the image, so that no token attends to padding."""
    neck = {"hidden_size": NECK_WIDTH, "num_attention_heads": 4, "intermediate_size": 256, "dropout": 0.0}
    vocabulary = byte_vocabulary()
    return Sam3Config(
        vision_config={
            "model_type": "sam3_vision_model",
            "fpn_hidden_size": NECK_WIDTH,
            "backbone_feature_sizes": [[4 * GRID] * 2, [2 * GRID] * 2, [GRID] * 2],
            "backbone_config": {
                "model_type": "sam3_vit_model",
                "hidden_size": VIT_WIDTH,
                "intermediate_size": 4 * VIT_WIDTH,
                "num_hidden_layers": 6,
                "num_attention_heads": 4,
                "image_size": IMAGE_SIZE_PX,
                "patch_size": PATCH_PX,
                "window_size": GRID,
                "global_attn_indexes": [5],
                "pretrain_image_size": IMAGE_SIZE_PX,
            },
        },
        text_config={
            "model_type": "clip_text_model",
            "vocab_size": len(vocabulary),
            "hidden_size": NECK_WIDTH,
            "intermediate_size": 256,
            "projection_dim": NECK_WIDTH,
            "num_hidden_layers": 1,
            "num_attention_heads": 4,
            "max_position_embeddings": 32,
            "bos_token_id": vocabulary["<|startoftext|>"],
            "eos_token_id": vocabulary["<|endoftext|>"],
            "pad_token_id": vocabulary["<|endoftext|>"],
        },
        geometry_encoder_config=neck | {"num_layers": 1},
        detr_encoder_config=neck | {"num_layers": 2},
        detr_decoder_config=neck | {"num_layers": 3, "num_queries": QUERIES},
        mask_decoder_config={"hidden_size": NECK_WIDTH, "num_attention_heads": 4, "num_upsampling_stages": 3},
    )


def byte_vocabulary() -> dict[str, int]:
    """Every byte, alone and at a word's end: with no merges any word becomes its letters."""
    letters = list(bytes_to_unicode().values())
    words = letters + [f"{letter}</w>" for letter in letters] + ["<|startoftext|>", "<|endoftext|>"]
    return {word: index for index, word in enumerate(words)}


def write_tokenizer(folder: Path) -> None:
    CLIPTokenizer(vocab=byte_vocabulary(), merges=[]).save_pretrained(folder)
