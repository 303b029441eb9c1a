"""Teach the presence score to hesitate: pictures mixed in known proportion (manifold mixup, Verma et al. 2019).

On a few hundred pairs the presence head is soon beyond doubt, and is then as sure of its mistakes as of the rest: no
queue can find them by their presence, and the gate counts them as false alarms. A mixture of a picture that holds the
concept and one that does not has, by construction, a presence between the two. Legend: K mixtures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from training.dataset import Pair
from training.losses import presence_loss
from training.models import Model
from training.sampling import Batch
from training.texts import Texts
from training.token_source import TokenSource
from training.views import PLAIN, View

BLENDS = 3


def partners(batch: Batch, limit: int) -> list[tuple[int, int]]:
    """Places in the batch of (positive, negative) pairs of one phrase, each used once, up to limit."""
    waiting: dict[str, list[int]] = {}
    for place, pair in enumerate(batch.pairs):
        if pair.is_negative:
            waiting.setdefault(pair.phrase, []).append(place)
    found: list[tuple[int, int]] = []
    for place, pair in enumerate(batch.pairs):
        if pair.is_positive and waiting.get(pair.phrase) and len(found) < limit:
            found.append((place, waiting[pair.phrase].pop()))
    return found


@dataclass(frozen=True)
class Mixture:
    """A positive and a negative pair of one phrase, each in its view, and the positive one's share of the picture."""

    positive: Pair
    negative: Pair
    share: float
    positive_view: View = PLAIN
    negative_view: View = PLAIN


def mixtures(batch: Batch, *, limit: int, seed: int, step: int) -> list[Mixture]:
    """The mixtures of a step: a function of its batch, the seed and its number."""
    mixed = partners(batch, limit) if limit else []
    shares = np.random.default_rng([seed, BLENDS, step]).uniform(0, 1, len(mixed))
    pairs, views = batch.pairs, batch.views
    return [
        Mixture(pairs[there], pairs[absent], float(share), views[there], views[absent])
        for (there, absent), share in zip(mixed, shares, strict=True)
    ]


def blend_loss(model: Model, features: TokenSource, texts: Texts, mixed: Sequence[Mixture]) -> torch.Tensor:
    """Presence loss of K mixtures over all decoder layers, their mean, unweighted."""
    share_K = torch.tensor([one.share for one in mixed], dtype=torch.float64).float().to(model.device)
    with_it = features.tokens([one.positive.image for one in mixed], [one.positive_view for one in mixed])
    without = features.tokens([one.negative.image for one in mixed], [one.negative_view for one in mixed])
    tokens = share_K[:, None, None] * with_it + (1 - share_K[:, None, None]) * without
    vision = model.network.coarse_features(tokens)
    detections = model.network.detect(vision, texts([one.positive.phrase for one in mixed]), with_masks=False)
    return torch.stack([presence_loss(layer.presence_logits_P, share_K) for layer in detections.layers]).sum()
