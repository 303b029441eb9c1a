"""SAM 3 as one network: transformers' detector and click decoder over a single shared ViT.

Tensor legend: B images, P prompts, Q queries, C channels, T text tokens, N points, K masks, H W rows and columns.
Nothing here knows which size it runs: the demo checkpoint and facebook/sam3 differ by their config.json only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn
from transformers.models.sam3.configuration_sam3 import Sam3Config
from transformers.models.sam3.modeling_sam3 import Sam3Model, Sam3VisionEncoderOutput, inverse_sigmoid
from transformers.models.sam3_tracker.configuration_sam3_tracker import Sam3TrackerConfig
from transformers.models.sam3_tracker.modeling_sam3_tracker import Sam3TrackerModel

from mlbackend.model.checkpoint import (
    WEIGHTS,
    ForeignTensors,
    WeightsError,
    config_to_write,
    declared_cls,
    hash_tensors,
    load_part,
    read_configs,
    read_declared,
    tracker_config_for,
)
from mlbackend.model.geometry import cls_tokens
from mlbackend.model.one_to_many import without_self_attention
from mlbackend.model.rows import rows_for_prompts
from toolbox.files import write_json, written_whole

__all__ = [
    "ClickMasks",
    "Detections",
    "LayerOutput",
    "Sam3Network",
    "TextFeatures",
    "WeightsError",
    "tracker_config_for",
]


@dataclass(frozen=True)
class TextFeatures:
    """features_PTC as projected for the detector; mask_PT is True on real tokens.

    has_cls: the geometry encoder's tokens are behind the words already, so that detect() adds none.
    """

    features_PTC: torch.Tensor
    mask_PT: torch.Tensor
    has_cls: bool = False

    def rows(self, index: torch.Tensor) -> TextFeatures:
        return TextFeatures(self.features_PTC[index], self.mask_PT[index], self.has_cls)

    def with_cls(self, cls_P1C: torch.Tensor) -> TextFeatures:
        real = torch.ones_like(self.mask_PT[:, :1])
        features = torch.cat([self.features_PTC, cls_P1C.to(self.features_PTC.dtype)], dim=1)
        return TextFeatures(features, torch.cat([self.mask_PT, real], dim=1), has_cls=True)


@dataclass(frozen=True)
class LayerOutput:
    """One decoder layer's answer. Boxes are xyxy in 0..1 of the image; logits are before the sigmoid."""

    presence_logits_P: torch.Tensor
    query_logits_PQ: torch.Tensor
    boxes_xyxy_PQ4: torch.Tensor


@dataclass(frozen=True)
class Detections:
    """The last layer's answer, its masks, and every layer (last included) for auxiliary losses.

    mask_logits holds one row for each of mask_rows (all prompts unless the caller chose some), semantic_logits too: the
    concept's pixels, whichever object they belong to. Others can be had afterwards: draw(fine, rows, queries) for some
    prompts and queries, fine being each row's fine_features(). many is the one-to-many branch's answer, for training
    alone.
    """

    layers: list[LayerOutput]
    mask_logits_PQHW: torch.Tensor | None
    semantic_logits_PHW: torch.Tensor | None = None
    many: Detections | None = None
    draw: Callable[..., torch.Tensor] | None = None

    def with_drawn(self, masks_RQHW: torch.Tensor, semantic_RHW: torch.Tensor | None) -> Detections:
        """With the masks of all queries, those of the branch behind the ordinary ones, and the semantic logits."""
        own = self.query_logits_PQ.shape[1]
        many = self.many and replace(self.many, mask_logits_PQHW=masks_RQHW[:, own:])
        return replace(self, mask_logits_PQHW=masks_RQHW[:, :own], semantic_logits_PHW=semantic_RHW, many=many)

    @property
    def presence_logits_P(self) -> torch.Tensor:
        return self.layers[-1].presence_logits_P

    @property
    def query_logits_PQ(self) -> torch.Tensor:
        return self.layers[-1].query_logits_PQ

    @property
    def boxes_xyxy_PQ4(self) -> torch.Tensor:
        return self.layers[-1].boxes_xyxy_PQ4

    @property
    def scores_PQ(self) -> torch.Tensor:
        """Instance score: sigmoid(query logit) x presence score, as the official metric reads it."""
        return self.query_logits_PQ.sigmoid() * self.presence_logits_P.sigmoid()[:, None]


