"""Tuning the click decoder: accepted masks, asked for again as people asked for them, and what the answers miss.

Off unless `click_rate` is above 0, and beside the heads: not a bit of them changes by it. What moves is the mask
decoder of SAM 3's tracker. The ViT, the tracker's neck and the two convolutions in front of the decoder do not, so
embeddings and what is kept of an image for its clicks stay valid; nor does the prompt encoder.
Legend: B objects, K masks of an answer, h w an answer's logits, H W the truth as it is learned from.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import deque
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from mlbackend.model.network import Sam3Network
from mlbackend.model.predictor import Predictor, Prompt
from mlbackend.model.prompts import Point
from mlbackend.store.embeddings import Embedding
from training.checkpoints import State
from training.click_judge import Clickable, click_courses, click_embedding, clickables, compare
from training.config import Config
from training.dataset import Pair
from training.errors import TrainingError
from training.events import Events
from training.heads import Average, optimiser_state, restore_optimiser, set_rate
from training.launch import StopRequest
from training.losses import dice_loss, focal_loss
from training.material import Material
from training.models import Model
from training.prompts import Box, Given
from training.simulated_clicks import next_click
from training.targets import Targets
from training.token_source import TokenSource

# Weights of SAM 2's own training; the best of several masks learns, all of their claims do.
MASK_FOCAL, MASK_DICE, CLAIM = 20.0, 1.0, 1.0
UNTUNED_PARTS = ("conv_s0.", "conv_s1.", "pred_obj_score_head.", "obj_score_token.")
PREFIX = "click|"
CLICKS = 4  # of the numbers that the draws of a run are told apart by: see sampling.py, blending.py


def tuned(network: Sam3Network) -> dict[str, nn.Parameter]:
    """Named parameters of the mask decoder that learn. The chance that an object is there at all is video's."""
    named = network.tracker.mask_decoder.named_parameters()
    chosen = {name: parameter for name, parameter in named if not name.startswith(UNTUNED_PARTS)}
    for parameter in chosen.values():
        parameter.requires_grad_(True)
    return chosen


def prompts_digest(pairs: Sequence[Pair]) -> str:
    """Of what the content hash of a snapshot does not see."""
    told = [[pair.image, pair.phrase, [repr(one.prompts) for one in pair.instances]] for pair in pairs]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


