"""The frozen ViT: on the card while it encodes, and out of the way while the heads learn."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from mlbackend.model.loader import LoadOptions
from training.models import Model


def choose_vit_dtype(wanted: str, device: torch.device) -> torch.dtype:
    """`auto` is what the ML backend takes on such a device: then what it encoded while mining is not encoded again."""
    return LoadOptions(dtype=wanted).resolve_vit_dtype(device)


class FrozenVit:
    """446 M of SAM 3's 852 M numbers. They wait in fp32 in the machine's memory, since a run saves them untouched; a
    card, or another arithmetic, gets a copy that is dropped after use."""

    def __init__(self, model: Model, dtype: torch.dtype = torch.float32) -> None:
        self.dtype, self._device = dtype, model.device
        self._module: nn.Module = model.network.detector.vision_encoder.backbone
        self._ready: nn.Module | None = None
        if self._device.type == "cuda":
            self._module.to("cpu")
            torch.cuda.empty_cache()

    @contextmanager
    def ready(self) -> Iterator[None]:
        """Inside the block it can encode; blocks within the block cost nothing."""
        if self._ready is not None:
            yield
            return
        is_at_home = self._device.type == "cpu" and self.dtype == torch.float32
        self._ready = self._module if is_at_home else copy.deepcopy(self._module).to(self._device, self.dtype)
        try:
            yield
        finally:
            self._ready = None
            if self._device.type == "cuda":
                torch.cuda.empty_cache()

    @torch.inference_mode()
    def encode(self, pixels_B3HW: torch.Tensor) -> torch.Tensor:
        """(B, N, C) in fp32 on the CPU. Only inside ready()."""
        assert self._ready is not None
        tokens = self._ready(pixels_B3HW.to(self._device, self.dtype)).last_hidden_state
        return tokens.float().cpu()