@dataclass(frozen=True)
class ClickMasks:
    """K masks for each prompt: logits at four times the token grid, and the mask quality each is thought to have."""

    mask_logits_BPKHW: torch.Tensor
    iou_BPK: torch.Tensor
    object_logits_BP: torch.Tensor


class Sam3Network(nn.Module):
    """Detector and click decoder that share one ViT module, so that one pass serves both.

    prompt_has_cls: text prompts end with the geometry encoder's CLS token, as Meta's own model has them.
    declared is config.json of the folder that it came from, foreign what that folder holds beside it.
    """

    def __init__(
        self,
        detector: Sam3Model,
        tracker: Sam3TrackerModel,
        *,
        prompt_has_cls: bool = False,
        declared: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        tracker.vision_encoder.backbone = detector.vision_encoder.backbone
        self.detector = detector
        self.tracker = tracker
        self.prompt_has_cls = prompt_has_cls
        self.declared = declared
        self.foreign: ForeignTensors | None = None

    @classmethod
    def from_config(cls, config: Sam3Config, tracker_config: Sam3TrackerConfig | None = None) -> Sam3Network:
        """Random weights, for tests and for training the demo model from nothing."""
        tracker = Sam3TrackerModel(tracker_config or tracker_config_for(config))
        # Prompts and image positions must be encoded by the same random frequencies.
        tracker.shared_image_embedding.positional_embedding.data.copy_(
            tracker.prompt_encoder.shared_embedding.positional_embedding
        )
        return cls(Sam3Model(config), tracker).eval()

    @classmethod
    def load(cls, folder: str | Path) -> Sam3Network:
        """Read a hub-layout folder; WeightsError names every key that is missing, unexpected or misshapen."""
        folder = Path(folder)
        config, tracker_config = read_configs(folder)
        detector = load_part(Sam3Model, folder, config)
        tracker = load_part(Sam3TrackerModel, folder, tracker_config)
        network = cls(detector, tracker, declared=read_declared(folder)).eval()
        network.foreign = ForeignTensors.of(folder, network.hub_state())
        network.prompt_has_cls = declared_cls(network.declared or {}, network.foreign.file_of, folder)
        return network

    def save(self, folder: str | Path) -> None:
        """Write config.json and model.safetensors in hub layout; a reader sees the old file or the new one.

        What the folder that it was loaded from holds beside it goes along, bit for bit; WeightsError if that is gone.
        """
        folder = Path(folder)
        config = config_to_write(self.declared or self._own_config(), prompt_has_cls=self.prompt_has_cls)
        tensors = {key: value.detach().cpu().contiguous() for key, value in self.hub_state().items()}
        with ExitStack() as files, written_whole(folder / WEIGHTS) as beside:
            save_file(tensors | self._read_foreign(files), beside, metadata={"format": "pt"})
        write_json(folder / "config.json", config, indent=1)

    def _own_config(self) -> dict[str, Any]:
        return {
            "architectures": ["Sam3VideoModel"],
            "model_type": "sam3_video",
            "detector_config": self.detector.config.to_dict(),
            "tracker_config": self.tracker.config.to_dict(),
        }

    def _read_foreign(self, files: ExitStack) -> dict[str, torch.Tensor]:
        return {} if self.foreign is None else self.foreign.read(files)

    def hub_state(self) -> dict[str, torch.Tensor]:
        """All weights under the hub's names; the shared ViT appears once, with the detector."""
        state = {f"detector_model.{key}": value for key, value in self.detector.state_dict().items()}
        for key, value in self.tracker.state_dict().items():
            if key.startswith("vision_encoder.neck."):
                state[key.replace("vision_encoder.neck.", "tracker_neck.", 1)] = value
            elif not key.startswith("vision_encoder.backbone."):
                state[f"tracker_model.{key}"] = value
        return state

    @property
    def image_size_px(self) -> int:
        return self.detector.config.vision_config.backbone_config.image_size

    @property
    def grid_size(self) -> int:
        """Tokens along one side of the image."""
        return self.image_size_px // self.detector.config.vision_config.backbone_config.patch_size

    def backbone_hash(self) -> str:
        """Key of every embedding that this ViT made: equal as long as the ViT's weights are."""
        return hash_tensors(self.detector.vision_encoder.backbone.state_dict().items())

    def weights_hash(self) -> str:
        """Of every tensor that save() writes, foreign ones included: equal to a hash over the file itself."""
        with ExitStack() as files:
            return hash_tensors((self.hub_state() | self._read_foreign(files)).items())

    def encode(self, pixel_values_B3HW: torch.Tensor) -> torch.Tensor:
        """The ViT's last hidden state, (B, grid * grid, width): the thing to cache."""
        if pixel_values_B3HW.shape[-2:] != (self.image_size_px, self.image_size_px):
            raise ValueError(
                f"this model reads {self.image_size_px} x {self.image_size_px} px, "
                f"got {tuple(pixel_values_B3HW.shape[-2:])}; use preprocess()"
            )
        return self.detector.vision_encoder.backbone(pixel_values_B3HW).last_hidden_state

    def detector_features(self, tokens_BNC: torch.Tensor) -> Sam3VisionEncoderOutput:
        levels, positions = self.detector.vision_encoder.neck(self._grid(tokens_BNC))
        return Sam3VisionEncoderOutput(
            last_hidden_state=tokens_BNC, fpn_hidden_states=levels, fpn_position_encoding=positions
        )

    def coarse_features(self, tokens_BNC: torch.Tensor) -> Sam3VisionEncoderOutput:
        """As much of detector_features() as finding needs without drawing: a thirtieth of its memory."""
        neck = self.detector.vision_encoder.neck
        level = neck.fpn_layers[-2](self._grid(tokens_BNC))
        position = neck.position_encoding(level.shape, level.device, level.dtype)
        return Sam3VisionEncoderOutput(
            last_hidden_state=tokens_BNC, fpn_hidden_states=(level, None), fpn_position_encoding=(position, None)
        )

    def fine_features(self, tokens_BNC: torch.Tensor) -> list[torch.Tensor]:
        """The levels that masks are drawn from, fine to coarse, without the one that coarse_features() has."""
        return [layer(self._grid(tokens_BNC)) for layer in self.detector.vision_encoder.neck.fpn_layers[:-2]]

    def tracker_features(self, tokens_BNC: torch.Tensor) -> list[torch.Tensor]:
        """Three levels, fine to coarse, ready for click(): the official order of convolutions and embedding."""
        fine, middle, coarse = self.tracker.vision_encoder.neck(self._grid(tokens_BNC))[0][:3]
        decoder = self.tracker.mask_decoder
        return [
            decoder.conv_s0(fine),
            decoder.conv_s1(middle),
            coarse + self.tracker.no_memory_embedding.view(1, -1, 1, 1),
        ]

    def text_features(self, input_ids_PT: torch.Tensor, attention_mask_PT: torch.Tensor) -> TextFeatures:
        """Phrases as token features; see PhraseTokenizer for the ids."""
        text = self.detector.get_text_features(
            input_ids=input_ids_PT, attention_mask=attention_mask_PT, return_dict=True
        )
        return TextFeatures(text.pooler_output, attention_mask_PT.bool())

    def detect(
        self,
        vision: Sam3VisionEncoderOutput,
        text: TextFeatures,
        *,
        image_rows_P: torch.Tensor | None = None,
        mask_rows: torch.Tensor | None = None,
        with_masks: bool = True,
        one_to_many: bool = False,
    ) -> Detections:
        """Find every instance of each phrase; prompt p is asked of image image_rows_P[p].

        Without image_rows_P there is one image for all prompts, or one for each. mask_rows limits the mask decoder
        (the costly part in training) to some prompts. Where prompt_has_cls, each prompt gets its image's CLS token.
        one_to_many adds the branch that training learns from.
        """
        prompts, model = text.mask_PT.shape[0], self.detector
        pick = rows_for_prompts(vision, prompts, image_rows_P)
        coarse = pick(vision.fpn_hidden_states[-2])
        if self.prompt_has_cls and not text.has_cls:
            tokens = cls_tokens(model.geometry_encoder, vision)
            text = text.with_cls(tokens.expand(prompts, -1, -1) if image_rows_P is None else tokens[image_rows_P])
        encoded = model.detr_encoder(
            vision_features=[coarse],
            text_features=text.features_PTC,
            vision_pos_embeds=[pick(vision.fpn_position_encoding[-2])],
            text_mask=text.mask_PT,
        )
        decoders = [model.detr_decoder]
        if one_to_many:
            decoders.append(without_self_attention(model.detr_decoder))
        branches = [
            decoder(
                vision_features=encoded.last_hidden_state,
                text_features=encoded.text_features,
                vision_pos_encoding=encoded.pos_embeds_flattened,
                text_mask=text.mask_PT,
                spatial_shapes=encoded.spatial_shapes,
            )
            for decoder in decoders
        ]
        queries = torch.cat([decoded.intermediate_hidden_states[-1] for decoded in branches], dim=1)
        draw = partial(self._draw, coarse, encoded.last_hidden_state, queries, text)
        answers = [Detections(self._read_layers(decoded, text), None) for decoded in branches]
        found = replace(answers[0], draw=draw, many=answers[1] if one_to_many else None)
        if not with_masks:
            return found
        rows = slice(None) if mask_rows is None else mask_rows
        fine = [pick(level)[rows] for level in vision.fpn_hidden_states[:-2]]
        masks = self._decode_masks(coarse, encoded.last_hidden_state, queries, text, fine, rows)
        return found.with_drawn(masks.pred_masks, masks.semantic_seg[:, 0])

    def _draw(self, *arguments: Any, semantic: bool = False, **named: Any) -> torch.Tensor:
        """Mask logits (R, Q, H, W): see _decode_masks(). semantic puts the semantic logits behind them as one more row;
        without it the semantic head gets no gradient, not one of zeros."""
        masks = self._decode_masks(*arguments, **named)
        return torch.cat([masks.pred_masks, masks.semantic_seg], dim=1) if semantic else masks.pred_masks

    def _decode_masks(
        self,
        coarse_PCHW: torch.Tensor,
        encoded_PNC: torch.Tensor,
        queries_PQC: torch.Tensor,
        text: TextFeatures,
        fine: Sequence[torch.Tensor],
        rows: torch.Tensor | slice,
        queries: torch.Tensor | slice = slice(None),
    ) -> Any:
        """Masks of some prompts, of all their queries or some. fine has one row for each of rows."""
        return self.detector.mask_decoder(
            decoder_queries=queries_PQC[rows][:, queries],
            backbone_features=[*fine, coarse_PCHW[rows]],
            encoder_hidden_states=encoded_PNC[rows],
            prompt_features=text.features_PTC[rows],
            prompt_mask=text.mask_PT[rows],
        )

    def click(
        self,
        image_embeddings: Sequence[torch.Tensor],
        points_px_BPN2: torch.Tensor | None,
        labels_BPN: torch.Tensor | None,
        *,
        boxes_px_BP4: torch.Tensor | None = None,
        mask_logits_B1HW: torch.Tensor | None = None,
        multimask: bool = True,
    ) -> ClickMasks:
        """Masks for P prompts an image. Points and boxes are in the model's own pixels (0 .. image_size_px).

        Labels: 1 foreground, 0 background, -10 padding. An earlier mask belongs to the image, not to a prompt:
        to refine several objects put them on the batch axis.
        """
        answer = self.tracker(
            image_embeddings=list(image_embeddings),
            input_points=points_px_BPN2,
            input_labels=labels_BPN,
            input_boxes=boxes_px_BP4,
            input_masks=mask_logits_B1HW,
            multimask_output=multimask,
        )
        return ClickMasks(answer.pred_masks, answer.iou_scores, answer.object_score_logits.squeeze(-1))

    def _grid(self, tokens_BNC: torch.Tensor) -> torch.Tensor:
        side = self.grid_size
        return tokens_BNC.view(tokens_BNC.shape[0], side, side, -1).permute(0, 3, 1, 2)

    def _read_layers(self, decoded, text: TextFeatures) -> list[LayerOutput]:
        """Boxes and scores of every decoder layer, computed as Sam3Model.forward does for its last one."""
        hidden_LPQC = decoded.intermediate_hidden_states
        offsets = self.detector.detr_decoder.box_head(hidden_LPQC)
        boxes_cxcywh = (inverse_sigmoid(decoded.reference_boxes) + offsets).sigmoid()
        logits = self.detector.dot_product_scoring(
            decoder_hidden_states=hidden_LPQC, text_features=text.features_PTC, text_mask=text.mask_PT
        ).squeeze(-1)
        centre, size = boxes_cxcywh[..., :2], boxes_cxcywh[..., 2:]
        boxes_xyxy = torch.cat([centre - 0.5 * size, centre + 0.5 * size], dim=-1)
        return [
            LayerOutput(presence.squeeze(-1), logit, box)
            for presence, logit, box in zip(decoded.presence_logits, logits, boxes_xyxy, strict=True)
        ]
