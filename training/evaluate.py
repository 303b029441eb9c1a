"""A model's answers on a split, and what CGF1 says of them.

The order is the official one: mask logits are upsampled to the original image, then thresholded; an instance's score is
its query score times the pair's presence score. Legend: P pairs, Q queries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from mlbackend.model.network import Detections, TextFeatures
from training import cgf1, masks
from training.dataset import Pair, Split
from training.fit import JUDGE_PAIRS
from training.models import Model
from training.precision import FULL, Precision
from training.texts import Texts
from training.token_source import TokenSource
from training.views import PLAIN, View

Progress = Callable[[int, int], None]


def ignore(done: int, of: int) -> None:
    """Nobody asked how far the work is."""


@dataclass(frozen=True)
class Found:
    """One predicted instance; box xyxy in original pixels."""

    score: float
    query_score: float
    box_xyxy_px: tuple[float, float, float, float]
    rle: masks.Rle

    @property
    def box_xywh_px(self) -> list[float]:
        x0, y0, x1, y1 = self.box_xyxy_px
        return [x0, y0, x1 - x0, y1 - y0]


@dataclass(frozen=True)
class PairPrediction:
    """What the model said of one pair: presence before any threshold, as calibrated for its version; instances from
    keep_score up, best first, whose scores hold presence as the weights have it."""

    pair: Pair
    presence: float
    instances: tuple[Found, ...]

    def coco_rows(self) -> list[dict[str, Any]]:
        return [
            {
                "image_id": self.pair.id,
                "category_id": 1,
                "score": found.score,
                "segmentation": found.rle,
                "bbox": found.box_xywh_px,
            }
            for found in self.instances
        ]


@dataclass(frozen=True)
class Evaluation:
    """One model on one split: its predictions of the judged pairs, in the split's order, and their score."""

    split: Split
    predictions: list[PairPrediction]
    result: cgf1.Cgf1

    @property
    def figures(self) -> dict[str, float]:
        return short_figures(self.result.pairs)

    def coco_results(self) -> list[dict[str, Any]]:
        return [row for prediction in self.predictions for row in prediction.coco_rows()]

    def judged_pairs(self) -> list[Pair]:
        """The pairs behind result.pairs, in its order: the exhaustive ones."""
        by_id = {pair.id: pair for pair in self.split.pairs}
        return [by_id[pair_id] for pair_id in self.result.pairs.pair_ids]

    def presence_by_pair(self) -> dict[int, float]:
        return {prediction.pair.id: prediction.presence for prediction in self.predictions}

    def presence_P(self) -> np.ndarray:
        """Presence score of each judged pair."""
        by_id = self.presence_by_pair()
        return np.array([by_id[pair_id] for pair_id in self.result.pairs.pair_ids])

    def summary(self) -> dict[str, Any]:
        pairs = self.judged_pairs()
        return self.figures | {
            "by_source": breakdown(self.result.pairs, [pair.source for pair in pairs]),
            "by_concept": breakdown(self.result.pairs, [pair.phrase for pair in pairs]),
        }

    def pair_rows(self) -> list[dict[str, Any]]:
        """Counts and presence of each judged pair, for whoever wants to break them down differently."""
        counts, presence = self.result.pairs, self.presence_P()
        return [
            {
                "id": pair.id,
                "image": pair.image,
                "scene": pair.scene,
                "text_input": pair.phrase,
                "source": pair.source,
                "presence": round(float(presence[index]), 6),
                "instances": int(counts.n_gt_P[index]),
                "predicted": int(counts.n_dt_P[index]),
                "true_positives": counts.tp_PT[index].tolist(),
            }
            for index, pair in enumerate(self.judged_pairs())
        ]


def evaluate_model(
    model: Model,
    features: TokenSource,
    split: Split,
    *,
    keep_score: float = 0.1,
    progress: Progress = ignore,
    at_once: int = JUDGE_PAIRS,
    precision: Precision = FULL,
    texts: Texts | None = None,
) -> Evaluation:
    """Predict and score the pairs of the split that are exhaustively annotated; the others judge nothing."""
    found = predict(
        model,
        features,
        split.judged,
        keep_score=keep_score,
        progress=progress,
        at_once=at_once,
        precision=precision,
        texts=texts,
    )
    predictions = list(found)
    rows = [row for prediction in predictions for row in prediction.coco_rows()]
    return Evaluation(split, predictions, cgf1.evaluate(split.document, rows))


@torch.no_grad()
def predict(
    model: Model,
    features: TokenSource,
    pairs: Sequence[Pair],
    *,
    keep_score: float,
    progress: Progress = ignore,
    at_once: int = JUDGE_PAIRS,
    precision: Precision = FULL,
    texts: Texts | None = None,
) -> Iterator[PairPrediction]:
    """Answers in the order of pairs. Each phrase is read once; pairs of one image share its features.

    at_once pairs are looked at together; masks are drawn pair by pair, of the queries that are kept alone.
    """
    texts = texts or Texts(model, is_frozen=True, precision=precision)
    for start in range(0, len(pairs), at_once):
        chunk = pairs[start : start + at_once]
        features.read_ahead(pair.image for pair in pairs[start : start + 2 * at_once])
        with precision.autocast(model.device):
            found, tokens = find_pairs(model, features, chunk, texts([pair.phrase for pair in chunk]))
            answers = list(_read(model, found, tokens, chunk, keep_score))
        yield from answers
        progress(min(start + at_once, len(pairs)), len(pairs))


