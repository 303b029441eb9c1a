"""Golden prompts: a new version must answer a drawn image sensibly, and as recorded, before it serves anyone."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mlbackend.model.checkpoint import WeightsError
from mlbackend.model.predictor import Predictor, Prompt
from mlbackend.model.prompts import Point

CONCEPTS = ("chicken", "duck")
SIDE_PX = 192
TOLERANCE = 0.05
FILE = "golden.json"


def drawn_image() -> np.ndarray:
    """A gradient with a light and a dark disc: the same bytes everywhere."""
    rows, columns = np.mgrid[0:SIDE_PX, 0:SIDE_PX]
    image = np.stack([rows, columns, (rows + columns) // 2], axis=-1).astype(np.uint8)
    for centre, shade in ((60, 230), (130, 20)):
        image[(rows - centre) ** 2 + (columns - centre) ** 2 < 30**2] = shade
    return image


def golden_answers(predictor: Predictor) -> dict[str, Any]:
    """Presence by concept, and score and area of a click on the light disc."""
    tokens = predictor.encode(predictor.preprocess(drawn_image())[None], [(SIDE_PX, SIDE_PX)])[0]
    found = predictor.detect(tokens, CONCEPTS, score_threshold=0.0)
    best = predictor.click([Prompt(predictor.click_features(tokens), (Point(60, 60, 1),))])[0][0]
    numbers = [tokens.tensors["tokens"], best.mask_logits_hw, *(i.mask_logits_hw for r in found for i in r.instances)]
    numbers += [torch.tensor([result.presence for result in found] + [best.score])]
    if not all(bool(torch.isfinite(tensor).all()) for tensor in numbers):
        raise WeightsError("the golden prompts gave numbers that are not finite: these weights are damaged")
    return {
        "presence": {result.concept: result.presence for result in found},
        "click_score": best.score,
        "click_area": float((best.mask_logits_hw > 0).float().mean()),
    }


def check_golden(predictor: Predictor, folder: Path) -> None:
    """WeightsError if answers are not finite, or differ from the folder's golden.json where it has one."""
    answers = golden_answers(predictor)
    path = folder / FILE
    if not path.is_file():
        return
    try:
        expected = _flat(json.loads(path.read_text()))
    except (ValueError, AttributeError) as error:
        raise WeightsError(f"{path} is not valid ({error})") from None
    for name, value in _flat(answers).items():
        if name in expected and not math.isclose(value, expected[name], abs_tol=TOLERANCE):
            raise WeightsError(
                f"golden prompt {name}: expected {expected[name]:.3f}, got {value:.3f}; "
                "the version is not the one that was recorded"
            )


def write_golden(predictor: Predictor, folder: Path) -> None:
    (folder / FILE).write_text(json.dumps(golden_answers(predictor), indent=1) + "\n")


def _flat(answers: dict[str, Any], prefix: str = "") -> dict[str, float]:
    flat: dict[str, float] = {}
    for name, value in answers.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": float(value)}
    return flat
