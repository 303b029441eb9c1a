"""What goes into the network: phrases as token ids, pictures as pixels of its size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from transformers import AutoTokenizer

from mlbackend.model.checkpoint import WeightsError

TEXT_CONTEXT_TOKENS = 32


class PromptTooLong(ValueError):
    """A phrase needs more tokens than the text tower reads."""


class PhraseTokenizer:
    """Phrases to padded ids for text_features()."""

    def __init__(self, tokenizer) -> None:
        self._tokenizer = tokenizer

    def __call__(self, phrases: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """(input_ids, attention_mask), each (P, 32); PromptTooLong if a phrase does not fit."""
        for phrase in phrases:
            needed = len(self._tokenizer(phrase)["input_ids"])
            if needed > TEXT_CONTEXT_TOKENS:
                raise PromptTooLong(
                    f"'{phrase}' needs {needed} tokens and the model reads {TEXT_CONTEXT_TOKENS}: shorten the phrase"
                )
        batch = self._tokenizer(
            list(phrases), padding="max_length", max_length=TEXT_CONTEXT_TOKENS, return_tensors="pt"
        )
        return batch["input_ids"], batch["attention_mask"]


def load_tokenizer(folder: str | Path) -> PhraseTokenizer:
    folder = Path(folder)
    if not (folder / "tokenizer.json").is_file() and not (folder / "vocab.json").is_file():
        raise WeightsError(f"{folder} holds no tokenizer.json or vocab.json: copy the tokenizer beside the weights")
    return PhraseTokenizer(AutoTokenizer.from_pretrained(folder, local_files_only=True))


def preprocess(image_HWC: np.ndarray, size_px: int) -> torch.Tensor:
    """RGB uint8 of any size to (3, size_px, size_px) in -1..1; the aspect ratio is not kept, as in SAM 3.

    Resized while still uint8, which is what Sam3ImageProcessor does (facts: section 4).
    """
    return normalised(resized(image_HWC, size_px))


def resized(image_HWC: np.ndarray, size_px: int) -> torch.Tensor:
    """The same as (3, size_px, size_px) uint8: a quarter of the memory, for whoever keeps pictures."""
    if image_HWC.dtype != np.uint8 or image_HWC.ndim != 3 or image_HWC.shape[2] != 3:
        raise ValueError(f"expected an RGB uint8 (H, W, 3) array, got {image_HWC.dtype} {image_HWC.shape}")
    pixels = torch.from_numpy(np.ascontiguousarray(image_HWC)).permute(2, 0, 1)[None]
    if pixels.shape[-2:] != (size_px, size_px):
        pixels = F.interpolate(pixels, size=(size_px, size_px), mode="bilinear", antialias=True)
    return pixels[0]


def normalised(pixels: torch.Tensor) -> torch.Tensor:
    """uint8 to -1..1."""
    return (pixels.float() / 255 - 0.5) / 0.5
