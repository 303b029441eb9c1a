"""Where training starts. Small networks from nothing depend on it: see the demo issue's notes on what was tried."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.fft import dctn
from torch import nn

from mlbackend.model.network import Sam3Network
from training.demo.architecture import GRID, PATCH_PX, QUERIES


def start_network(network: Sam3Network) -> None:
    """PyTorch's own scale for every layer (transformers' 0.02 is for wide models), then informed starts."""
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            module.reset_parameters()
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=0.5)
    backbone = network.detector.vision_encoder.backbone
    _start_patches(backbone.embeddings.patch_embeddings.projection)
    _start_positions(backbone.embeddings.position_embeddings)
    for layer in backbone.layers:
        layer.attention.o_proj.weight.data.mul_(0.5)
        layer.mlp.fc2.weight.data.mul_(0.5)
    _start_decoder(network.detector.detr_decoder)


def use_plain_attention(network: Sam3Network) -> None:
    """Attention as two matrix products: on a CPU and at these sizes its backward pass is a third faster than sdpa's."""
    for module in network.modules():
        if hasattr(module, "config"):
            module.config._attn_implementation = "eager"


def _start_patches(projection: nn.Conv2d) -> None:
    """A low-frequency cosine basis: half for brightness, a quarter for each of two colour differences."""
    width = projection.out_channels
    frequencies = sorted(
        ((u, v) for u in range(PATCH_PX) for v in range(PATCH_PX)), key=lambda f: f[0] ** 2 + f[1] ** 2
    )
    colours = np.array([[1, 1, 1], [1, 0, -1], [-0.5, 1, -0.5]]) / np.sqrt([[3], [2], [1.5]])
    rows = []
    for colour, count, gain in zip(colours, (width // 2, width // 4, width // 4), (1.0, 2.0, 2.0), strict=True):
        for u, v in frequencies[:count]:
            spectrum = np.zeros((PATCH_PX, PATCH_PX))
            spectrum[u, v] = 1.0
            wave = dctn(spectrum, type=3, norm="ortho")
            rows.append(0.08 * gain * (1 + math.hypot(u, v)) * colour[:, None, None] * wave)
    projection.weight.data.copy_(torch.from_numpy(np.stack(rows)).float())


def _start_positions(table_1NC: nn.Parameter) -> None:
    """Sines of row and column, quiet enough to leave the picture audible."""
    width = table_1NC.shape[-1]
    steps = torch.arange(GRID) + 0.5
    waves = torch.exp(torch.linspace(math.log(0.1), math.log(1.6), width // 4))
    angles = steps[:, None] * waves[None]
    axis = torch.cat([angles.sin(), angles.cos()], dim=1)
    rows, cols = axis[:, None].expand(GRID, GRID, -1), axis[None].expand(GRID, GRID, -1)
    table_1NC.data.copy_(0.2 * torch.cat([rows, cols], dim=-1).reshape(1, GRID * GRID, width))


def _start_decoder(decoder: nn.Module) -> None:
    """Queries on a grid over the image, boxes that begin there, and attention that falls off outside a query's box."""
    columns = math.ceil(math.sqrt(QUERIES))
    rows = math.ceil(QUERIES / columns)
    centres = torch.tensor(
        [[(c + 0.5) / columns, 0.3 + 0.62 * (r + 0.5) / rows] for r in range(rows) for c in range(columns)]
    )[:QUERIES]
    boxes = torch.cat([centres, torch.full_like(centres, 0.3)], dim=1)
    decoder.reference_points.weight.data.copy_(torch.logit(boxes))
    nn.init.zeros_(decoder.box_head.layer3.weight)
    nn.init.zeros_(decoder.box_head.layer3.bias)
    for head in (decoder.box_rpb_embed_x, decoder.box_rpb_embed_y):
        _start_falloff(head)


def _start_falloff(head: nn.Module) -> None:
    """Inputs are (x - x1, x - x2), log scaled; relu(x1 - x) and relu(x - x2) measure how far outside the box x lies."""
    nn.init.normal_(head.layer1.weight, std=0.05)
    nn.init.zeros_(head.layer1.bias)
    head.layer1.weight.data[0] = torch.tensor([-1.0, 0.0])
    head.layer1.weight.data[1] = torch.tensor([0.0, 1.0])
    nn.init.normal_(head.layer2.weight, std=0.01)
    nn.init.zeros_(head.layer2.bias)
    strengths = -torch.linspace(2, 6, head.layer2.out_features)
    head.layer2.weight.data[:, 0] = strengths
    head.layer2.weight.data[:, 1] = strengths
