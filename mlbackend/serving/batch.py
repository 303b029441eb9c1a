"""A folder of pictures to SA-Co predictions, without a server: the inference service as a command."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pycocotools import mask as coco

from mlbackend.model.inputs import PromptTooLong
from mlbackend.model.logits import logits_to_wire
from mlbackend.model.masks import decode_wire_mask
from mlbackend.model.network import WeightsError
from mlbackend.model.predictor import ConceptResult, Predictor
from mlbackend.serving.encoding import encode_batch
from mlbackend.serving.registry import Registry
from mlbackend.settings import Settings
from mlbackend.store.images import ImageError, decode_image
from toolbox.files import write_json

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
READ_AHEAD = 8


@dataclass
class Report:
    """What comes out: pairs as in a SA-Co document, predictions as COCO results, and what was refused and why."""

    pairs: list[dict[str, Any]] = field(default_factory=list)
    predictions: list[dict[str, Any]] = field(default_factory=list)
    refused: list[dict[str, str]] = field(default_factory=list)


def predict_folder(
    settings: Settings, source: Path, out: Path, *, version: str, concepts: Sequence[str], threshold: float
) -> int:
    """Write pairs.json, predictions.json and report.json under out; the number of refused pictures."""
    if not source.is_dir():
        raise WeightsError(f"{source} is not a folder of pictures")
    torch.set_num_threads(settings.torch_threads)
    predictor = Registry(settings).read_now(version)
    try:
        predictor.check_concepts(concepts)
    except PromptTooLong as error:
        raise WeightsError(str(error)) from None
    report = Report()
    start, done = time.monotonic(), 0
    pictures = _read_ahead(source, settings.max_image_pixels)
    while group := list(itertools.islice(pictures, encode_batch(settings))):
        readable = [(name, content) for name, content in group if not isinstance(content, ImageError)]
        report.refused += [
            {"file": name, "reason": str(content)} for name, content in group if isinstance(content, ImageError)
        ]
        _predict_group(predictor, readable, concepts, threshold, report)
        done += len(group)
        if done % 20 < len(group):
            print(f"{done} pictures, {done / (time.monotonic() - start):.1f} a second", file=sys.stderr)
    if not done:
        raise WeightsError(f"{source} holds no picture ({', '.join(sorted(SUFFIXES))})")
    _write(out, report, version, predictor, threshold)
    print(f"{done} pictures, {len(report.predictions)} objects: {out}", file=sys.stderr)
    return len(report.refused)


def _read_ahead(source: Path, max_pixels: int) -> Iterator[tuple[str, np.ndarray | ImageError]]:
    """Decode a few pictures ahead of the model, in the order of their names."""
    found = (path for path in source.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    paths = sorted(found, key=lambda path: path.relative_to(source).as_posix())
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(_decode, path, max_pixels) for path in paths[:READ_AHEAD]]
        for number, path in enumerate(paths):
            content = waiting.pop(0).result()
            if number + READ_AHEAD < len(paths):
                waiting.append(pool.submit(_decode, paths[number + READ_AHEAD], max_pixels))
            yield path.relative_to(source).as_posix(), content


def _decode(path: Path, max_pixels: int) -> np.ndarray | ImageError:
    try:
        return decode_image(path.read_bytes(), max_pixels=max_pixels)
    except OSError as error:
        return ImageError(f"the file cannot be read ({error.strerror})")
    except ImageError as error:
        return error


def _predict_group(
    predictor: Predictor,
    pictures: Sequence[tuple[str, np.ndarray]],
    concepts: Sequence[str],
    threshold: float,
    report: Report,
) -> None:
    """Pictures that share a ViT pass."""
    if not pictures:
        return
    pixels = torch.stack([predictor.preprocess(image_HWC) for _, image_HWC in pictures])
    encoded = predictor.encode(pixels, [(image_HWC.shape[1], image_HWC.shape[0]) for _, image_HWC in pictures])
    found = predictor.detect_each(encoded, concepts, score_threshold=threshold)
    for (name, _), tokens, results in zip(pictures, encoded, found, strict=True):
        for result in results:
            pair: dict[str, Any] = {
                "id": len(report.pairs) + 1,
                "file_name": name,
                "text_input": result.concept,
                "width": tokens.width_px,
                "height": tokens.height_px,
                "queried_category": str(concepts.index(result.concept) + 1),
                "is_instance_exhaustive": 0,
                "is_pixel_exhaustive": 0,
                "presence": round(result.presence, 6),
            }
            report.pairs.append(pair)
            report.predictions += _coco_results(result, pair["id"], tokens.height_px, tokens.width_px, threshold)


def _coco_results(
    result: ConceptResult,
    pair_id: int,
    height: int,
    width: int,
    threshold: float,
) -> Iterator[dict[str, Any]]:
    for instance in result.instances:
        if instance.score < threshold:
            continue
        wire = logits_to_wire(instance.mask_logits_hw, height_px=height, width_px=width)
        rle = coco.encode(np.asfortranarray(decode_wire_mask(wire), dtype=np.uint8))
        yield {
            "image_id": pair_id,
            "category_id": 1,
            "score": round(instance.score, 6),
            "bbox": wire["crop_xywh"],
            "segmentation": {"size": wire["size"], "counts": rle["counts"].decode("ascii")},
        }


def _write(out: Path, report: Report, version: str, predictor: Predictor, threshold: float) -> None:
    document = {"images": report.pairs, "annotations": [], "categories": [{"id": 1, "name": "object"}]}
    summary = {
        "model_version": version,
        "weights_hash": predictor.weights_hash,
        "threshold": threshold,
        "pairs": len(report.pairs),
        "instances": len(report.predictions),
        "refused": report.refused,
    }
    for name, content in (("pairs.json", document), ("predictions.json", report.predictions), ("report.json", summary)):
        write_json(out / name, content)
