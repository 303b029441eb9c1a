"""A model version from a folder or the hub to a Predictor. Strict: nothing is filled in or left out silently.

SAM 3's weights, and what is trained from them, carry Meta's own licence (the SAM License) and not Roost's.
"""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mlbackend.model.checkpoint import WeightsError, hash_tensors
from mlbackend.model.inputs import load_tokenizer
from mlbackend.model.network import Sam3Network
from mlbackend.model.predictor import Predictor
from mlbackend.model.temperature import temperature_of

log = logging.getLogger(__name__)
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
HUB_FILES = [
    "config.json",
    "*.safetensors",
    "*.safetensors.index.json",
    "tokenizer*",
    "vocab.json",
    "merges.txt",
    "special_tokens_map.json",
]


@dataclass(frozen=True)
class LoadOptions:
    device: str = "auto"
    dtype: str = "auto"
    image_size_px: int | None = None

    def resolve_device(self) -> torch.device:
        if self.device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if self.device == "cuda" and not torch.cuda.is_available():
            raise WeightsError("ROOST_DEVICE=cuda, but torch sees no GPU here: install a CUDA build or set it to cpu")
        return torch.device(self.device)

    def resolve_vit_dtype(self, device: torch.device) -> torch.dtype:
        if self.dtype == "auto":
            return torch.bfloat16 if device.type == "cuda" else torch.float32
        return {"float32": torch.float32, "bfloat16": torch.bfloat16}[self.dtype]


def resolve_source(source: str, *, hub_token: str | None = None) -> Path:
    """A local folder as it is; a hub id (`facebook/sam3`) downloaded to the hub's cache, which serves offline too."""
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder
    if not HUB_ID.fullmatch(source):
        raise WeightsError(f"'{source}' is neither a folder here nor a hub id such as facebook/sam3")
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()
    log.info("%s: asking the hub at %s; the first time its weights are downloaded", source, constants.ENDPOINT)
    otherwise = "or set ROOST_BASE_MODEL to a local folder"
    try:
        return Path(snapshot_download(source, token=hub_token, allow_patterns=HUB_FILES))
    except GatedRepoError as error:
        why = "the token in HF_TOKEN has no access to it" if hub_token else "HF_TOKEN is not set"
        raise WeightsError(
            f"'{source}' is gated and {why}: accept its licence at {constants.ENDPOINT}/{source} with your account and "
            f"set HF_TOKEN to a token of that account, {otherwise}"
        ) from error
    except RepositoryNotFoundError as error:
        raise WeightsError(
            f"the hub has no '{source}', or hides it from {'this' if hub_token else 'requests without'} "
            f"HF_TOKEN: check ROOST_BASE_MODEL, set HF_TOKEN, {otherwise}"
        ) from error
    except Exception as error:  # no network, a full disk: the hub's client raises many types
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise WeightsError(
            f"'{source}' cannot be fetched from the hub and its cache does not hold it ({reason}): "
            f"connect this machine to {constants.ENDPOINT} once, {otherwise}"
        ) from error


def load_predictor(folder: Path, options: LoadOptions, *, share_with: list[Predictor] | None = None) -> Predictor:
    """Load a hub-layout folder; the ViT of an already loaded version with equal weights is used instead of a copy."""
    device = options.resolve_device()
    network = Sam3Network.load(folder)
    _check_image_size(network, options.image_size_px)
    manifest = read_manifest(folder)
    backbone_hash, weights_hash = network.backbone_hash(), network.weights_hash()
    if manifest.get("weights_hash") not in (None, weights_hash):
        raise WeightsError(
            f"{folder}/model.safetensors is not what its manifest.json promises (weights_hash differs): "
            "copy the version again"
        )
    click_hash = click_input_hash(network, backbone_hash)
    vit_dtype = options.resolve_vit_dtype(device)
    _place(network, device, vit_dtype, backbone_hash, share_with or [])
    words = manifest.get("taught_words")
    return Predictor(
        network=network,
        tokenizer=load_tokenizer(folder),
        backbone_hash=backbone_hash,
        click_hash=click_hash,
        weights_hash=weights_hash,
        device=device,
        vit_dtype=vit_dtype,
        taught_words=None if words is None else frozenset(str(word).lower() for word in words),
        temperature=temperature_of(manifest),
    )


