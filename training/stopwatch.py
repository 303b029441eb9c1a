"""Is the challenger slower than the champion? Both encode and click in turns, so that whatever else the machine does
falls on both alike."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch

from mlbackend.model.network import Sam3Network
from mlbackend.model.predictor import Predictor, Prompt
from mlbackend.model.prompts import Point
from training.models import Model
from training.speed import CLICK, ENCODE, Speed, ratio_of

ROUNDS = 12


def work_of(network: Sam3Network) -> str:
    """Equal for networks that do the same sums: other weights of one shape take as long."""
    shapes = sorted((name, tuple(value.shape), str(value.dtype)) for name, value in network.state_dict().items())
    return str((shapes, network.image_size_px, network.prompt_has_cls))


def compare_speed(
    champion: Model,
    challenger: Model,
    picture_HWC: np.ndarray,
    progress: Callable[[int, int], None],
    *,
    vit_dtype: torch.dtype,
) -> Speed:
    """One picture, ROUNDS times in turns after one that does not count, begun by the one and the other alternately.
    The models are the stopwatch's own: their ViTs are converted to what the ML backend serves them with."""
    workers = [_Worker(model, picture_HWC, vit_dtype) for model in (champion, challenger)]
    seconds: dict[str, list[list[float]]] = {ENCODE: [[], []], CLICK: [[], []]}
    for worker in workers:
        worker.encode()
        worker.click()
    for turn in range(ROUNDS):
        for which in (0, 1) if turn % 2 else (1, 0):
            seconds[ENCODE][which].append(_timed(workers[which].encode, workers[which].device))
            seconds[CLICK][which].append(_timed(workers[which].click, workers[which].device))
        progress(turn + 1, ROUNDS)
    return Speed(False, {name: ratio_of(*of_both) for name, of_both in seconds.items()})


class _Worker:
    """One model with the calls that the ML backend makes."""

    def __init__(self, model: Model, picture_HWC: np.ndarray, vit_dtype: torch.dtype) -> None:
        self.device = model.device
        for half in (model.network.detector, model.network.tracker):
            half.vision_encoder.backbone = half.vision_encoder.backbone.to(model.device, vit_dtype)
        self._predictor = Predictor(
            model.network, model.tokenizer, "", "", "", device=model.device, vit_dtype=vit_dtype
        )
        self._pixels = self._predictor.preprocess(picture_HWC)[None]
        height, width = picture_HWC.shape[:2]
        self._size_wh = (width, height)
        self._point = Point(width / 2, height / 2, 1)

    def encode(self) -> None:
        (tokens,) = self._predictor.encode(self._pixels, [self._size_wh])
        self._embedding = self._predictor.click_features(tokens)

    def click(self) -> None:
        self._predictor.click([Prompt(self._embedding, (self._point,))])


def _timed(work: Callable[[], None], device: torch.device) -> float:
    began = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began
