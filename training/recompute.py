"""Layers that are computed again in the backward pass instead of being remembered (gradient checkpointing).

What a layer of the detector's encoder or decoder leaves behind for the backward pass is many times what goes into it;
the bias that ties a decoder layer's queries to its boxes alone is 33 MB a pair at full size, six times over. Here a
layer remembers its input, and the bias is made inside it. Answers and gradients stay the same, dropout included.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from mlbackend.model.network import Sam3Network
from training.heads import vit_learns

Forward = Callable[..., Any]


def recompute_layers(network: Sam3Network) -> None:
    """From now on the detector's DETR and text layers, and a ViT's that learns, forget while they learn. For a network
    that is not served."""
    detector: Any = network.detector
    vit_layers = detector.vision_encoder.backbone.layers if vit_learns(network) else []
    for layer in [*detector.detr_encoder.layers, *text_layers(detector), *vit_layers]:
        layer.forward = _forgetting(layer, layer.forward)
    _make_bias_inside(detector.detr_decoder)


def text_layers(detector: nn.Module) -> list[nn.Module]:
    return [module for module in detector.get_submodule("text_encoder").modules() if _is_layer(module)]


def _is_layer(module: nn.Module) -> bool:
    return type(module).__name__ == "CLIPEncoderLayer"


def recomputed(function: Forward, *arguments: Any, **named: Any) -> Any:
    """function's answer, which is computed again when its gradient is asked for."""
    if not torch.is_grad_enabled():
        return function(*arguments, **named)
    return checkpoint(function, *arguments, use_reentrant=False, **named)


def _forgetting(layer: nn.Module, plain: Forward) -> Forward:
    def forward(*arguments: Any, **named: Any) -> Any:
        if not layer.training:
            return plain(*arguments, **named)
        return recomputed(plain, *arguments, **named)

    return forward


def _make_bias_inside(decoder: Any) -> None:
    """The decoder makes the bias before it calls a layer; while it learns it gets a stand-in and the layer makes it."""
    make_bias, asked = decoder._get_rpb_matrix, []

    def make_later(boxes_PQ4: torch.Tensor, shape: Any) -> torch.Tensor:
        if not (decoder.training and torch.is_grad_enabled()):
            return make_bias(boxes_PQ4, shape)
        asked.append((boxes_PQ4, shape))
        return boxes_PQ4.new_zeros(1, 1, 1, 1)

    decoder._get_rpb_matrix = make_later
    for layer in decoder.layers:
        layer.forward = _with_bias(layer.forward, make_bias, asked)


def _with_bias(plain: Forward, make_bias: Forward, asked: list[tuple[torch.Tensor, Any]]) -> Forward:
    def forward(hidden_PQC: torch.Tensor, **named: Any) -> Any:
        if not asked:
            return plain(hidden_PQC, **named)
        boxes_PQ4, shape = asked.pop()

        def run(hidden_PQC: torch.Tensor, boxes_PQ4: torch.Tensor, **named: Any) -> Any:
            # The presence token comes first and attends to all of the image equally.
            bias = F.pad(make_bias(boxes_PQ4, shape), (0, 0, 1, 0))
            return plain(hidden_PQC, **named | {"vision_cross_attn_mask": bias})

        return recomputed(run, hidden_PQC, boxes_PQ4, **named)

    return forward
