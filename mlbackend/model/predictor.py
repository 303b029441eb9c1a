"""One loaded model version: pixels to embeddings, embeddings and prompts to masks. Holds no state between calls.

Precision: the ViT may run in bf16 (it is 90 % of the work); text, detector and click decoder stay in fp32, where
half a pixel of a click still counts. Legend as in network.py: B images, P prompts, Q queries, K masks.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter

import numpy as np
import torch
from cachetools import LRUCache, cachedmethod

from mlbackend.model.exemplars import with_exemplars
from mlbackend.model.inputs import PhraseTokenizer, PromptTooLong, preprocess
from mlbackend.model.logits import stability
from mlbackend.model.network import Sam3Network, TextFeatures
from mlbackend.model.prompts import ExemplarBox, Point
from mlbackend.model.temperature import UNCHANGED
from mlbackend.store.embeddings import Embedding, preprocessing_of, round_to_fp16

CLICK_LEVELS = ("fine", "middle", "coarse")
MASK_LOGIT_LIMIT = 32.0  # SAM clamps a mask that is fed back as a prompt
TEXTS_KEPT = 512
PROMPTS_AT_ONCE = 8


@dataclass(frozen=True)
class Instance:
    """box in original pixels; mask_logits at four times the token grid, on the CPU."""

    score: float
    query_score: float
    stability: float
    box_xyxy: tuple[float, float, float, float]
    mask_logits_hw: torch.Tensor


@dataclass(frozen=True)
class ConceptResult:
    """`presence` as calibrated for this version; the instances' scores hold it as the weights have it."""

    concept: str
    presence: float
    taught: bool | None
    instances: list[Instance]


@dataclass(frozen=True)
class Prompt:
    """One click's prompts in original pixels, and the embedding they are asked of."""

    embedding: Embedding
    points: tuple[Point, ...]
    box_xyxy: tuple[float, float, float, float] | None = None
    earlier_logits_hw: torch.Tensor | None = None

    @property
    def wants_three(self) -> bool:
        """Only a single positive click is ambiguous enough for three masks."""
        return (
            len(self.points) == 1
            and self.points[0].label == 1
            and self.box_xyxy is None
            and self.earlier_logits_hw is None
        )

    @property
    def shape(self) -> tuple[int, bool, bool]:
        """Prompts of one shape can share a decoder call. Padding would change the answer, so nothing is padded."""
        return len(self.points), self.box_xyxy is not None, self.earlier_logits_hw is not None


@dataclass(frozen=True)
class Candidate:
    score: float
    mask_logits_hw: torch.Tensor


ClickDecoder = Callable[..., tuple[torch.Tensor, torch.Tensor]]


