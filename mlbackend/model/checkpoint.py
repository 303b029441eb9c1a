"""A model folder in the hub's layout: its config, its weights read strictly, and what it holds beside this network.

An official checkpoint also has the video model's memory and the tracker neck's fourth level. An image network has no
use for them, and none of them may be lost: they stay in their files, and are copied from there when a version that came
from this folder is written (docs/contracts.md, "A model folder").
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from transformers.models.sam3.configuration_sam3 import Sam3Config
from transformers.models.sam3_tracker.configuration_sam3_tracker import Sam3TrackerConfig

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
TRACKER_SCALES = [4.0, 2.0, 1.0]
MEMORY = "tracker_model.memory_"
CLS_FLAG = "prompt_has_cls"
# Weights of the hub's video model that an image network has no use for, and the tracker neck's fourth level:
# with the default four scales transformers adds no_memory_embedding to that unused level (facts: section 4).
UNUSED_KEYS = (
    "memory_",
    "mask_downsample",
    "object_pointer_proj",
    "temporal_positional_encoding_projection_layer",
    "no_memory_positional_encoding",
    "no_object_pointer",
    "occlusion_spatial_embedding_parameter",
    "vision_encoder.neck.fpn_layers.3.",
    "tracker_neck.fpn_layers.3.",
)


class WeightsError(Exception):
    """A model folder cannot be used as it is; the message says which file or key and what to do."""


@dataclass(frozen=True)
class ForeignTensors:
    """Weights of a folder that the network does not hold: by name, the file that has each, and a digest of them all.

    Only names are kept in memory. Reading them checks that they are still those of the day the folder was loaded.
    """

    folder: Path
    file_of: dict[str, str]
    digest: str

    @classmethod
    def of(cls, folder: Path, known: Iterable[str]) -> ForeignTensors:
        ours = set(known)
        file_of = {key: file for key, file in sorted(_file_of_key(folder).items()) if key not in ours}
        with ExitStack() as files:
            digest = hash_tensors(_read_lazily(folder, file_of, files))
        return cls(folder, file_of, digest)

    def read(self, files: ExitStack) -> dict[str, torch.Tensor]:
        """The tensors as views of their files, which stay open in `files`; WeightsError if they are gone or others."""
        if not self.file_of:
            return {}
        where = f"the base model's folder {self.folder}"
        ask = "put it back as it was, then run the same command again: it goes on where it stands"
        try:
            tensors = dict(_read_lazily(self.folder, self.file_of, files))
        except (OSError, SafetensorError) as error:
            raise WeightsError(
                f"{where} is gone or damaged ({error}), and with it {len(self.file_of)} weights that go with every "
                f"version made from it: {ask}"
            ) from error
        if hash_tensors(tensors.items()) != self.digest:
            raise WeightsError(f"{where} was changed since it was loaded: {ask}")
        return tensors


def _file_of_key(folder: Path) -> dict[str, str]:
    """Every tensor's name and the file that transformers reads it from: one file, or those that the index lists."""
    if (folder / WEIGHTS).is_file():
        with safe_open(folder / WEIGHTS, framework="pt") as file:
            return dict.fromkeys(file.keys(), WEIGHTS)
    return dict(json.loads((folder / INDEX).read_text())["weight_map"])


def _read_lazily(folder: Path, file_of: dict[str, str], files: ExitStack) -> Iterator[tuple[str, torch.Tensor]]:
    opened = {name: files.enter_context(safe_open(folder / name, framework="pt")) for name in set(file_of.values())}
    for key, name in file_of.items():
        yield key, opened[name].get_tensor(key)


