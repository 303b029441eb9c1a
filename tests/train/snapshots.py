"""Snapshots of drawn barn scenes, in the shape that the annotator freezes them in, and tiny models to work on them."""

from __future__ import annotations

import hashlib
import io
import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from training import masks

FIRST_SEED = 3_000_000


@dataclass
class Snapshot:
    """A folder under construction: add scenes to splits, then freeze()."""

    root: Path
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    seed: int = FIRST_SEED

    @property
    def folder(self) -> Path:
        return self.root / "snapshot"

    @property
    def images(self) -> Path:
        return self.root / "images"

    def document(self, split: str) -> dict[str, Any]:
        empty = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "object"}]}
        return self.documents.setdefault(split, empty)

    def add_scenes(self, split: str, domain: str, count: int, *, round: int = 0, negatives: int = 2) -> Snapshot:
        """Each scene's concepts as positives and some of the absent ones as explicit negatives."""
        from training.demo.architecture import CONCEPTS
        from training.demo.scenes import draw_scene

        for seed in range(self.seed, self.seed + count):
            scene = draw_scene(seed, domain)
            found: dict[str, list[np.ndarray]] = {}
            for concept, mask in scene.instances:
                found.setdefault(concept, []).append(mask)
            absent = [concept for concept in CONCEPTS if concept not in found]
            for concept in random.Random(seed).sample(absent, min(negatives, len(absent))):
                found[concept] = []
            self.add(split, scene.image_HWC, found, source=domain, round=round)
        self.seed += count
        return self

    def add(
        self,
        split: str,
        image_HWC: np.ndarray,
        found: dict[str, Sequence[np.ndarray]],
        *,
        source: str = "",
        round: int = 0,
    ) -> str:
        """One image with its pairs; returns its SHA-256."""
        sha256 = store_image(self.images, image_HWC)
        document = self.document(split)
        for concept, instances in found.items():
            pair = 1 + sum(len(other["images"]) for other in self.documents.values())
            height, width = image_HWC.shape[:2]
            document["images"].append(
                {
                    "id": pair,
                    "file_name": sha256,
                    "text_input": concept,
                    "width": width,
                    "height": height,
                    "queried_category": "1",
                    "is_instance_exhaustive": 1,
                    "is_pixel_exhaustive": 1,
                    "source": source,
                    "truth": "drawn",
                    "round": round,
                }
            )
            document["annotations"] += [annotation(pair, mask) for mask in instances]
        return sha256

    def freeze(self) -> Snapshot:
        self.folder.mkdir(parents=True, exist_ok=True)
        for split in ("train", "val", "test", "holdout"):
            document = self.document(split)
            for index, row in enumerate(document["annotations"], start=1):
                row["id"] = index
            (self.folder / f"{split}.json").write_text(json.dumps(document))
        content = "".join((self.folder / f"{split}.json").read_text() for split in sorted(self.documents))
        manifest = {"content_hash": hashlib.sha256(content.encode()).hexdigest()}
        (self.folder / "manifest.json").write_text(json.dumps(manifest))
        return self

    def shuffle_verdicts(self, split: str, seed: int = 0) -> Snapshot:
        """Hand each pair's annotations to another pair: the control that must not be promoted."""
        document = self.document(split)
        ids = [row["id"] for row in document["images"]]
        moved = dict(zip(ids, random.Random(seed).sample(ids, len(ids)), strict=True))
        for row in document["annotations"]:
            row["image_id"] = moved[row["image_id"]]
        return self


def annotation(pair: int, mask_HW: np.ndarray) -> dict[str, Any]:
    height, width = mask_HW.shape
    rle = masks.encode_mask(mask_HW)
    x, y, box_width, box_height = masks.box_xywh(rle)
    return {
        "id": 0,
        "image_id": pair,
        "category_id": 1,
        "iscrowd": 0,
        "bbox": [x / width, y / height, box_width / width, box_height / height],
        "area": float(mask_HW.mean()),
        "segmentation": rle,
        "source": "drawn",
    }


def store_image(folder: Path, image_HWC: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(image_HWC).save(buffer, "PNG")
    sha256 = hashlib.sha256(buffer.getvalue()).hexdigest()
    path = folder / sha256[:2] / sha256
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(buffer.getvalue())
    return sha256


def tiny_model(folder: Path, seed: int = 0) -> Path:
    """A random SAM 3 of 28 px input and a few thousand weights, with the demo model's tokenizer."""
    import torch
    from transformers.models.sam3.configuration_sam3 import Sam3Config

    from mlbackend.model.network import Sam3Network
    from training.demo.architecture import byte_vocabulary, write_tokenizer

    torch.manual_seed(seed)
    width = 32
    neck = {"hidden_size": width, "num_attention_heads": 2, "intermediate_size": 32, "dropout": 0.0}
    vocabulary = byte_vocabulary()
    config = Sam3Config(
        vision_config={
            "model_type": "sam3_vision_model",
            "fpn_hidden_size": width,
            "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
            "backbone_config": {
                "model_type": "sam3_vit_model",
                "hidden_size": 32,
                "intermediate_size": 32,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "image_size": 56,
                "patch_size": 14,
                "window_size": 4,
                "global_attn_indexes": [0],
                "pretrain_image_size": 56,
            },
        },
        text_config={
            "model_type": "clip_text_model",
            "vocab_size": len(vocabulary),
            "hidden_size": width,
            "intermediate_size": 32,
            "projection_dim": width,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "max_position_embeddings": 32,
            "bos_token_id": vocabulary["<|startoftext|>"],
            "eos_token_id": vocabulary["<|endoftext|>"],
            "pad_token_id": vocabulary["<|endoftext|>"],
        },
        geometry_encoder_config=neck | {"num_layers": 1},
        detr_encoder_config=neck | {"num_layers": 1},
        detr_decoder_config=neck | {"num_layers": 2, "num_queries": 5},
        mask_decoder_config={"hidden_size": width, "num_attention_heads": 2, "num_upsampling_stages": 3},
    )
    Sam3Network.from_config(config).save(folder)
    write_tokenizer(folder)
    return folder


def events_of(lines: Iterable[str], kind: str) -> list[dict[str, Any]]:
    return [event for event in map(json.loads, lines) if event["event"] == kind]