@dataclass(frozen=True)
class Tokens:
    """What the ViT made of the images of some pairs: each view of an image once, and which row is whose."""

    rows_BNC: torch.Tensor
    image_of_P: list[int]

    def of(self, rows: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """The images of some pairs, each once, and for each of the pairs which of them is its own."""
        wanted = sorted({self.image_of_P[row] for row in rows})
        places = [wanted.index(self.image_of_P[row]) for row in rows]
        device = self.rows_BNC.device
        return self.rows_BNC[torch.tensor(wanted, device=device)], torch.tensor(places, device=device)


def find_pairs(
    model: Model,
    features: TokenSource,
    pairs: Sequence[Pair],
    text: TextFeatures,
    *,
    views: Sequence[View] | None = None,
    one_to_many: bool = False,
) -> tuple[Detections, Tokens]:
    """The heads on cached features, no mask drawn: pair p asks text row p of its own image, as views[p] shows it."""
    seen = [(pair.image, view) for pair, view in zip(pairs, views or [PLAIN] * len(pairs), strict=True)]
    each = sorted(set(seen), key=lambda one: (one[0], one[1].key))
    row_of = {one: row for row, one in enumerate(each)}
    rows_BNC = features.tokens([image for image, _ in each], [view for _, view in each])
    tokens = Tokens(rows_BNC, [row_of[one] for one in seen])
    vision = model.network.coarse_features(tokens.rows_BNC)
    image_rows = torch.tensor(tokens.image_of_P, device=model.device)
    found = model.network.detect(vision, text, image_rows_P=image_rows, with_masks=False, one_to_many=one_to_many)
    return found, tokens


def draw_masks(
    model: Model,
    found: Detections,
    tokens: Tokens,
    rows: Sequence[int],
    queries: torch.Tensor | slice = slice(None),
    *,
    semantic: bool = False,
) -> torch.Tensor:
    """Mask logits of some of the pairs, with the fine features of their images alone: see Sam3Network._draw()."""
    assert found.draw is not None
    images_BNC, place_R = tokens.of(rows)
    fine = [level[place_R] for level in model.network.fine_features(images_BNC)]
    return found.draw(fine, torch.tensor(list(rows), device=model.device), queries, semantic=semantic)


def _read(
    model: Model, found: Detections, tokens: Tokens, pairs: Sequence[Pair], keep_score: float
) -> Iterator[PairPrediction]:
    logits_P = found.presence_logits_P.float().cpu()
    presence_P, told_P = logits_P.sigmoid(), (logits_P / model.temperature).sigmoid()
    query_PQ = found.query_logits_PQ.float().sigmoid().cpu()
    boxes_PQ4 = found.boxes_xyxy_PQ4.float().clamp(0, 1).cpu()
    for p, pair in enumerate(pairs):
        scores_Q = query_PQ[p] * presence_P[p]
        kept = [int(q) for q in scores_Q.argsort(descending=True, stable=True) if float(scores_Q[q]) >= keep_score]
        queries = torch.tensor(kept, dtype=torch.long, device=model.device)
        logits = list(draw_masks(model, found, tokens, [p], queries)[0]) if kept else []
        instances = tuple(
            _found(pair, float(scores_Q[q]), float(query_PQ[p, q]), boxes_PQ4[p, q], logits_hw)
            for q, logits_hw in zip(kept, logits, strict=True)
        )
        yield PairPrediction(pair, float(told_P[p]), instances)


def _found(pair: Pair, score: float, query_score: float, box_4: torch.Tensor, logits_hw: torch.Tensor) -> Found:
    x0, y0, x1, y1 = box_4.tolist()
    width, height = pair.width_px, pair.height_px
    rle = masks.encode_mask(full_mask(logits_hw, height_px=height, width_px=width))
    return Found(score, query_score, (x0 * width, y0 * height, x1 * width, y1 * height), rle)


def full_mask(logits_hw: torch.Tensor, *, height_px: int, width_px: int) -> np.ndarray:
    """(H, W) bool: logits upsampled to the original image, then > 0."""
    size = (height_px, width_px)
    fine = F.interpolate(logits_hw[None, None].float(), size=size, mode="bilinear", align_corners=False)
    return (fine[0, 0] > 0).cpu().numpy()


def short_figures(pairs: cgf1.PairCounts) -> dict[str, float]:
    """The figures that pages show, as fractions."""
    figures = cgf1.summarise(pairs)
    names = {
        "cgf1": "cgF1",
        "pmf1": "positive_micro_F1",
        "il_mcc": "IL_MCC",
        "il_fpr": "IL_FPR",
        "il_recall": "IL_recall",
        "f1_at_50": "F1@0.5",
        "pmf1_at_50": "positive_micro_F1@0.5",
    }
    return {short: figures[f"cgF1_eval_segm_{name}"] for short, name in names.items()}


def breakdown(pairs: cgf1.PairCounts, groups: Sequence[str]) -> dict[str, dict[str, float]]:
    """Figures of each group of pairs, with how many positives and negatives they rest on."""
    names = np.array(groups, dtype=object)
    answer: dict[str, dict[str, float]] = {}
    for name in sorted(set(groups)):
        part = pairs.take(np.flatnonzero(names == name))
        positives = int(part.is_positive_P.sum())
        sizes = {"pairs": len(part), "positives": positives, "negatives": len(part) - positives}
        answer[name] = {**sizes, **short_figures(part)}
    return answer