def read_manifest(folder: Path) -> dict[str, Any]:
    """manifest.json; a model that was shipped and not registered may tell what it was taught in its card.json alone."""
    if (folder / "manifest.json").is_file():
        return _read_object(folder / "manifest.json")
    if (folder / "card.json").is_file():
        return {"taught_words": _read_object(folder / "card.json").get("taught_words")}
    return {}


def _read_object(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} is not valid JSON ({error}): copy the version again") from None
    if not isinstance(manifest, dict):
        raise WeightsError(f"{path} must hold a JSON object")
    return manifest


def click_input_hash(network: Sam3Network, backbone_hash: str) -> str:
    """Key of the click decoder's input: the ViT and what lies between it and the decoder, but no head."""
    decoder = network.tracker.mask_decoder
    parts = [
        ("backbone " + backbone_hash, torch.zeros(0)),
        ("no_memory_embedding", network.tracker.no_memory_embedding),
    ]
    for name, module in (
        ("neck", network.tracker.vision_encoder.neck),
        ("s0", decoder.conv_s0),
        ("s1", decoder.conv_s1),
    ):
        parts += [(f"{name}.{key}", value) for key, value in module.state_dict().items()]
    return hash_tensors(parts)


def _check_image_size(network: Sam3Network, asked_px: int | None) -> None:
    if asked_px not in (None, network.image_size_px):
        raise WeightsError(
            f"ROOST_IMAGE_SIZE={asked_px}, but this checkpoint runs at {network.image_size_px} px alone: its rotary "
            "positions and window sizes are fixed to that; unset ROOST_IMAGE_SIZE"
        )


def _place(
    network: Sam3Network, device: torch.device, vit_dtype: torch.dtype, backbone_hash: str, loaded: list[Predictor]
) -> None:
    """Share an equal ViT or convert our own; everything but the ViT stays in fp32."""
    same_vit = next(
        (
            other
            for other in loaded
            if other.backbone_hash == backbone_hash and other.device == device and other.vit_dtype == vit_dtype
        ),
        None,
    )
    if same_vit is not None:
        backbone = same_vit.network.detector.vision_encoder.backbone
    else:
        backbone = network.detector.vision_encoder.backbone.to(device, vit_dtype)
    network.detector.vision_encoder.backbone = backbone
    network.tracker.vision_encoder.backbone = backbone
    for module in (network.detector, network.tracker):
        for name, child in module.named_children():
            if name != "vision_encoder":
                child.to(device)
        module.vision_encoder.neck.to(device)
        for parameter in module.parameters(recurse=False):
            parameter.data = parameter.data.to(device)
    network.requires_grad_(False)
    if device.type == "cpu":
        _leave_file(network, spare=None if same_vit is None else backbone)


def _leave_file(network: Sam3Network, *, spare: nn.Module | None) -> None:
    """On a CPU what was read is a view of the file: whoever writes over it in place (cp, rsync --inplace) would change
    the masks in service, and kill the process where the file gets shorter."""
    spared = set() if spare is None else {id(tensor) for tensor in _tensors(spare)}
    for tensor in _tensors(network):
        if id(tensor) not in spared:
            tensor.data = tensor.data.clone()


def _tensors(module: nn.Module) -> list[torch.Tensor]:
    return [*module.parameters(), *module.buffers()]


def parameter_bytes(predictor: Predictor) -> int:
    return sum({id(parameter): parameter.nbytes for parameter in predictor.network.parameters()}.values())
