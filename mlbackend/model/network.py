"""SAM 3 as one network: transformers' detector and click decoder over a single shared ViT.

Tensor legend: B images, P prompts, Q queries, C channels, T text tokens, N points, K masks, H W rows and columns.
Nothing here knows which size it runs: the demo checkpoint and facebook/sam3 differ by their config.json only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import nn
from transformers.models.sam3.configuration_sam3 import Sam3Config
from transformers.models.sam3.modeling_sam3 import Sam3Model, Sam3VisionEncoderOutput, inverse_sigmoid
from transformers.models.sam3_tracker.configuration_sam3_tracker import Sam3TrackerConfig
from transformers.models.sam3_tracker.modeling_sam3_tracker import Sam3TrackerModel

from mlbackend.model.rows import rows_for_prompts
from toolbox.files import write_json, written_whole

TRACKER_SCALES = [4.0, 2.0, 1.0]
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
class TextFeatures:
    """features_PTC as projected for the detector; mask_PT is True on real tokens."""

    features_PTC: torch.Tensor
    mask_PT: torch.Tensor

    def rows(self, index: torch.Tensor) -> TextFeatures:
        return TextFeatures(self.features_PTC[index], self.mask_PT[index])


@dataclass(frozen=True)
class LayerOutput:
    """One decoder layer's answer. Boxes are xyxy in 0..1 of the image; logits are before the sigmoid."""

    presence_logits_P: torch.Tensor
    query_logits_PQ: torch.Tensor
    boxes_xyxy_PQ4: torch.Tensor


@dataclass(frozen=True)
class Detections:
    """The last layer's answer, its masks, and every layer (last included) for auxiliary losses.

    mask_logits holds one row for each of mask_rows (all prompts unless the caller chose some). Others can be had
    afterwards: draw(fine, rows, queries) for some prompts and queries, fine being each row's fine_features().
    """

    layers: list[LayerOutput]
    mask_logits_PQHW: torch.Tensor | None
    draw: Callable[..., torch.Tensor] | None = None

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


class Sam3Network(nn.Module):
    """Detector and click decoder that share one ViT module, so that one pass serves both."""

    def __init__(self, detector: Sam3Model, tracker: Sam3TrackerModel) -> None:
        super().__init__()
        tracker.vision_encoder.backbone = detector.vision_encoder.backbone
        self.detector = detector
        self.tracker = tracker

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
        config, tracker_config = _read_configs(folder)
        detector = _load_part(Sam3Model, folder, config)
        tracker = _load_part(Sam3TrackerModel, folder, tracker_config)
        return cls(detector, tracker).eval()

    def save(self, folder: str | Path) -> None:
        """Write config.json and model.safetensors in hub layout; a reader sees the old file or the new one."""
        folder = Path(folder)
        config = {
            "architectures": ["Sam3VideoModel"],
            "model_type": "sam3_video",
            "detector_config": self.detector.config.to_dict(),
            "tracker_config": self.tracker.config.to_dict(),
        }
        tensors = {key: value.detach().cpu().contiguous() for key, value in self.hub_state().items()}
        with written_whole(folder / "model.safetensors") as beside:
            save_file(tensors, beside, metadata={"format": "pt"})
        write_json(folder / "config.json", config, indent=1)

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
        return _hash_tensors(self.detector.vision_encoder.backbone.state_dict().items())

    def weights_hash(self) -> str:
        return _hash_tensors(self.hub_state().items())

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
    ) -> Detections:
        """Find every instance of each phrase; prompt p is asked of image image_rows_P[p].

        Without image_rows_P there is one image for all prompts, or one for each. mask_rows limits the mask decoder
        (the costly part in training) to some prompts.
        """
        pick = rows_for_prompts(vision, text.mask_PT.shape[0], image_rows_P)
        coarse = pick(vision.fpn_hidden_states[-2])
        model = self.detector
        encoded = model.detr_encoder(
            vision_features=[coarse],
            text_features=text.features_PTC,
            vision_pos_embeds=[pick(vision.fpn_position_encoding[-2])],
            text_mask=text.mask_PT,
        )
        decoded = model.detr_decoder(
            vision_features=encoded.last_hidden_state,
            text_features=encoded.text_features,
            vision_pos_encoding=encoded.pos_embeds_flattened,
            text_mask=text.mask_PT,
            spatial_shapes=encoded.spatial_shapes,
        )
        layers = self._read_layers(decoded, text)
        draw = partial(self._draw, coarse, encoded.last_hidden_state, decoded.intermediate_hidden_states[-1], text)
        if not with_masks:
            return Detections(layers, None, draw)
        rows = slice(None) if mask_rows is None else mask_rows
        fine = [pick(level)[rows] for level in vision.fpn_hidden_states[:-2]]
        return Detections(layers, draw(fine, rows), draw)

    def _draw(
        self,
        coarse_PCHW: torch.Tensor,
        encoded_PNC: torch.Tensor,
        queries_PQC: torch.Tensor,
        text: TextFeatures,
        fine: Sequence[torch.Tensor],
        rows: torch.Tensor | slice,
        queries: torch.Tensor | slice = slice(None),
    ) -> torch.Tensor:
        """Mask logits (R, Q, H, W) of some prompts, of all their queries or some. fine has one row for each of rows."""
        masks = self.detector.mask_decoder(
            decoder_queries=queries_PQC[rows][:, queries],
            backbone_features=[*fine, coarse_PCHW[rows]],
            encoder_hidden_states=encoded_PNC[rows],
            prompt_features=text.features_PTC[rows],
            prompt_mask=text.mask_PT[rows],
        )
        return masks.pred_masks

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


def _read_configs(folder: Path) -> tuple[Sam3Config, Sam3TrackerConfig]:
    try:
        declared = json.loads((folder / "config.json").read_text())
    except FileNotFoundError:
        raise WeightsError(f"{folder} has no config.json: it is not a SAM 3 model folder") from None
    except json.JSONDecodeError as error:
        raise WeightsError(f"{folder}/config.json is not valid JSON ({error}): copy it again") from None
    if "detector_config" not in declared:
        raise WeightsError(f"{folder}/config.json has no detector_config; expected the layout of facebook/sam3")
    config = Sam3Config(**declared["detector_config"])
    return config, tracker_config_for(config, declared.get("tracker_config"))


def _load_part(model_class, folder: Path, config):
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


def _hash_tensors(items: Iterable[tuple[str, torch.Tensor]]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(items, key=lambda item: item[0]):
        flat = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(flat.numpy().data)
    return digest.hexdigest()
