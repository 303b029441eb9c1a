"""A tiny checkpoint laid out as facebook/sam3 is: detector, click decoder and the video model's memory in one file."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers.models.sam3_tracker_video.configuration_sam3_tracker_video import Sam3TrackerVideoConfig
from transformers.models.sam3_video.configuration_sam3_video import Sam3VideoConfig
from transformers.models.sam3_video.modeling_sam3_video import Sam3VideoModel

from mlbackend.model.checkpoint import tracker_config_for
from tests.backend.test_network import SIZE_PX, tiny_config
from training.demo.architecture import write_tokenizer

WIDTH = 128  # the memory's own sizes allow no less


def video_config() -> Sam3VideoConfig:
    detector = tiny_config(width=WIDTH)
    clicks = tracker_config_for(detector)
    tracker = Sam3TrackerVideoConfig(
        vision_config=detector.vision_config.to_dict(),
        prompt_encoder_config=clicks.prompt_encoder_config.to_dict(),
        mask_decoder_config=clicks.mask_decoder_config.to_dict(),
        memory_attention_hidden_size=WIDTH,
        memory_attention_num_layers=1,
        memory_attention_feed_forward_hidden_size=32,
        memory_encoder_hidden_size=WIDTH,
        mask_downsampler_embed_dim=WIDTH,
        memory_fuser_embed_dim=WIDTH,
        memory_fuser_intermediate_dim=32,
        memory_fuser_num_layers=1,
        image_size=SIZE_PX,
    )
    return Sam3VideoConfig(detector_config=detector.to_dict(), tracker_config=tracker.to_dict())


def write_hub_checkpoint(folder: Path, *, seed: int = 7) -> Path:
    """Random weights of every key that Sam3VideoModel has, under the hub's names; no flag of ours in config.json."""
    torch.manual_seed(seed)
    config = video_config()
    state = {key: torch.randn_like(value) * 0.05 + value for key, value in Sam3VideoModel(config).state_dict().items()}
    folder.mkdir(parents=True, exist_ok=True)
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    declared = config.to_dict() | {"architectures": ["Sam3VideoModel"], "dtype": "float32"}
    (folder / "config.json").write_text(json.dumps(declared, indent=1))
    write_tokenizer(folder)
    return folder
