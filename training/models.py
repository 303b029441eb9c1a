"""A model folder (hub layout) as what training and evaluation need: network, tokenizer, words, hashes, device."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging as transformers_logging

from mlbackend.model.inputs import PhraseTokenizer, PromptTooLong, load_tokenizer
from mlbackend.model.loader import read_manifest
from mlbackend.model.network import Sam3Network, TextFeatures, WeightsError
from mlbackend.model.temperature import PRESENCE_CALIBRATION, UNCHANGED, temperature_of
from training.errors import Refused

log = logging.getLogger(__name__)
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.json", "merges.txt")


@dataclass(frozen=True)
class Model:
    """A loaded version. taught_words are those that its makers say it was ever taught; None where they do not say."""

    folder: Path
    network: Sam3Network
    tokenizer: PhraseTokenizer
    backbone_hash: str
    device: torch.device
    manifest: dict[str, Any]
    temperature: float = UNCHANGED

    def uncalibrated(self) -> Model:
        """The same without the temperature of its presence score, which does not outlive a step of training."""
        manifest = {key: value for key, value in self.manifest.items() if key != PRESENCE_CALIBRATION}
        return replace(self, manifest=manifest, temperature=UNCHANGED)

    def calibrated(self, calibration: dict[str, Any]) -> Model:
        manifest = {**self.manifest, PRESENCE_CALIBRATION: calibration}
        return replace(self, manifest=manifest, temperature=temperature_of(manifest))

    def texts(self, phrases: list[str]) -> TextFeatures:
        """Text features of phrases, with gradients where the caller wants them."""
        ids, mask = self.tokenizer(phrases)
        return self.network.text_features(ids.to(self.device), mask.to(self.device))

    def checked_weights_hash(self) -> str:
        """Of the weights in memory; Refused where the folder's manifest promises others."""
        found, promised = self.network.weights_hash(), self.manifest.get("weights_hash")
        if promised and promised != found:
            raise Refused(
                "other_weights",
                f"The weights in {self.folder} are not those that its manifest.json promises ({found[:12]}… instead of "
                f"{promised[:12]}…): the folder was changed or damaged. Restore it, or import it anew.",
            )
        return found

    def check_phrases(self, phrases: set[str]) -> None:
        try:
            self.tokenizer(sorted(phrases))
        except PromptTooLong as error:
            raise Refused("malformed_snapshot", f"A phrase of the snapshot does not fit the model: {error}.") from None


def load_model(folder: str | Path, *, device: torch.device) -> Model:
    """Refused `bad_model` when the folder is not a whole SAM 3 in hub layout. Weights are safetensors, never pickle."""
    folder = Path(folder)
    if not folder.is_dir():
        raise Refused("bad_model", f"There is no model folder {folder}.")
    transformers_logging.disable_progress_bar()
    try:
        network, tokenizer = Sam3Network.load(folder), load_tokenizer(folder)
        manifest = read_manifest(folder)
        temperature = temperature_of(manifest)
    except WeightsError as error:
        raise Refused("bad_model", str(error)) from error
    backbone_hash = network.backbone_hash()
    return Model(folder, network.to(device), tokenizer, backbone_hash, device, manifest, temperature)


def choose_device(wanted: str) -> torch.device:
    """`auto` takes a GPU when torch sees one; asking for one that is not there is refused, never quietly a CPU."""
    if wanted == "cpu":
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda")
    if wanted == "cuda":
        raise Refused("no_gpu", "device is cuda, but torch sees no GPU: install a CUDA build, or set device to cpu.")
    log.info("no GPU: training on the CPU")
    return torch.device("cpu")