class ClickTuner:
    """Owns what it tunes, with optimiser and average; the trainer calls learn() a step and finish() once."""

    def __init__(
        self, config: Config, model: Model, features: TokenSource, targets: Targets, material: Material
    ) -> None:
        self._config, self._features, self._targets = config, features, targets
        self._decoder = model.network.tracker.mask_decoder
        self._predictor = Predictor(model.network, model.tokenizer, model.backbone_hash, "", "", model.device)
        self._objects = clickables(material.train)
        self._judged = clickables(material.val.pairs, config.click_judged)
        self.parameters = tuned(model.network)
        self._start: State = {name: one.detach().to("cpu", copy=True) for name, one in self.parameters.items()}
        self._optimiser = _optimiser(self.parameters, config)
        self._average = Average(self.parameters, config.average)
        self._epoch = lru_cache(maxsize=8)(self._draw_epoch)
        self.digest = prompts_digest(material.train)
        self.report: dict[str, Any] = {}

    @classmethod
    def wanted(
        cls, config: Config, model: Model, features: TokenSource, targets: Targets, material: Material
    ) -> ClickTuner | None:
        return cls(config, model, features, targets, material) if config.click_rate > 0 else None

    def learn(self, step: int, share_done: float) -> dict[str, float]:
        """Move the decoder by one step; the loss over all rounds of clicks."""
        set_rate(self._optimiser, self._config, share_done)
        lessons = self._lessons(step)
        self._decoder.train()  # a single mask is then token 0's own, not the one that serving picks where it wavers
        try:
            total = sum(self._round(lessons, step) for _ in range(self._config.click_rounds))
        finally:
            self._decoder.eval()
        nn.utils.clip_grad_norm_(list(self.parameters.values()), self._config.clip_norm)
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
        self._average.update(step + 1)
        return {"click": float(total)}

    def _round(self, lessons: list[_Lesson], step: int) -> float:
        """One more prompt on each object whose answer is not right yet; its gradients add to the step's."""
        asking = sorted((one for one in lessons if one.ask()), key=lambda one: one.shape)
        total = 0.0
        for _, alike in groupby(asking, key=lambda one: one.shape):
            loss = self._answer(list(alike)).sum() / len(lessons)
            if not bool(torch.isfinite(loss)):
                raise TrainingError("diverged", f"The clicks' loss is no number at step {step}: lower click_rate.")
            loss.backward()
            total += float(loss.detach())
        return total

    def _answer(self, lessons: list[_Lesson]) -> torch.Tensor:
        """The serving path's own decoder call, and the loss of each object's answer."""
        prompts = [lesson.prompt() for lesson in lessons]
        wants_three = prompts[0].wants_three
        masks_BKhw, iou_BK = self._predictor.decode(*self._predictor.stack(prompts), multimask=wants_three)
        truth_BHW = torch.stack([lesson.truth_HW for lesson in lessons]).to(masks_BKhw.device)
        masks_BKHW = at_size(masks_BKhw, truth_BHW.shape[-2:])
        for b, lesson in enumerate(lessons):
            best = int(iou_BK[b].argmax())  # as the desk shows it
            lesson.take(masks_BKhw[b, best].detach(), (masks_BKHW[b, best].detach() > 0).cpu().numpy())
        return click_losses(masks_BKHW, iou_BK, truth_BHW)

    def _lessons(self, step: int) -> list[_Lesson]:
        drawn = list(self._drawn(step))
        pairs = {one.pair.image: one.pair for one in drawn}
        embeddings = {image: click_embedding(self._predictor, self._features, pair) for image, pair in pairs.items()}
        return [_Lesson(one, embeddings[one.pair.image], self._truth(one)) for one in drawn]

    def _truth(self, one: Clickable) -> torch.Tensor:
        place = next(n for n, instance in enumerate(one.pair.instances) if instance is one.instance)
        return self._targets.of(one.pair).masks_MHW[place]

    def _drawn(self, step: int) -> Iterator[Clickable]:
        """All objects once before any twice; a function of seed and step alone."""
        count = self._config.click_pairs
        for place in range(step * count, (step + 1) * count):
            epoch, within = divmod(place, len(self._objects))
            yield self._objects[self._epoch(epoch)[within]]

    def _draw_epoch(self, epoch: int) -> np.ndarray:
        return np.random.default_rng([self._config.seed, CLICKS, epoch]).permutation(len(self._objects))

    def state(self) -> State:
        """For a checkpoint, beside the heads' own."""
        state: State = {f"weights|{name}": parameter for name, parameter in self.parameters.items()}
        state |= {f"average|{name}": weight for name, weight in self._average.weights.items()}
        state |= optimiser_state(self._optimiser, self.parameters)
        return {PREFIX + name: tensor for name, tensor in state.items()}

    @torch.no_grad()
    def restore(self, state: State) -> None:
        own = {key.removeprefix(PREFIX): value for key, value in state.items() if key.startswith(PREFIX)}
        for name, parameter in self.parameters.items():
            parameter.copy_(own.pop(f"weights|{name}"))
            self._average.weights[name].copy_(own.pop(f"average|{name}"))
        restore_optimiser(self._optimiser, self.parameters, own)

    def finish(self, events: Events, stop: StopRequest) -> None:
        """Count clicks with the base's decoder and with the tuned one, and leave the one to keep in the network."""
        courses = []
        weights = (self._start, self._average.kept(self._config.start_share))
        for place, one in enumerate(weights):
            self._put(one)
            told = stop.checked(_reporter(events, place * len(self._judged), 2 * len(self._judged)))
            courses.append(click_courses(self._predictor, self._features, self._judged, told))
        self.report = compare(courses[0], courses[1], self._config.seed) | {"learned_from": self._learned_from()}
        self._put(weights[self.report["kept"]])
        events("clicks", **self.report)

    def _learned_from(self) -> dict[str, int]:
        """Objects of people's own prompts, and those on which every click is simulated."""
        prompted = sum(bool(one.instance.prompts) for one in self._objects)
        return {"objects": len(self._objects), "with_prompts": prompted, "simulated": len(self._objects) - prompted}

    @torch.no_grad()
    def _put(self, weights: State) -> None:
        for name, parameter in self.parameters.items():
            parameter.copy_(weights[name])


def _reporter(events: Events, done_before: int, of: int) -> Any:
    began = time.monotonic()

    def report(done: int, _of: int) -> None:
        eta_s = (time.monotonic() - began) / done * (of - done_before - done)
        events("progress", step=done_before + done, of=of, phase="clicks", eta_s=round(eta_s, 1))

    return report


