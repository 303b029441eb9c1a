"""A run's memory, found by doing its work on tensors that have shapes and no contents.

The real network, at its real size, learns, judges and encodes under torch's fake tensors; a meter adds up every storage
that is made and takes off every one that goes. No weight is read, no card is touched, and it costs seconds of a CPU.
What a card does otherwise than a CPU is put in by hand: attention that never holds its matrix, norms in fp32.
Held against a card: docs/training.md, "What fits".
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers.models.sam3.configuration_sam3 import Sam3Config

from mlbackend.model.inputs import normalised
from mlbackend.model.network import Detections, Sam3Network, TextFeatures, tracker_config_for
from training.click_rehearsal import pretend_clicks
from training.clicks import tuned
from training.config import Config
from training.errors import Refused
from training.evaluate import draw_masks, find_pairs
from training.fit import ENCODE_IMAGES, Fit
from training.heads import trainable, use_training_mode
from training.learning import Part, detected
from training.losses import dice_loss, focal_loss
from training.matcher import ManyCosts
from training.models import Model
from training.moving import learning, prepared
from training.precision import Precision
from training.rehearsal_stage import Meter, forgetting, norms_in_fp32, play, refill
from training.targets import TARGET_CELLS_PER_TOKEN
from training.views import PLAIN, View

CPU = torch.device("cpu")
TEXT_TOKENS = 32
LAYERS_LEFT = 2  # of the ViT: one with windows, one that sees all; the others do the same one after the other
FP32_BYTES = 4


@dataclass(frozen=True)
class Sizes:
    """Numbers of the network's parts; heads: what is neither ViT nor text tower, the click decoder among it;
    clicks: what of that learns where clicks are tuned."""

    vit: int
    text: int
    heads: int
    trained_heads: int
    clicks: int
    tokens_an_image: int


@dataclass(frozen=True)
class Pretended:
    """A pair as far as the heads look at it."""

    image: str
    phrase: str


@dataclass(frozen=True)
class Lesson:
    """A part of a batch: `drawn` of its pairs with masks of `objects` objects each, beside `mixed` mixtures.

    has_gradients: a part before it left some. one_to_many and semantic: the branches that learn, too.
    """

    pairs: int
    drawn: int
    mixed: int
    objects: int
    learns_text: bool
    has_gradients: bool = False
    one_to_many: bool = False
    semantic: bool = False


class Rehearsal:
    """Of one model folder. Every figure is the most bytes at once on top of the weights that lie there anyway.

    config says what of the network learns. Of a ViT that learns every layer is rehearsed: each leaves something behind.
    """

    def __init__(self, folder: str | Path, config: Config | None = None) -> None:
        self._fake = FakeTensorMode(allow_non_fake_inputs=True)
        self._config = config or Config(snapshot="", images="")
        whole = _config(Path(folder))
        layers = whole.vision_config.backbone_config.num_hidden_layers
        with torch.device("meta"):
            rehearsed = whole if self.moves_vit else _thinned(_config(Path(folder)))
            network = Sam3Network.from_config(rehearsed, tracker_config_for(rehearsed))
            self.sizes, before = _sizes(network, layers), _numbers(network)
            prepared(network, self._config)
        self.added = _numbers(network) - before  # by adapters
        self._network = self._faked(network)
        self._encode_images = ENCODE_IMAGES
        self.known: dict[tuple[Any, ...], int] = {}  # for whoever asks the same again

    def learn(self, fit: Fit, lesson: Lesson) -> int:
        """Forward and backward of a part."""
        network = self._network
        parameters = self._learning(lesson.learns_text)
        with forgetting(network, fit.recompute), self._on_stage(fit.precision) as meter:
            use_training_mode(network, True)
            for parameter in parameters:
                parameter.grad = torch.empty_like(parameter) if lesson.has_gradients else None
            with fit.precision.autocast(CPU):
                found = self._detect(fit, lesson) if lesson.pairs else None
                blended = self._blend(lesson.mixed, lesson.learns_text) if lesson.mixed else None
            total = self._loss(found, lesson.objects) if found is not None else torch.zeros(())
            total = total + blended if blended is not None else total
            total.backward()
            most = meter.most
        for parameter in parameters:
            parameter.grad = None
        return most

    @property
    def moves_vit(self) -> bool:
        return self._config.vit != "frozen"

    def trained(self, *, with_text: bool) -> int:
        """Numbers that learn."""
        return sum(parameter.numel() for parameter in self._learning(with_text))

    def _learning(self, with_text: bool) -> list[nn.Parameter]:
        return list(learning(self._network, replace(self._config, text_rate=float(with_text), neck_rate=1.0)).values())

    def click(self, objects: int) -> int:
        """A step of the clicks, gradients included; it is made in fp32 whatever the heads are in."""
        with self._on_stage(Precision()) as meter:
            pretend_clicks(self._network, self.tokens([str(number) for number in range(objects)]))
            return meter.most

    def judge(self, fit: Fit, *, pairs: int, kept: int) -> int:
        """Answers to pairs of as many images; masks are drawn pair by pair, `kept` queries each."""
        with self._on_stage(fit.precision) as meter, torch.no_grad():
            use_training_mode(self._network, False)
            self._encode_images = fit.encode_images
            with fit.precision.autocast(CPU):
                model, asked = self._model(), _pretended(pairs)
                found, tokens = find_pairs(model, self, asked, self._texts(pairs, learns=False))  # type: ignore[arg-type]
                draw_masks(model, found, tokens, [0], torch.arange(kept))
            return meter.most

    def encode(self, dtype: torch.dtype, *, images: int) -> int:
        """The ViT's own pass, without its weights."""
        own = self._network.detector.vision_encoder.backbone
        with torch.device("meta"):
            vit = type(own)(own.config).eval()
        with self._fake:
            refill(vit, dtype)
        side = self._network.image_size_px
        with self._on_stage(Precision()) as meter, torch.no_grad():
            vit(torch.empty(images, 3, side, side, dtype=dtype)).last_hidden_state.float()
        return meter.most

    def tokens(self, images: Sequence[str], views: Sequence[View] | None = None) -> torch.Tensor:
        """As training.features has them: fp16 on their way to fp32; or by the ViT as training.pictures has them."""
        if self.moves_vit:
            at_once = len(images) if torch.is_grad_enabled() else self._encode_images
            parts = [images[start : start + at_once] for start in range(0, len(images), at_once)]
            return torch.cat([self._encoded(len(part)) for part in parts])
        return torch.empty(len(images), self._network.grid_size**2, self._vit_width, dtype=torch.float16).float()

    def _encoded(self, images: int) -> torch.Tensor:
        side = self._network.image_size_px
        pictures = torch.empty(images, 3, side, side, dtype=torch.uint8)
        return self._network.encode(normalised(pictures)).float()

    @property
    def _vit_width(self) -> int:
        return self._network.detector.config.vision_config.backbone_config.hidden_size

    def _detect(self, fit: Fit, lesson: Lesson) -> Detections:
        return detected(
            self._model(),
            self,  # type: ignore[arg-type]
            Part(_pretended(lesson.pairs), list(range(lesson.drawn)), [], [PLAIN] * lesson.pairs),
            self._texts(lesson.pairs, lesson.learns_text),
            recompute=fit.recompute,
            one_to_many=lesson.one_to_many,
            semantic=lesson.semantic,
        )

    def _blend(self, mixed: int, learns_text: bool) -> torch.Tensor:
        names = [str(number) for number in range(mixed)]
        tokens = 0.5 * self.tokens(names) + 0.5 * self.tokens(names)
        vision = self._network.coarse_features(tokens)
        found = self._network.detect(vision, self._texts(mixed, learns_text), with_masks=False)
        return torch.stack([layer.presence_logits_P.float().sum() for layer in found.layers]).sum()

    def _loss(self, found: Detections, objects: int) -> torch.Tensor:
        """As training.losses has it but for the matching, which wants contents and keeps nothing."""
        parts = [layer.presence_logits_P.float().sum() for layer in found.layers]
        parts += self._loss_of(found, objects)
        if found.many is not None:  # at most so many queries answer for an object
            parts += self._loss_of(found.many, objects * ManyCosts().best)
        for logits_HW in [] if found.semantic_logits_PHW is None else found.semantic_logits_PHW:
            parts.append(self._mask_loss(logits_HW[None]))
        return torch.stack(parts).sum()

    def _loss_of(self, answers: Detections, matched: int) -> Iterator[torch.Tensor]:
        """Scores, boxes, and of each prompt that is drawn the masks of its matched queries."""
        for layer in answers.layers:
            yield layer.query_logits_PQ.sigmoid().float().sum()
            yield layer.boxes_xyxy_PQ4.float().sum()
        for masks_QHW in [] if answers.mask_logits_PQHW is None else answers.mask_logits_PQHW:
            yield self._mask_loss(masks_QHW[torch.zeros(matched, dtype=torch.long)])

    def _mask_loss(self, masks_KHW: torch.Tensor) -> torch.Tensor:
        side = TARGET_CELLS_PER_TOKEN * self._network.grid_size
        truth = torch.empty(len(masks_KHW), side, side)
        logits = F.interpolate(masks_KHW.float()[None], size=(side, side), mode="bilinear", align_corners=False)[0]
        return focal_loss(logits, truth).mean((1, 2)).sum() + dice_loss(logits, truth).sum()

    def _texts(self, phrases: int, learns: bool) -> TextFeatures:
        """Each pair with a phrase of its own, which is the most there can be."""
        mask = torch.ones(phrases, TEXT_TOKENS, dtype=torch.long)
        if learns:
            return self._network.text_features(torch.ones(phrases, TEXT_TOKENS, dtype=torch.long), mask)
        width = self._network.detector.config.detr_encoder_config.hidden_size
        return TextFeatures(torch.empty(phrases, TEXT_TOKENS, width), mask.bool())

    def _model(self) -> Model:
        nothing: Any = None
        return Model(Path(), self._network, nothing, "", CPU, {})

    @contextmanager
    def _on_stage(self, precision: Precision) -> Iterator[Meter]:
        meter = Meter()
        with self._fake, meter, norms_in_fp32(self._network, precision):
            yield meter

    def _faked(self, network: Sam3Network) -> Sam3Network:
        with self._fake:
            refill(network, torch.float32)
        play(network)
        return network


