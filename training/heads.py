"""Which weights a retrain moves, and how: everything of the detector behind the shared ViT, and the ViT if asked to.

While the ViT stays frozen, embeddings stay valid, and the costly part of a step is computed once an image. The click
decoder stays as it is, and clicks work exactly as before, unless a run tunes it (clicks.py, docs/training.md).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from mlbackend.model.network import Sam3Network
from training.checkpoints import State
from training.config import Config

TEXT_PARTS = ("text_encoder.", "text_projection.")
NECK_PARTS = ("vision_encoder.neck.",)
VIT_PARTS = ("vision_encoder.backbone.",)
UNTRAINED_PARTS = ("geometry_encoder.",)
VIT_BLOCK = re.compile(r"vision_encoder\.backbone\.layers\.(\d+)\.")
VIT_POSITIONS = "vision_encoder.backbone.embeddings.position_embeddings"
EAGER_UP_TO_GRID = 32


def trainable(
    network: Sam3Network, *, with_text: bool = True, with_neck: bool = True, with_vit: bool = False
) -> dict[str, nn.Parameter]:
    """Freeze the rest; named parameters of the detector's neck, text tower, DETR, presence, box and mask heads."""
    network.requires_grad_(False)
    asked = ((TEXT_PARTS, with_text), (NECK_PARTS, with_neck), (VIT_PARTS, with_vit))
    untrained = sum((parts for parts, is_wanted in asked if not is_wanted), UNTRAINED_PARTS)
    chosen = {
        name: parameter for name, parameter in network.detector.named_parameters() if not name.startswith(untrained)
    }
    for parameter in chosen.values():
        parameter.requires_grad_(True)
    return chosen


def use_training_mode(network: Sam3Network, is_training: bool) -> None:
    """Dropout and the like in the trained parts alone; the frozen ones always answer as they do when serving."""
    network.eval()
    if is_training:
        network.detector.train()
        network.detector.vision_encoder.backbone.train(vit_learns(network))
        for part in network.detector.children():
            if not any(parameter.requires_grad for parameter in part.parameters()):
                part.eval()


def vit_learns(network: Sam3Network) -> bool:
    return any(parameter.requires_grad for parameter in network.detector.vision_encoder.backbone.parameters())


def use_quick_attention(network: Sam3Network, device: torch.device) -> None:
    """On a CPU and a small grid attention as two matrix products has a backward pass a third faster than sdpa's."""
    if device.type == "cpu" and network.grid_size <= EAGER_UP_TO_GRID:
        for module in network.modules():
            config: Any = getattr(module, "config", None)
            if config is not None:
                config._attn_implementation = "eager"


def build_optimiser(parameters: dict[str, nn.Parameter], config: Config) -> torch.optim.AdamW:
    """AdamW in groups of one rate: each ViT block, text tower, neck and rest; with weight decay and without (vectors,
    embeddings)."""
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    blocks = 1 + max((int(found[1]) for name in parameters if (found := VIT_BLOCK.match(name))), default=-1)
    for name, parameter in parameters.items():
        decays = parameter.ndim >= 2 and "embed" not in name and "reference_points" not in name
        groups.setdefault((_rate_share(name, config, blocks), decays), []).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": members, "rate_share": share, "weight_decay": config.weight_decay if decays else 0.0}
            for (share, decays), members in sorted(groups.items(), key=lambda group: group[0])
        ],
        lr=config.learning_rate,
        betas=(0.9, 0.98),
        # On a card one kernel does it in place; torch's own choice there makes two copies of what it moves.
        fused=True if next(iter(parameters.values())).device.type == "cuda" else None,
    )


def _rate_share(name: str, config: Config, blocks: int) -> float:
    if name.startswith(VIT_PARTS):
        return config.vit_rate * _depth_share(name, config.layer_decay, blocks)
    if name.startswith(TEXT_PARTS):
        return config.text_rate
    return config.neck_rate if name.startswith(NECK_PARTS) else 1.0


def _depth_share(name: str, decay: float, blocks: int) -> float:
    """The public recipe's: decay for the top block, its square for the next one, and so on down to the patches; the
    position embeddings learn with the whole rate."""
    if name == VIT_POSITIONS:
        return 1.0
    found = VIT_BLOCK.match(name)
    return float(decay ** (blocks - int(found[1]) if found else blocks + 1))


def set_rate(optimiser: torch.optim.Optimizer, config: Config, progress: float) -> float:
    """Linear warm-up, then a cosine down to final_rate; progress runs from 0 to 1 over the run."""
    if progress < config.warmup:
        share = max(progress, 1e-3) / config.warmup
    else:
        along = min(1.0, (progress - config.warmup) / max(1e-9, 1 - config.warmup))
        share = config.final_rate + (1 - config.final_rate) * 0.5 * (1 + math.cos(math.pi * along))
    for group in optimiser.param_groups:
        group["lr"] = config.learning_rate * share * group["rate_share"]
    return share


class Average:
    """What is judged, kept and served: the trained weights' moving average, on the line back to where they started.

    A model fine-tuned on a few hundred pairs forgets some of what it could do; between its weights and those it started
    from lie models that do both. Source: Wortsman et al. 2022, Robust fine-tuning of zero-shot models.
    """

    def __init__(self, parameters: dict[str, nn.Parameter], decay: float) -> None:
        self._parameters, self._decay = parameters, decay
        self._start: State = {name: parameter.detach().to("cpu", copy=True) for name, parameter in parameters.items()}
        self.weights: State = {
            name: self._start[name].to(parameter.device, copy=True) for name, parameter in parameters.items()
        }

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Early on the average forgets faster, or it would judge the weights the run started from."""
        decay = min(self._decay, (1 + step) / (10 + step))
        for name, parameter in self._parameters.items():
            self.weights[name].lerp_(parameter.detach(), 1 - decay)

    def kept(self, start_share: float) -> State:
        """start_share of the weights that the run started from, the rest of the average."""
        return {name: self._kept(name, start_share) for name in self.weights}

    def _kept(self, name: str, start_share: float) -> torch.Tensor:
        weight = self.weights[name]
        return weight.lerp(self._start[name].to(weight.device), start_share)

    @contextmanager
    def in_network(self, start_share: float) -> Iterator[State]:
        """The network holds kept() inside the block, and afterwards what it held before, to the bit.

        What is yielded are the network's own tensors: good inside the block alone. What it held waits off the card.
        """
        held = {name: parameter.detach().to("cpu", copy=True) for name, parameter in self._parameters.items()}
        with torch.no_grad():
            for name, parameter in self._parameters.items():
                parameter.copy_(self._kept(name, start_share))
        try:
            yield {name: parameter.detach() for name, parameter in self._parameters.items()}
        finally:
            _copy_into(self._parameters, held)


@torch.no_grad()
def _copy_into(parameters: dict[str, nn.Parameter], weights: State) -> None:
    for name, parameter in parameters.items():
        parameter.copy_(weights[name])


def optimiser_state(optimiser: torch.optim.Optimizer, parameters: dict[str, nn.Parameter]) -> State:
    """AdamW's moments as named tensors, instead of the pickle that torch.save would make of them."""
    state: State = {}
    for name, parameter in parameters.items():
        for key, value in optimiser.state.get(parameter, {}).items():
            state[f"{key}|{name}"] = value
    return state


def restore_optimiser(optimiser: torch.optim.Optimizer, parameters: dict[str, nn.Parameter], state: State) -> None:
    for key, value in state.items():
        kind, name = key.split("|", 1)
        parameter = parameters[name]
        optimiser.state[parameter][kind] = value if kind == "step" else value.to(parameter.device)