def _optimiser(parameters: dict[str, nn.Parameter], config: Config) -> torch.optim.AdamW:
    """As the heads', at the click decoder's own rate; no weight decay on vectors and on the decoder's own tokens."""
    groups: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for name, parameter in parameters.items():
        groups[parameter.ndim >= 2 and "token" not in name].append(parameter)
    rows = [
        {"params": some, "rate_share": config.click_rate, "weight_decay": config.weight_decay if decays else 0.0}
        for decays, some in groups.items()
    ]
    return torch.optim.AdamW(rows, lr=config.learning_rate, betas=(0.9, 0.98))


def at_size(logits_BKhw: torch.Tensor, size: torch.Size) -> torch.Tensor:
    """Logits to the truth's size, before they are cut: the official order."""
    return F.interpolate(logits_BKhw.float(), size=tuple(size), mode="bilinear", align_corners=False)


def click_losses(masks_BKHW: torch.Tensor, iou_BK: torch.Tensor, truth_BHW: torch.Tensor) -> torch.Tensor:
    """(B,): SAM 2's. Of K masks the one with the least loss learns; every claim of an IoU aims at the IoU that it has.

    Source: Ravi et al. 2024, SAM 2 (appendix on training): focal 20, dice 1, the claimed IoU's absolute error 1.
    """
    truth_BKHW = truth_BHW[:, None].float().expand_as(masks_BKHW)
    focal_BK = focal_loss(masks_BKHW, truth_BKHW).mean((2, 3))
    dice_BK = dice_loss(masks_BKHW.flatten(0, 1), truth_BKHW.flatten(0, 1)).view_as(focal_BK)
    drawn_B = (MASK_FOCAL * focal_BK + MASK_DICE * dice_BK).min(1).values
    with torch.no_grad():
        found, there = masks_BKHW > 0, truth_BKHW > 0
        true_iou_BK = (found & there).sum((2, 3)) / (found | there).sum((2, 3)).clamp(min=1)
    return drawn_B + CLAIM * (iou_BK.float() - true_iou_BK).abs().mean(1)


class _Lesson:
    """One object of a step: what it was shown so far, and the answer to that."""

    def __init__(self, one: Clickable, embedding: Embedding, truth_HW: torch.Tensor) -> None:
        self._embedding, self.truth_HW = embedding, truth_HW
        self._truth, self._found = truth_HW.numpy() > 0, np.zeros(truth_HW.shape, dtype=bool)
        self._waiting: deque[Given] = deque(one.instance.prompts)
        self._points: list[Point] = []
        self._box_xyxy = _frame_of_a_proposal(one)
        self._earlier_hw: torch.Tensor | None = None

    @property
    def shape(self) -> tuple[int, bool, bool]:
        return len(self._points), self._box_xyxy is not None, self._earlier_hw is not None

    def ask(self) -> bool:
        """Show one thing more, a person's next prompt or else a click where the answer is wrong; False: it is right."""
        given = self._waiting.popleft() if self._waiting else self._simulated()
        if isinstance(given, Box):
            self._box_xyxy = given.xyxy
        elif given is not None:
            self._points.append(given)
        return given is not None

    def _simulated(self) -> Point | None:
        click = next_click(self._truth, self._found)
        if click is None:
            return None
        rows, columns = self._truth.shape
        image = self._embedding
        return Point(click.x * image.width_px / columns, click.y * image.height_px / rows, click.label)

    def prompt(self) -> Prompt:
        return Prompt(self._embedding, tuple(self._points), self._box_xyxy, self._earlier_hw)

    def take(self, logits_hw: torch.Tensor, found_HW: np.ndarray) -> None:
        self._earlier_hw, self._found = logits_hw, found_HW


def _frame_of_a_proposal(one: Clickable) -> tuple[float, float, float, float] | None:
    """A person who begins by taking away corrects a proposal, whose frame the desk sent along and nobody kept: the
    accepted mask's own frame stands in for it."""
    first = next(iter(one.instance.prompts), None)
    if not isinstance(first, Point) or first.label == 1:
        return None
    x0, y0, x1, y1 = one.instance.box_xyxy_norm
    width, height = one.pair.width_px, one.pair.height_px
    return x0 * width, y0 * height, x1 * width, y1 * height
