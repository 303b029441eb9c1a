"""Boxes as examples of a concept ("find more like this"), without torchvision.

transformers' geometry encoder calls torchvision.ops.roi_align, whose wheel can't be loaded beside a CPU torch; the same
definition is written here as two small matrices a box. Legend: C channels, H W feature rows and columns, R bins a side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from transformers.models.sam3.modeling_sam3 import Sam3GeometryEncoder

from mlbackend.model.geometry import attend
from mlbackend.model.network import Sam3Network, TextFeatures
from mlbackend.model.prompts import ExemplarBox


def with_exemplars(
    network: Sam3Network,
    vision,
    text: TextFeatures,
    exemplars: Sequence[ExemplarBox],
    width_px: int,
    height_px: int,
) -> TextFeatures:
    """One phrase's text features followed by its exemplars', as Sam3Model.forward joins them."""
    boxes = torch.tensor(
        [_cxcywh_norm(exemplar.box_xyxy, width_px, height_px) for exemplar in exemplars],
        dtype=torch.float32,
        device=text.features_PTC.device,
    )
    labels = torch.tensor([int(exemplar.positive) for exemplar in exemplars], device=boxes.device)
    geometry = encode_boxes(network.detector.geometry_encoder, vision, boxes, labels)
    real = torch.ones(1, geometry.shape[1], dtype=torch.bool, device=geometry.device)
    features, mask = torch.cat([text.features_PTC, geometry], dim=1), torch.cat([text.mask_PT, real], dim=1)
    return TextFeatures(features, mask, has_cls=True)


def encode_boxes(encoder: Sam3GeometryEncoder, vision, boxes_N4: torch.Tensor, labels_N: torch.Tensor) -> torch.Tensor:
    """Features (1, N + 1, C) of N boxes (cx cy w h in 0..1) on one image: Sam3GeometryEncoder.forward, box by box."""
    prompts = _embed(encoder, vision.fpn_hidden_states[-2], boxes_N4, labels_N)
    return attend(encoder, torch.cat([prompts, encoder.cls_embed.weight.view(1, 1, -1)], dim=1), vision)


def _embed(
    encoder: Sam3GeometryEncoder,
    features_1CHW: torch.Tensor,
    boxes_N4: torch.Tensor,
    labels_N: torch.Tensor,
) -> torch.Tensor:
    """Coordinates, pooled features, position and label of each box, added up: (1, N, C)."""
    normed = encoder.vision_layer_norm(features_1CHW.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    height, width = normed.shape[-2:]
    centre, size = boxes_N4[:, :2], boxes_N4[:, 2:]
    corners = torch.cat([centre - 0.5 * size, centre + 0.5 * size], dim=1)
    pooled = roi_align(normed[0], corners * corners.new_tensor([width, height, width, height]), encoder.roi_size)
    position = encoder._encode_box_coordinates(*boxes_N4.unbind(-1))
    embedded = (
        encoder.boxes_direct_project(boxes_N4)
        + encoder.boxes_pool_project(pooled).flatten(1)
        + encoder.boxes_pos_enc_project(position)
        + encoder.label_embed(labels_N)
    )
    return embedded[None]


def roi_align(features_CHW: torch.Tensor, boxes_xyxy_N4: torch.Tensor, bins: int) -> torch.Tensor:
    """Mean of bilinear samples in bins x bins cells of each box, (N, C, bins, bins).

    Boxes are in feature cells. As torchvision's roi_align with its defaults (aligned=False, sampling_ratio=-1), which
    is Mask R-CNN's definition: a sample more than one cell outside counts as 0.
    """
    _, height, width = features_CHW.shape
    pooled = []
    for x0, y0, x1, y1 in boxes_xyxy_N4.tolist():
        rows = _bin_weights(y0, y1, height, bins).to(features_CHW)
        columns = _bin_weights(x0, x1, width, bins).to(features_CHW)
        pooled.append(torch.einsum("rh,chw,sw->crs", rows, features_CHW, columns))
    return torch.stack(pooled)


def _bin_weights(start: float, stop: float, cells: int, bins: int) -> torch.Tensor:
    """(bins, cells): how much each cell contributes to each bin along one axis."""
    length = max(stop - start, 1.0)
    samples = math.ceil(length / bins)
    step = length / bins / samples
    at = start + (torch.arange(bins * samples, dtype=torch.float64) + 0.5) * step
    inside = (at >= -1.0) & (at <= cells)
    at = at.clamp(0, cells - 1)
    low = at.floor().long()
    high = (low + 1).clamp(max=cells - 1)
    weights = torch.zeros(bins * samples, cells, dtype=torch.float64)
    rows = torch.arange(bins * samples)
    weights[rows, low] += 1 - (at - low)
    weights[rows, high] += at - low
    return (weights * inside[:, None]).view(bins, samples, cells).mean(dim=1)


def _cxcywh_norm(box_xyxy: tuple[float, float, float, float], width_px: int, height_px: int) -> list[float]:
    x0, y0, x1, y1 = box_xyxy
    return [(x0 + x1) / 2 / width_px, (y0 + y1) / 2 / height_px, (x1 - x0) / width_px, (y1 - y0) / height_px]