def _config(folder: Path) -> Sam3Config:
    try:
        declared = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return Sam3Config(**declared["detector_config"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Refused(
            "bad_model", f"{folder} has no config.json of a SAM 3 model ({error}): name its folder."
        ) from None


def _thinned(config: Sam3Config) -> Sam3Config:
    vit = config.vision_config.backbone_config
    vit.num_hidden_layers, vit.global_attn_indexes = LAYERS_LEFT, [LAYERS_LEFT - 1]
    return config


def _sizes(network: Sam3Network, vit_layers: int) -> Sizes:
    vit = network.detector.vision_encoder.backbone
    layer = _numbers(vit.layers[0])
    text = _numbers(network.detector.text_encoder) + _numbers(network.detector.text_projection)
    clicks = sum(parameter.numel() for parameter in tuned(network).values())
    trained = sum(parameter.numel() for parameter in trainable(network, with_text=False).values())
    return Sizes(
        vit=_numbers(vit) + (vit_layers - len(vit.layers)) * layer,
        text=text,
        heads=_numbers(network) - _numbers(vit) - text,
        trained_heads=trained,
        clicks=clicks,
        tokens_an_image=network.grid_size**2 * network.detector.config.vision_config.backbone_config.hidden_size,
    )


def _numbers(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _pretended(count: int) -> list[Any]:
    return [Pretended(str(number), str(number)) for number in range(count)]
