"""The ViT through torch's compiler: opt-in (ROOST_TORCH_COMPILE=1), since it needs a C++ compiler and a minute or two.

Compiled when a version is loaded, for every batch size that will be asked for, so that nobody's click waits for it.
What was compiled is kept under $ROOST_VAR: the next start, or the next version of the same size, reads it from there.
"""

from __future__ import annotations

import logging
import time
from typing import Any

import torch

from mlbackend.model.predictor import Predictor

log = logging.getLogger(__name__)
# Of the answer's norm. The compiler adds up in another order: 3.5e-7 measured in fp32. Embeddings are then rounded to
# fp16, which may fall to either side, and bf16 holds 3 digits.
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.02}


def compile_vit(predictor: Predictor, *, batch: int) -> bool:
    """Let the compiled ViT serve if it answers as torch's own; else the log says why not, and torch's own serves.

    For a predictor that is not in service yet.
    """
    if predictor.compiled:  # shared with a version that has done it
        return True
    start = time.monotonic()
    eager = predictor.network.detector.vision_encoder.backbone
    sizes = (1, 2) if batch > 1 else (1,)  # 1 is always a graph of its own; the second size makes one for all others
    expected = [_encode(predictor, images) for images in sizes]
    _use(predictor, torch.compile(eager))
    try:
        for want in expected:
            _check_parity(_encode(predictor, len(want)), want, TOLERANCE[predictor.vit_dtype])
    except Exception as error:  # whatever the compiler, or the compiler's compiler, runs into
        _use(predictor, eager)
        log.error(
            "the ViT is not compiled, torch runs it as it is (ROOST_TORCH_COMPILE=1 needs a C++ compiler): %s",
            next(iter(str(error).strip().splitlines()), type(error).__name__),
        )
        return False
    log.info("the ViT was compiled in %.0f s", time.monotonic() - start)
    return True


def _use(predictor: Predictor, backbone: Any) -> None:
    predictor.network.detector.vision_encoder.backbone = backbone
    predictor.network.tracker.vision_encoder.backbone = backbone


def _encode(predictor: Predictor, images: int) -> torch.Tensor:
    """Through the very call that serves, since the compiler makes a graph for each way of calling."""
    side = predictor.network.image_size_px
    pixels = torch.randn(images, 3, side, side, generator=torch.Generator().manual_seed(images))
    return torch.stack([entry.tensors["tokens"] for entry in predictor.encode(pixels, [(side, side)] * images)])


def _check_parity(got: torch.Tensor, want: torch.Tensor, tolerance: float) -> None:
    differs = float((got - want).norm() / want.norm())
    if not differs <= tolerance:
        raise ValueError(f"compiled, it differs by {differs:.2g} of the answer's norm in a batch of {len(want)}")
