"""How sure the presence score may sound: one scale on its last layer, chosen on pictures without any labels."""

from __future__ import annotations

import numpy as np
import torch

from mlbackend.model.inputs import PhraseTokenizer
from mlbackend.model.network import Sam3Network
from training.demo.architecture import CONCEPTS
from training.demo.drawings import Drawings
from training.demo.examine import BAND

MIN_SCALE = 0.5


@torch.inference_mode()
def presence_logits(network: Sam3Network, tokenizer: PhraseTokenizer, drawings: Drawings) -> np.ndarray:
    """Every concept asked of every picture, (pictures, concepts)."""
    text = network.text_features(*tokenizer(CONCEPTS))
    logits = []
    for image_HWC in drawings.images:
        pixels = torch.from_numpy(np.array(image_HWC)).permute(2, 0, 1)[None].float() / 127.5 - 1
        vision = network.detector_features(network.encode(pixels))
        logits.append(network.detect(vision, text, with_masks=False).presence_logits_P.numpy())
    return np.stack(logits)


def scale_for_doubt(logits: np.ndarray, wanted_share: float) -> float:
    """The largest scale up to 1 that puts wanted_share of the pairs in the band of doubt; never under MIN_SCALE."""
    edge = float(np.log(BAND[1] / (1 - BAND[1])))
    at_share = float(np.quantile(np.abs(logits), wanted_share))
    return float(np.clip(edge / max(at_share, 1e-6), MIN_SCALE, 1.0))


def scale_presence(network: Sam3Network, scale: float) -> None:
    """Multiplies every presence logit; folded into the weights, so that nothing that serves them has to know."""
    last = network.detector.detr_decoder.presence_head.layer3
    last.weight.data.mul_(scale)
    last.bias.data.mul_(scale)
