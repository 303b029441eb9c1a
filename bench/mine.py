"""How many images a second does mining read? `python -m bench.mine [--model demo|full|FOLDER] [--batch 1 8]`

Ours (one ViT pass for text and clicks, images in batches as the service's ROOST_ENCODE_BATCH has them, the concepts of
an image together, masks on the wire) against the plain transformers loop: batch 1, fp32, Sam3Model for each concept and
Sam3TrackerModel for the embedding that clicks need. Both leave the same things behind. Alternating batch by batch, in
one run; the ratio is printed.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from pycocotools import mask as coco
from transformers.models.sam3.modeling_sam3 import Sam3Model
from transformers.models.sam3_tracker.modeling_sam3_tracker import Sam3TrackerModel

from bench.serving import SIDE_PX, environment, model_folder, percentiles, picture, timed_ms, write_result
from mlbackend.model.checkpoint import read_configs
from mlbackend.model.compiled import compile_vit
from mlbackend.model.loader import LoadOptions, load_predictor
from mlbackend.model.logits import logits_to_wire
from mlbackend.model.predictor import Predictor

CONCEPTS = ("chicken", "duck", "rock")


class PlainLoop:
    """What one writes first with transformers."""

    def __init__(self, folder: Path, predictor: Predictor) -> None:
        config, tracker_config = read_configs(folder)
        self.device = predictor.device
        self.detector = Sam3Model.from_pretrained(folder, config=config).eval().to(self.device)
        self.tracker = Sam3TrackerModel.from_pretrained(folder, config=tracker_config).eval().to(self.device)
        self.predictor = predictor

    @torch.inference_mode()
    def read(self, image_HWC: np.ndarray, concepts: Sequence[str], threshold: float) -> None:
        pixels = self.predictor.preprocess(image_HWC)[None].to(self.device)
        for concept in concepts:
            ids, mask = self.predictor.tokenizer([concept])
            found = self.detector(
                pixel_values=pixels, input_ids=ids.to(self.device), attention_mask=mask.to(self.device)
            )
            kept = found.pred_logits[0].sigmoid() >= threshold
            if kept.any():
                masks = F.interpolate(found.pred_masks[:, kept].float(), image_HWC.shape[:2], mode="bilinear")[0] > 0
                for row in masks.cpu().numpy():
                    coco.encode(np.asfortranarray(row, dtype=np.uint8))
        self.tracker.get_image_embeddings(pixels)


def ours(predictor: Predictor, images: Sequence[np.ndarray], concepts: Sequence[str], threshold: float) -> None:
    """One batch; the service reads files and writes masks on other threads, here they count in full."""
    pixels = torch.stack([predictor.preprocess(image) for image in images])
    encoded = predictor.encode(pixels, [(image.shape[1], image.shape[0]) for image in images])
    found = predictor.detect_each(encoded, concepts, score_threshold=threshold)
    for tokens, results in zip(encoded, found, strict=True):
        predictor.click_features(tokens)
        for result in results:
            for instance in result.instances:
                logits_to_wire(instance.mask_logits_hw, height_px=tokens.height_px, width_px=tokens.width_px)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--images", type=int, default=24, help="in all, for each row of the table")
    parser.add_argument("--batch", type=int, nargs="+", help="images a pass (1, and on a GPU 8 as well)")
    parser.add_argument("--concepts", type=int, nargs="+", default=[1, 3], choices=range(1, len(CONCEPTS) + 1))
    parser.add_argument("--threshold", type=float, default=0.5)
    parser.add_argument("--compile", action="store_true", help="the ViT through torch's compiler")
    parser.add_argument("--name")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    folder = model_folder(options.model)
    predictor = load_predictor(folder, LoadOptions(device=options.device))
    plain = PlainLoop(folder, predictor)
    batches = options.batch or ([1] if predictor.device.type == "cpu" else [1, 8])
    if options.compile and not compile_vit(predictor, batch=max(batches)):
        raise SystemExit("the ViT could not be compiled")
    name = options.name or f"mine-{Path(options.model).name}"
    result: dict[str, Any] = {
        "environment": environment(),
        "model": options.model,
        "device": str(predictor.device),
        "vit_dtype": str(predictor.vit_dtype),
        "compiled": predictor.compiled,
        "encode": [encode_alone(predictor, batch, options) for batch in batches],
        "rows": [],
    }
    write_result(name, result)  # and after every row, so that what is cut off keeps the rows before
    for count in options.concepts:
        for batch in batches:
            result["rows"].append(compare(predictor, plain, CONCEPTS[:count], batch, options))
            write_result(name, result)


def encode_alone(predictor: Predictor, batch: int, options: argparse.Namespace) -> dict[str, Any]:
    """The ViT pass by itself, milliseconds an image."""
    pixels = torch.stack([predictor.preprocess(picture(seed, options.model)) for seed in range(batch)])
    times = [
        timed_ms(predictor.encode, pixels, [(SIDE_PX, SIDE_PX)] * batch) / batch
        for _ in range(max(1, options.images // batch) + 1)
    ][1:]
    print(f"encode alone, batches of {batch}: {percentiles(times)} ms an image")
    return {"batch": batch, "ms": percentiles(times)}


def compare(
    predictor: Predictor,
    plain: PlainLoop,
    concepts: Sequence[str],
    batch: int,
    options: argparse.Namespace,
) -> dict[str, Any]:
    if options.images > 3:  # a first pass that is not counted; at full size on a CPU it would take minutes
        ours(predictor, [picture(seed, options.model) for seed in range(batch)], concepts, options.threshold)
        plain.read(picture(0, options.model), concepts, options.threshold)
    mine, theirs = [], []
    for first in range(0, options.images, batch):
        images = [picture(seed, options.model) for seed in range(first, first + batch)]
        mine.append(timed_ms(ours, predictor, images, concepts, options.threshold) / batch)
        theirs += [timed_ms(plain.read, image, concepts, options.threshold) for image in images]
    ratio = percentiles(theirs)["p50"] / percentiles(mine)["p50"]
    print(
        f"{len(concepts)} concepts an image, batches of {batch}: ours {percentiles(mine)} ms an image, plain loop "
        f"{percentiles(theirs)} ms: {ratio:.1f} times the images a second, "
        f"{1e3 / percentiles(mine)['p50']:.3g} images a second"
    )
    return {
        "concepts": len(concepts),
        "batch": batch,
        "images": len(theirs),
        "ours_ms": percentiles(mine),
        "plain_ms": percentiles(theirs),
        "ratio": round(ratio, 2),
        "images_a_second": round(1e3 / percentiles(mine)["p50"], 4),
    }


if __name__ == "__main__":
    main()
