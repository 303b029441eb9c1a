"""What of a model a run moves: the heads alone, the ViT with them, or adapters in the ViT; and how fast each part."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from torch import nn

from mlbackend.model.network import Sam3Network
from training.adapters import ADAPTED, adapters, add_adapters, merge_adapters
from training.config import Config
from training.features import FeatureStore
from training.fit import Fit
from training.heads import trainable
from training.models import Model
from training.pictures import MovingVit
from training.token_source import TokenSource
from training.vit import choose_vit_dtype


def token_source(config: Config, model: Model, out: Path, fit: Fit, *, keeps: bool = True) -> TokenSource:
    """The cache of what the frozen ViT made, or the ViT itself where it learns; `keeps`: this process writes it."""
    if config.vit != "frozen":
        return MovingVit(
            model,
            config.images,
            memory_mib=config.memory_mib,
            max_pixels=config.max_pixels,
            encode_images=fit.encode_images,
        )
    return FeatureStore(
        model,
        config.images,
        config.features or out / "features",
        read_also=config.features_read_also,
        memory_mib=config.memory_mib,
        disk_mib=config.features_mib,
        max_pixels=config.max_pixels,
        vit_dtype=choose_vit_dtype(config.vit_dtype, model.device),
        encode_images=fit.encode_images,
        keeps=keeps,
    )


def prepared(network: Sam3Network, config: Config) -> dict[str, nn.Parameter]:
    """Put adapters in where some are asked for; what learns, by name. Everything else is frozen."""
    if config.vit == "lora":
        add_adapters(network, config)
    return learning(network, config)


def learning(network: Sam3Network, config: Config) -> dict[str, nn.Parameter]:
    """Of a prepared network. A projection with an adapter is moved by that alone."""
    chosen = trainable(
        network, with_text=config.text_rate > 0, with_neck=config.neck_rate > 0, with_vit=config.vit == "full"
    )
    if config.vit != "lora":
        return chosen
    for name in [name for name in chosen if ADAPTED in name]:
        chosen.pop(name).requires_grad_(False)
    for parameter in (added := adapters(network)).values():
        parameter.requires_grad_(True)
    return chosen | added


def as_served(model: Model, config: Config) -> Model:
    """Adapters merged, and the hash of a ViT that moved: none of the features made before may be taken for its own."""
    if config.vit == "lora":
        merge_adapters(model.network)
    return model if config.vit == "frozen" else replace(model, backbone_hash=model.network.backbone_hash())
