"""What the model found, as it goes over the wire (docs/contracts.md)."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from mlbackend.model.logits import logits_to_wire
from mlbackend.model.predictor import Candidate, ConceptResult, Predictor
from mlbackend.store.embeddings import Embedding


def wire_candidates(candidates: Sequence[Candidate], embedding: Embedding) -> list[dict[str, Any]]:
    return [
        {
            "mask": logits_to_wire(
                candidate.mask_logits_hw, height_px=embedding.height_px, width_px=embedding.width_px
            ),
            "score": round(candidate.score, 5),
        }
        for candidate in candidates
    ]


def wire_concepts(found: Sequence[ConceptResult], embedding: Embedding) -> list[dict[str, Any]]:
    return [
        {
            "concept": result.concept,
            "presence": round(result.presence, 6),
            "taught": result.taught,
            "instances": [
                {
                    "score": round(instance.score, 6),
                    "query_score": round(instance.query_score, 6),
                    "stability": round(instance.stability, 5),
                    "box": [round(value, 2) for value in instance.box_xyxy],
                    "mask": logits_to_wire(
                        instance.mask_logits_hw, height_px=embedding.height_px, width_px=embedding.width_px
                    ),
                }
                for instance in result.instances
            ],
        }
        for result in found
    ]


def feature_base64(predictor: Predictor, tokens: Embedding) -> str:
    return base64.b64encode(predictor.feature(tokens).tobytes()).decode("ascii")
