"""What the demo model can do on freshly drawn scenes: the figures of its card."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from pycocotools import mask as coco_mask

from mlbackend.model.inputs import PhraseTokenizer, preprocess
from mlbackend.model.network import Sam3Network
from training import cgf1
from training.demo.architecture import CONCEPTS
from training.demo.drawings import innermost_pixel
from training.demo.scenes import Scene, draw_scene

KEEP_SCORE = 0.5
BAND = (0.4, 0.6)


@torch.inference_mode()
def examine_domain(
    network: Sam3Network, tokenizer: PhraseTokenizer, domain: str, *, first_seed: int, scenes: int
) -> dict[str, float]:
    """Every concept is asked of every scene. Fractions, as in training.cgf1; presence read before any threshold."""
    document = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "object"}]}
    predictions, presence, click_ious = [], [], []
    text = network.text_features(*tokenizer(CONCEPTS))
    for scene, tokens in encoded_scenes(network, domain, first_seed, scenes):
        found = network.detect(network.detector_features(tokens), text)
        presence.extend(found.presence_logits_P.sigmoid().tolist())
        for row, concept in enumerate(CONCEPTS):
            pair = len(document["images"]) + 1
            _add_truth(document, pair, scene, concept)
            predictions.extend(_instances(found, row, pair, scene.image_HWC.shape[:2]))
        click_ious.extend(_click_ious(network, tokens, scene))
    metrics = {
        name.removeprefix("cgF1_eval_segm_"): float(value)
        for name, value in cgf1.evaluate(document, predictions).metrics.items()
    }
    chance = np.array(presence)
    low, high = BAND
    return {
        "pairs": len(document["images"]),
        "instances": len(document["annotations"]),
        "cgf1": metrics["cgF1"],
        "pmf1": metrics["positive_micro_F1"],
        "il_mcc": metrics["IL_MCC"],
        "f1_at_50": metrics["positive_micro_F1@0.5"],
        "all_f1_at_50": metrics["F1@0.5"],
        "presence_band_share": float(((chance >= low) & (chance <= high)).mean()),
        "one_click_miou": float(np.mean(click_ious)) if click_ious else 0.0,
        "one_click_over_80": float(np.mean(np.array(click_ious) >= 0.8)) if click_ious else 0.0,
    }


def encoded_scenes(
    network: Sam3Network,
    domain: str,
    first_seed: int,
    count: int,
) -> Iterator[tuple[Scene, torch.Tensor]]:
    for start in range(first_seed, first_seed + count, 16):
        scenes = [draw_scene(seed, domain) for seed in range(start, min(start + 16, first_seed + count))]
        tokens = network.encode(torch.stack([preprocess(s.image_HWC, network.image_size_px) for s in scenes]))
        yield from zip(scenes, tokens[:, None], strict=True)


def _add_truth(document: dict, pair: int, scene: Scene, concept: str) -> None:
    height, width = scene.image_HWC.shape[:2]
    document["images"].append(
        {
            "id": pair,
            "file_name": f"{scene.domain}-{scene.seed}.png",
            "text_input": concept,
            "width": width,
            "height": height,
            "is_instance_exhaustive": 1,
        }
    )
    for name, mask in scene.instances:
        if name == concept:
            document["annotations"].append(
                {
                    "id": len(document["annotations"]) + 1,
                    "image_id": pair,
                    "category_id": 1,
                    "iscrowd": 0,
                    "segmentation": _rle(mask),
                    "area": float(mask.mean()),
                }
            )


def _instances(found, row: int, pair: int, size: tuple[int, int]) -> list[dict]:
    """Official order: logits to full size, then the threshold; score is query score x presence score."""
    scores = found.scores_PQ[row]
    kept = scores >= KEEP_SCORE
    if not kept.any():
        return []
    logits = F.interpolate(found.mask_logits_PQHW[row][kept][None], size=size, mode="bilinear")[0]
    return [
        {"image_id": pair, "category_id": 1, "score": float(score), "segmentation": _rle(mask.numpy())}
        for mask, score in zip(logits > 0, scores[kept], strict=True)
    ]


def _rle(mask_HW: np.ndarray) -> dict:
    rle = coco_mask.encode(np.asfortranarray(mask_HW.astype(np.uint8)))
    return {"size": list(rle["size"]), "counts": rle["counts"].decode()}


def _click_ious(network: Sam3Network, tokens: torch.Tensor, scene: Scene) -> list[float]:
    """One click on each instance's innermost pixel; of three masks the one that the model itself thinks best."""
    if not scene.instances:
        return []
    points = torch.tensor([innermost_pixel(mask) for _, mask in scene.instances], dtype=torch.float32)[None, :, None]
    answer = network.click(network.tracker_features(tokens), points, torch.ones(points.shape[:3], dtype=torch.long))
    best = answer.iou_BPK[0].argmax(-1)
    logits = answer.mask_logits_BPKHW[0][torch.arange(len(best)), best]
    masks = (F.interpolate(logits[None], size=scene.image_HWC.shape[:2], mode="bilinear")[0] > 0).numpy()
    return [
        float((mask & truth).sum() / max(1, (mask | truth).sum()))
        for mask, (_, truth) in zip(masks, scene.instances, strict=True)
    ]


@torch.inference_mode()
def time_on_one_thread(network: Sam3Network, repeats: int = 15) -> dict[str, float]:
    """Median milliseconds of one picture's ViT pass, and of a click that finds the embedding ready.

    Processor time of the thread, so that a machine busy with other work does not distort it.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        pixels = torch.zeros(1, 3, network.image_size_px, network.image_size_px)
        tokens = network.encode(pixels)
        levels = network.tracker_features(tokens)
        point, label = torch.full((1, 1, 1, 2), 100.0), torch.ones(1, 1, 1, dtype=torch.long)
        return {
            "encode_ms": _median_ms(lambda: network.encode(pixels), repeats),
            "click_ms": _median_ms(lambda: network.click(levels, point, label), repeats),
        }
    finally:
        torch.set_num_threads(threads)


def _median_ms(work: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        began = time.thread_time()
        work()
        times.append(1000 * (time.thread_time() - began))
    return float(np.median(times))