def hash_tensors(items: Iterable[tuple[str, torch.Tensor]]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(items, key=lambda item: item[0]):
        flat = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(flat.numpy().data)
    return digest.hexdigest()


def read_declared(folder: Path) -> dict[str, Any]:
    """config.json as it is written."""
    try:
        declared = json.loads((folder / "config.json").read_text())
    except FileNotFoundError:
        raise WeightsError(f"{folder} has no config.json: it is not a SAM 3 model folder") from None
    except json.JSONDecodeError as error:
        raise WeightsError(f"{folder}/config.json is not valid JSON ({error}): copy it again") from None
    if not isinstance(declared, dict) or "detector_config" not in declared:
        raise WeightsError(f"{folder}/config.json has no detector_config; expected the layout of facebook/sam3")
    return declared


def read_configs(folder: Path) -> tuple[Sam3Config, Sam3TrackerConfig]:
    declared = read_declared(folder)
    config = Sam3Config(**declared["detector_config"])
    return config, tracker_config_for(config, declared.get("tracker_config"))


def declared_cls(declared: dict[str, Any], keys: Iterable[str], folder: Path) -> bool:
    """Whether text prompts end with the geometry encoder's CLS token, as Meta's own model has them.

    config.json says so (`prompt_has_cls`). Where it is silent the weights tell: Meta's checkpoint, and what others made
    of it, hold the video model's memory, and Roost wrote none before it wrote this flag.
    """
    flag = declared.get(CLS_FLAG)
    if flag is None:
        return any(key.startswith(MEMORY) for key in keys)
    if not isinstance(flag, bool):
        raise WeightsError(f"{folder}/config.json: {CLS_FLAG} must be true or false, it is {flag!r}")
    return flag


def config_to_write(declared: dict[str, Any], *, prompt_has_cls: bool) -> dict[str, Any]:
    """What a version's config.json says: what its base's said, in the precision that is written, and the flag."""
    return {**_in_float32(declared), CLS_FLAG: prompt_has_cls}


def _in_float32(value: Any) -> Any:
    """The network is read, trained and written in fp32; transformers would otherwise read it in its base's type."""
    if isinstance(value, list):
        return [_in_float32(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: "float32" if key in ("dtype", "torch_dtype") and item is not None else _in_float32(item)
        for key, item in value.items()
    }


def tracker_config_for(config: Sam3Config, declared: dict | None = None) -> Sam3TrackerConfig:
    """The click decoder's config for a detector's: same ViT and image size, three neck scales.

    declared is config.json's "tracker_config"; without it sizes follow the detector's in SAM 3's own proportions.
    """
    vit = config.vision_config.backbone_config
    width, grid = config.vision_config.fpn_hidden_size, vit.image_size // vit.patch_size
    declared = declared or {}
    prompt = dict(declared.get("prompt_encoder_config") or {"hidden_size": width})
    decoder = dict(
        declared.get("mask_decoder_config")
        or {
            "hidden_size": width,
            "mlp_dim": 8 * width,
            "iou_head_hidden_dim": width,
            "num_attention_heads": max(1, min(8, width // 16)),
        }
    )
    vision = config.vision_config.to_dict() | {
        "scale_factors": TRACKER_SCALES,
        "backbone_feature_sizes": [[grid * s, grid * s] for s in (4, 2, 1)],
    }
    prompt |= {"image_size": vit.image_size, "patch_size": vit.patch_size}
    for part in (prompt, decoder):
        part.pop("model_type", None)
    return Sam3TrackerConfig(vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=decoder)


def load_part(model_class, folder: Path, config):
    """from_pretrained, but strict: transformers only warns about weights that it filled with random numbers."""
    try:
        model, info = model_class.from_pretrained(
            folder,
            config=config,
            output_loading_info=True,
            local_files_only=True,
            dtype=torch.float32,
            use_safetensors=True,
            ignore_mismatched_sizes=True,
        )
    except (OSError, RuntimeError, ValueError, SafetensorError) as error:
        raise WeightsError(f"{folder} cannot be loaded as {model_class.__name__}: {error}") from error
    unexpected = [key for key in info["unexpected_keys"] if not _is_unused(key)]
    problems = [
        ("missing", sorted(info["missing_keys"])),
        ("unexpected", sorted(unexpected)),
        ("wrong shape", sorted(str(key) for key in info["mismatched_keys"])),
    ]
    found = "; ".join(f"{what}: {', '.join(keys)}" for what, keys in problems if keys)
    if found:
        raise WeightsError(f"{folder} does not fit {model_class.__name__} ({found})")
    return model


def _is_unused(key: str) -> bool:
    return key.removeprefix("tracker_model.").startswith(UNUSED_KEYS)
