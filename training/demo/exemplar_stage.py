"""Third stage: the geometry encoder learns what "like this one" means, on easy and hard pictures alike.

Everything else stands still, so what the model answers to phrases and clicks stays bit for bit what it was: only a
question that comes with a box is answered by what is learnt here.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from mlbackend.model.exemplars import encode_boxes
from mlbackend.model.inputs import PhraseTokenizer
from mlbackend.model.network import Sam3Network, TextFeatures
from training.demo.architecture import CONCEPTS
from training.demo.detector_stage import WEIGHTS, Lesson, truth_of
from training.demo.optimiser import Optimiser
from training.demo.stage import Stage
from training.launch import StopRequest
from training.losses import Target, detection_loss

ANY_WORD = "visual"  # SAM 3's own word for boxes without a phrase
WORDLESS_SHARE = 0.4
JITTER = 0.1  # of the box's sides: people frame an object, they do not measure it


def train_exemplars(
    network: Sam3Network,
    tokenizer: PhraseTokenizer,
    lessons: list[Lesson],
    *,
    steps: int,
    folder: Path,
    seed: int,
    stop: StopRequest | None = None,
    batch_size: int = 16,
    rate: float = 1e-3,
) -> float:
    """Runs to `steps`, resuming from the folder; returns the seconds spent."""
    encoder = network.detector.geometry_encoder
    network.requires_grad_(False)
    encoder.requires_grad_(True)

    def losses_at(step: int) -> dict[str, torch.Tensor]:
        rng = np.random.default_rng([seed, 11, step])
        torch.manual_seed(seed * 1_000_003 + step)
        return _loss(network, tokenizer, lessons[step % len(lessons)], batch_size, rng)

    optimiser = Optimiser(list(encoder.named_parameters()), rate=rate, steps=steps)
    seconds = Stage(folder, {"encoder": encoder}, optimiser, losses_at, stop).run(steps)
    network.requires_grad_(True)
    return seconds


def _loss(
    network: Sam3Network, tokenizer: PhraseTokenizer, lesson: Lesson, batch_size: int, rng: np.random.Generator
) -> dict[str, torch.Tensor]:
    """Of each picture one concept that is there, and one or two of its objects as examples; all are to be found."""
    shown = int(rng.integers(1, 3))
    tokens: list[torch.Tensor] = []
    phrases, targets, boxes = [], [], []
    while len(tokens) < batch_size:
        index, mirrored = int(rng.integers(len(lesson.concepts))), bool(rng.random() < 0.5)
        many = [c for c in range(len(CONCEPTS)) if (lesson.concepts[index] == c).sum() >= shown]
        if not many:
            continue
        concept = int(rng.choice(many))
        target = truth_of(lesson, index, concept, mirrored)
        tokens.append(torch.from_numpy(lesson.tokens[index, int(mirrored)].astype(np.float32)))
        phrases.append(ANY_WORD if rng.random() < WORDLESS_SHARE else CONCEPTS[concept])
        boxes.append(_jittered(target.boxes_xyxy_M4[rng.permutation(len(target.boxes_xyxy_M4))[:shown]], rng))
        targets.append(target)
    return _answer_loss(network, tokenizer, torch.stack(tokens), phrases, torch.stack(boxes), targets)


def _answer_loss(
    network: Sam3Network,
    tokenizer: PhraseTokenizer,
    tokens_BNC: torch.Tensor,
    phrases: list[str],
    boxes_BM4: torch.Tensor,
    targets: list[Target],
) -> dict[str, torch.Tensor]:
    with torch.no_grad():
        vision = network.detector_features(tokens_BNC)
        words = network.text_features(*tokenizer(phrases))
    labels = torch.ones(boxes_BM4.shape[1], dtype=torch.long)
    encoder = network.detector.geometry_encoder
    shown = torch.cat([encode_boxes(encoder, _picture(vision, b), boxes, labels) for b, boxes in enumerate(boxes_BM4)])
    real = torch.ones(shown.shape[:2], dtype=torch.bool)
    text = TextFeatures(torch.cat([words.features_PTC, shown], dim=1), torch.cat([words.mask_PT, real], dim=1))
    rows = torch.arange(len(targets))
    found = network.detect(vision, text, mask_rows=rows)
    return detection_loss(found, targets, mask_rows=rows, weights=WEIGHTS)


def _picture(vision, index: int):
    """The features of one picture of a batch, in the same shape."""
    rows = slice(index, index + 1)
    return type(vision)(
        fpn_hidden_states=tuple(level[rows] for level in vision.fpn_hidden_states),
        fpn_position_encoding=tuple(level[:1] for level in vision.fpn_position_encoding),
    )


def _jittered(boxes_M4: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """cx cy w h, as the encoder takes them, each side off by up to a tenth."""
    size = (boxes_M4[:, 2:] - boxes_M4[:, :2]).repeat(1, 2)
    moved = boxes_M4 + torch.from_numpy(rng.uniform(-JITTER, JITTER, boxes_M4.shape).astype(np.float32)) * size
    moved = moved.clamp(0, 1)
    return torch.cat([(moved[:, :2] + moved[:, 2:]) / 2, moved[:, 2:] - moved[:, :2]], dim=1)
