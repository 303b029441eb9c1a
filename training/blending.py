"""Teach the presence score to hesitate: pictures mixed in known proportion (manifold mixup, Verma et al. 2019).

On a few hundred pairs the presence head is soon beyond doubt, and is then as sure of its mistakes as of the rest: no
queue can find them by their presence, and the gate counts them as false alarms. A mixture of a picture that holds the
concept and one that does not has, by construction, a presence between the two. Legend: K mixtures.
"""

from __future__ import annotations

import numpy as np
import torch

from training.dataset import Pair
from training.features import FeatureStore
from training.losses import presence_loss
from training.models import Model
from training.sampling import Batch

BLENDS = 3


def partners(batch: Batch, limit: int) -> list[tuple[Pair, Pair]]:
    """(positive, negative) pairs of one phrase, each used once, as many as the batch has up to limit."""
    waiting: dict[str, list[Pair]] = {}
    for pair in batch.pairs:
        if pair.is_negative:
            waiting.setdefault(pair.phrase, []).append(pair)
    found: list[tuple[Pair, Pair]] = []
    for pair in batch.pairs:
        if pair.is_positive and waiting.get(pair.phrase) and len(found) < limit:
            found.append((pair, waiting[pair.phrase].pop()))
    return found


def blend_loss(
    model: Model, features: FeatureStore, batch: Batch, *, limit: int, seed: int, step: int
) -> torch.Tensor | None:
    """Presence loss of K mixtures over all decoder layers, unweighted; None where the batch offers no partners."""
    mixed = partners(batch, limit)
    if not mixed:
        return None
    share_K = torch.from_numpy(np.random.default_rng([seed, BLENDS, step]).uniform(0, 1, len(mixed))).float()
    share_K = share_K.to(model.device)
    with_it = features.tokens([positive.image for positive, _ in mixed], mirrored=batch.mirrored)
    without = features.tokens([negative.image for _, negative in mixed], mirrored=batch.mirrored)
    tokens = share_K[:, None, None] * with_it + (1 - share_K[:, None, None]) * without
    phrases = sorted({positive.phrase for positive, _ in mixed})
    rows = torch.tensor([phrases.index(positive.phrase) for positive, _ in mixed], device=model.device)
    vision = model.network.detector_features(tokens)
    detections = model.network.detect(vision, model.texts(phrases).rows(rows), with_masks=False)
    return torch.stack([presence_loss(layer.presence_logits_P, share_K) for layer in detections.layers]).sum()