@dataclass
class Predictor:
    """Thread-safe: every call works on its arguments alone."""

    network: Sam3Network
    tokenizer: PhraseTokenizer
    backbone_hash: str
    click_hash: str
    weights_hash: str
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    vit_dtype: torch.dtype = torch.float32
    taught_words: frozenset[str] | None = None
    temperature: float = UNCHANGED  # of the presence score that is told (temperature.py)
    decoder: ClickDecoder | None = None  # the click decoder as ONNX Runtime runs it, where it is on

    def __post_init__(self) -> None:
        self._texts: LRUCache[str, tuple[torch.Tensor, torch.Tensor]] = LRUCache(TEXTS_KEPT)
        self._texts_lock = threading.Lock()

    @property
    def preprocessing(self) -> str:
        """Part of every embedding's key."""
        return preprocessing_of(self.network.image_size_px, self.vit_dtype)

    @property
    def compiled(self) -> bool:
        """Whether its ViT went through torch's compiler (compiled.py)."""
        return hasattr(self.network.detector.vision_encoder.backbone, "_orig_mod")

    def preprocess(self, image_HWC: np.ndarray) -> torch.Tensor:
        return preprocess(image_HWC, self.network.image_size_px)

    @torch.inference_mode()
    def encode(self, pixels_B3HW: torch.Tensor, sizes_wh: Sequence[tuple[int, int]]) -> list[Embedding]:
        """The ViT's tokens for each image, with the original (width, height) that they came from."""
        tokens = self.network.encode(pixels_B3HW.to(self.device, self.vit_dtype))
        return [
            Embedding({"tokens": round_to_fp16(row)}, width, height)
            for row, (width, height) in zip(tokens, sizes_wh, strict=True)
        ]

    @torch.inference_mode()
    def click_features(self, tokens: Embedding) -> Embedding:
        levels = self.network.tracker_features(self._on_device(tokens, "tokens")[None])
        return Embedding(
            {name: round_to_fp16(level[0]) for name, level in zip(CLICK_LEVELS, levels, strict=True)},
            tokens.width_px,
            tokens.height_px,
        )

    def feature(self, tokens: Embedding) -> np.ndarray:
        """The mean over the ViT's tokens, fp16: what diversity in the queue is measured by."""
        return tokens.tensors["tokens"].float().mean(dim=0).to(torch.float16).cpu().numpy()

    def taught(self, concept: str) -> bool | None:
        return None if self.taught_words is None else concept.lower() in self.taught_words

    def detect(
        self,
        tokens: Embedding,
        concepts: Sequence[str],
        *,
        score_threshold: float,
        exemplars: Sequence[Sequence[ExemplarBox]] = (),
    ) -> list[ConceptResult]:
        """All concepts on one image from one ViT pass. Presence is read before any threshold."""
        return self.detect_each([tokens], concepts, score_threshold=score_threshold, exemplars=exemplars)[0]

    @torch.inference_mode()
    def detect_each(
        self,
        images: Sequence[Embedding],
        concepts: Sequence[str],
        *,
        score_threshold: float,
        exemplars: Sequence[Sequence[ExemplarBox]] = (),
    ) -> list[list[ConceptResult]]:
        """The same of several images; those with few concepts share calls. Exemplars are boxes on a single image."""
        if any(exemplars) and len(images) > 1:
            raise ValueError("exemplars belong to one image")
        together = max(1, PROMPTS_AT_ONCE // len(concepts))
        results: list[list[ConceptResult]] = []
        for start in range(0, len(images), together):
            results += self._detect_group(images[start : start + together], concepts, score_threshold, exemplars)
        return results

    def _detect_group(
        self,
        images: Sequence[Embedding],
        concepts: Sequence[str],
        threshold: float,
        exemplars: Sequence[Sequence[ExemplarBox]],
    ) -> list[list[ConceptResult]]:
        vision = self.network.detector_features(torch.stack([self._on_device(image, "tokens") for image in images]))
        results: list[list[ConceptResult]] = [[] for _ in images]
        at_once = 1 if any(exemplars) else PROMPTS_AT_ONCE
        for start in range(0, len(concepts), at_once):
            chunk = concepts[start : start + at_once]
            text = self._text(chunk)
            if exemplars and exemplars[start]:
                image = images[0]
                text = with_exemplars(self.network, vision, text, exemplars[start], image.width_px, image.height_px)
            for row, found in zip(results, self._detect_chunk(vision, images, chunk, text, threshold), strict=True):
                row += found
        return results

    def _detect_chunk(
        self, vision, images: Sequence[Embedding], concepts: Sequence[str], text: TextFeatures, threshold: float
    ) -> list[list[ConceptResult]]:
        """Prompts in the order of images, and of concepts within an image."""
        rows_P = None
        if len(images) > 1:
            rows_P = torch.arange(len(images), device=self.device).repeat_interleave(len(concepts))
            text = text.rows(torch.arange(len(concepts), device=self.device).repeat(len(images)))
        found = self.network.detect(vision, text, image_rows_P=rows_P)
        logits_P = found.presence_logits_P.float().cpu()
        presence_P, told_P = logits_P.sigmoid(), (logits_P / self.temperature).sigmoid()
        query_PQ = found.query_logits_PQ.float().sigmoid().cpu()
        boxes_PQ4 = found.boxes_xyxy_PQ4.float().cpu().clamp(0, 1)
        masks_PQHW = found.mask_logits_PQHW
        assert masks_PQHW is not None
        results = []
        for i, image in enumerate(images):
            scale = torch.tensor([image.width_px, image.height_px] * 2)
            results.append(
                [
                    ConceptResult(
                        concept,
                        float(told_P[p]),
                        self.taught(concept),
                        _instances(float(presence_P[p]), query_PQ[p], boxes_PQ4[p] * scale, masks_PQHW[p], threshold),
                    )
                    for p, concept in enumerate(concepts, start=i * len(concepts))
                ]
            )
        return results

    @torch.inference_mode()
    def click(self, prompts: Sequence[Prompt]) -> list[list[Candidate]]:
        """Decode prompts of one shape together, each on its own image; best candidate first."""
        decode = self.decoder or self.decode
        masks_BKHW, iou_BK = decode(*self.stack(prompts), multimask=prompts[0].wants_three)
        masks_BKHW, iou_BK = masks_BKHW.float().cpu(), iou_BK.float().clamp(0, 1).cpu()
        return [
            [
                Candidate(float(iou_BK[b, k]), masks_BKHW[b, k])
                for k in iou_BK[b].argsort(descending=True, stable=True).tolist()
            ]
            for b in range(len(prompts))
        ]

    def stack(self, prompts: Sequence[Prompt]):
        """Tensors of a decoder call: three levels, points, labels, boxes, earlier masks (None where unused)."""
        if len({(prompt.shape, prompt.wants_three) for prompt in prompts}) != 1:
            raise ValueError("prompts of one decoder call must have one shape")
        levels = [torch.stack([self._on_device(p.embedding, name) for p in prompts]) for name in CLICK_LEVELS]
        count, has_box, has_mask = prompts[0].shape
        points = labels = boxes = masks = None
        if count:
            scaled = [[self._scaled(p, (point.x, point.y)) for point in p.points] for p in prompts]
            points = torch.tensor(scaled, dtype=torch.float32, device=self.device)[:, None]
            labels = torch.tensor([[point.label for point in p.points] for p in prompts], device=self.device)[:, None]
        if has_box:
            scaled_boxes = [self._scaled(p, p.box_xyxy) for p in prompts if p.box_xyxy is not None]
            boxes = torch.tensor(scaled_boxes, dtype=torch.float32, device=self.device)[:, None]
        if has_mask:
            earlier = [p.earlier_logits_hw for p in prompts if p.earlier_logits_hw is not None]
            masks = torch.stack(earlier)[:, None].to(self.device, torch.float32)
            masks = masks.clamp(-MASK_LOGIT_LIMIT, MASK_LOGIT_LIMIT)
        return levels, points, labels, boxes, masks

    def _scaled(self, prompt: Prompt, xy: Sequence[float]) -> list[float]:
        """Original pixels to the model's own square."""
        side = self.network.image_size_px
        scale = (side / prompt.embedding.width_px, side / prompt.embedding.height_px)
        return [value * scale[i % 2] for i, value in enumerate(xy)]

    def decode(self, levels, points, labels, boxes, masks, *, multimask: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """torch's own decoder call: mask logits (B, K, h, w) and predicted IoU (B, K)."""
        answer = self.network.click(
            levels, points, labels, boxes_px_BP4=boxes, mask_logits_B1HW=masks, multimask=multimask
        )
        return answer.mask_logits_BPKHW[:, 0], answer.iou_BPK[:, 0]

    def _on_device(self, embedding: Embedding, name: str) -> torch.Tensor:
        return embedding.tensors[name].to(self.device, torch.float32)

    def check_concepts(self, concepts: Sequence[str]) -> None:
        """PromptTooLong before any work is queued."""
        self.tokenizer(concepts)

    def _text(self, concepts: Sequence[str]) -> TextFeatures:
        """Each phrase alone, so that what else was asked can't change its features; kept for the next image."""
        rows = [self._one_text(concept) for concept in concepts]
        return TextFeatures(torch.stack([row[0] for row in rows]), torch.stack([row[1] for row in rows]))

    @cachedmethod(attrgetter("_texts"), key=lambda self, concept: concept, lock=attrgetter("_texts_lock"))
    def _one_text(self, concept: str) -> tuple[torch.Tensor, torch.Tensor]:
        ids, mask = self.tokenizer([concept])
        text = self.network.text_features(ids.to(self.device), mask.to(self.device))
        return text.features_PTC[0], text.mask_PT[0]


def _instances(presence: float, query_Q, boxes_Q4, masks_QHW, threshold: float) -> list[Instance]:
    """Those whose query score reaches the threshold, best first; `presence` as the weights have it."""
    kept = [int(q) for q in query_Q.argsort(descending=True, stable=True) if float(query_Q[q]) >= threshold]
    masks = masks_QHW[kept].float().cpu()
    return [
        Instance(
            score=float(query_Q[q]) * presence,
            query_score=float(query_Q[q]),
            stability=stability(mask),
            box_xyxy=tuple(boxes_Q4[q].tolist()),
            mask_logits_hw=mask,
        )
        for q, mask in zip(kept, masks, strict=True)
    ]


__all__ = ["Candidate", "ConceptResult", "Instance", "Predictor", "Prompt", "PromptTooLong"]
