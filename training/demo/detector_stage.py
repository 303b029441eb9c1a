"""Second stage: neck, text tower, DETR, presence and masks learn the concepts, on easy pictures only.

The ViT is frozen, so each picture goes through it once and training reads its tokens from disk.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers.models.sam3.modeling_sam3 import Sam3VisionEncoderOutput

from mlbackend.model.inputs import PhraseTokenizer
from mlbackend.model.network import Sam3Network, TextFeatures
from training.demo.architecture import CONCEPTS, GRID, IMAGE_SIZE_PX, VIT_WIDTH
from training.demo.drawings import MAX_INSTANCES, Drawings
from training.demo.optimiser import Optimiser
from training.demo.prompts import CELLS, boxes_by_number, small_numbers
from training.demo.stage import Stage
from training.demo.start import use_plain_attention
from training.launch import StopRequest
from training.losses import LossWeights, Target, detection_loss, presence_loss

# Never drawn, so always absent: an untaught word should not find everything.
OTHER_WORDS = (
    "horse",
    "tractor",
    "cow",
    "dog",
    "person",
    "bucket",
    "sheep",
    "cat",
    "goat",
    "car",
    "tree",
    "pig",
    "rabbit",
    "shovel",
    "cup",
    "banana",
    "bird house",
    "wheel",
    "ladder",
    "fuse",
)
WEIGHTS = LossWeights(presence_smoothing=0.03)


@dataclass(frozen=True)
class Lesson:
    """Pictures as the frozen ViT sees them. tokens (N, 2, GRID * GRID, C) fp16, upright and mirrored; numbers
    (N, 64, 64); boxes (N, 8, 4) xyxy 0..1; concepts (N, 8), -1 where there is none. All of the upright picture."""

    tokens: np.ndarray
    numbers: np.ndarray
    boxes: np.ndarray
    concepts: np.ndarray


@torch.inference_mode()
def encode_drawings(network: Sam3Network, drawings: Drawings, path: Path, batch_size: int = 32) -> Lesson:
    count = len(drawings)
    tokens = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=(count, 2, GRID * GRID, VIT_WIDTH))
    numbers, boxes = np.zeros((count, CELLS, CELLS), np.uint8), np.zeros((count, MAX_INSTANCES, 4), np.float32)
    for start in range(0, count, batch_size):
        stop = min(start + batch_size, count)
        pixels = torch.from_numpy(np.array(drawings.images[start:stop])).permute(0, 3, 1, 2).float() / 127.5 - 1
        for side, view in enumerate((pixels, pixels.flip(-1))):
            tokens[start:stop, side] = network.encode(view.contiguous()).numpy().astype(np.float16)
        for index in range(start, stop):
            numbers[index] = small_numbers(drawings.numbers[index])
            for number, box in boxes_by_number(drawings.numbers[index]).items():
                boxes[index, number - 1] = box / IMAGE_SIZE_PX
    return Lesson(tokens, numbers, boxes, np.asarray(drawings.concepts))


@dataclass
class Question:
    """Tokens of B images, and P phrases asked of images rows_P with their truth."""

    tokens_BNC: torch.Tensor
    rows_P: torch.Tensor
    phrases: list[str]
    targets: list[Target]
    blend: Blend


@dataclass
class Blend:
    """Two pictures' tokens in random proportion, one phrase each, and the share of the mixture that holds it.

    On easy pictures presence is soon beyond doubt, and a head that was never in doubt is sure of everything it meets
    later. Mixtures teach it to hesitate between the two (manifold mixup, Verma et al. 2019), from easy pictures alone.
    """

    tokens_BNC: torch.Tensor
    phrases: list[str]
    present_B: torch.Tensor


def ask(lesson: Lesson, indices: np.ndarray, rng: np.random.Generator) -> Question:
    """Two phrases a picture: one that is there if any is, one that is not; now and then a word never drawn."""
    tokens, rows, phrases, targets = [], [], [], []
    for row, index in enumerate(indices):
        mirrored = bool(rng.random() < 0.5)
        tokens.append(torch.from_numpy(lesson.tokens[index, int(mirrored)].astype(np.float32)))
        here = set(lesson.concepts[index][lesson.concepts[index] >= 0].tolist())
        absent = [c for c in range(len(CONCEPTS)) if c not in here]
        chosen = [int(rng.choice(sorted(here)))] if here else [int(rng.choice(absent))]
        chosen.append(-1 if rng.random() < 0.12 else int(rng.choice(absent)))
        for concept in chosen:
            rows.append(row)
            phrases.append(CONCEPTS[concept] if concept >= 0 else str(rng.choice(OTHER_WORDS)))
            targets.append(truth_of(lesson, int(index), concept, mirrored))
    stacked = torch.stack(tokens)
    return Question(stacked, torch.tensor(rows), phrases, targets, _blend(lesson, indices, stacked, rng))


def _blend(lesson: Lesson, indices: np.ndarray, tokens_BNC: torch.Tensor, rng: np.random.Generator) -> Blend:
    share = rng.uniform(0, 1, len(indices)).astype(np.float32)
    partners = np.roll(np.arange(len(indices)), 1)
    present, phrases = np.zeros(len(indices), np.float32), []
    for row, partner in enumerate(partners):
        here, there = (set(lesson.concepts[indices[i]].tolist()) - {-1} for i in (row, partner))
        differing = sorted(here ^ there)
        concept = int(rng.choice(differing)) if differing else int(rng.integers(len(CONCEPTS)))
        present[row] = share[row] * (concept in here) + (1 - share[row]) * (concept in there)
        phrases.append(CONCEPTS[concept])
    weight = torch.from_numpy(share)[:, None, None]
    return Blend(weight * tokens_BNC + (1 - weight) * tokens_BNC[partners], phrases, torch.from_numpy(present))


def truth_of(lesson: Lesson, index: int, concept: int, mirrored: bool) -> Target:
    slots = np.flatnonzero(lesson.concepts[index] == concept) if concept >= 0 else np.zeros(0, int)
    masks = lesson.numbers[index][None] == (slots + 1)[:, None, None]
    boxes = lesson.boxes[index][slots]
    if mirrored:
        masks = masks[:, :, ::-1].copy()
        boxes = np.stack([1 - boxes[:, 2], boxes[:, 1], 1 - boxes[:, 0], boxes[:, 3]], axis=1)
    return Target(torch.from_numpy(boxes), torch.from_numpy(masks))


def train_detector(
    network: Sam3Network,
    tokenizer: PhraseTokenizer,
    lesson: Lesson,
    *,
    steps: int,
    folder: Path,
    seed: int,
    stop: StopRequest | None = None,
    batch_size: int = 16,
    rate: float = 2e-3,
) -> float:
    """Runs to `steps`, resuming from the folder; returns the seconds spent."""
    trained = [(name, p) for name, p in network.detector.named_parameters() if is_head(name)]
    use_plain_attention(network)
    network.train()

    def losses_at(step: int) -> dict[str, torch.Tensor]:
        rng = np.random.default_rng([seed, 7, step])
        torch.manual_seed(seed * 1_000_003 + step)
        question = ask(lesson, rng.integers(0, len(lesson.concepts), batch_size), rng)
        return answer_loss(network, tokenizer, question)

    optimiser = Optimiser(trained, rate=rate, steps=steps)
    seconds = Stage(folder, {"network": network}, optimiser, losses_at, stop).run(steps)
    network.eval()
    return seconds


def is_head(name: str) -> bool:
    """Of the detector: all but the ViT and the parts that no text prompt reaches."""
    return not name.startswith(
        (
            "vision_encoder.backbone.",
            "geometry_encoder.",
            "text_encoder.text_projection",
            "mask_decoder.semantic_projection",
            "vision_encoder.neck.fpn_layers.3.",
        )
    )


def answer_loss(network: Sam3Network, tokenizer: PhraseTokenizer, question: Question) -> dict[str, torch.Tensor]:
    positives = torch.tensor([row for row, target in enumerate(question.targets) if len(target.boxes_xyxy_M4)])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        vision = network.detector_features(question.tokens_BNC)
        found = network.detect(
            vision,
            _text(network, tokenizer, question.phrases),
            image_rows_P=question.rows_P,
            mask_rows=positives,
            with_masks=len(positives) > 0,
        )
        blended = network.detect(
            _coarse_features(network, question.blend.tokens_BNC),
            _text(network, tokenizer, question.blend.phrases),
            with_masks=False,
        )
    losses = detection_loss(found, question.targets, mask_rows=positives, weights=WEIGHTS)
    doubt = (
        WEIGHTS.presence
        * torch.stack(
            [presence_loss(layer.presence_logits_P, question.blend.present_B) for layer in blended.layers]
        ).sum()
    )
    return losses | {"doubt": doubt, "total": losses["total"] + doubt}


def _text(network: Sam3Network, tokenizer: PhraseTokenizer, phrases: list[str]) -> TextFeatures:
    """Each different phrase goes through the text tower once."""
    words = sorted(set(phrases))
    return network.text_features(*tokenizer(words)).rows(torch.tensor([words.index(phrase) for phrase in phrases]))


def _coarse_features(network: Sam3Network, tokens_BNC: torch.Tensor) -> Sam3VisionEncoderOutput:
    """All that detection without masks reads: the neck's coarsest used level, twice because the last one is dropped."""
    neck = network.detector.vision_encoder.neck
    level = neck.fpn_layers[2](tokens_BNC.view(-1, GRID, GRID, VIT_WIDTH).permute(0, 3, 1, 2))
    position = neck.position_encoding(level.shape, level.device, level.dtype)
    return Sam3VisionEncoderOutput(fpn_hidden_states=(level, level), fpn_position_encoding=(position, position))
