"""Which weights a retrain moves, and how: everything of the detector behind the shared ViT.

The ViT and all of the click decoder stay frozen: clicks keep working exactly as before, embeddings stay valid, and the
costly part of a step is computed once an image (docs/training.md).
"""

from __future__ import annotations

import math
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
UNTRAINED_PARTS = ("vision_encoder.backbone.", "geometry_encoder.")
EAGER_UP_TO_GRID = 32
PRESENCE_BIAS = "detr_decoder.presence_head.layer3.bias"


def trainable(network: Sam3Network, *, with_text: bool = True, with_neck: bool = True) -> dict[str, nn.Parameter]:
    """Freeze the rest; named parameters of the detector's neck, text tower, DETR, presence, box and mask heads."""
    network.requires_grad_(False)
    untrained = UNTRAINED_PARTS + (() if with_text else TEXT_PARTS) + (() if with_neck else NECK_PARTS)
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
        network.detector.vision_encoder.backbone.eval()
        for part in network.detector.children():
            if not any(parameter.requires_grad for parameter in part.parameters()):
                part.eval()


def use_quick_attention(network: Sam3Network, device: torch.device) -> None:
    """On a CPU and a small grid attention as two matrix products has a backward pass a third faster than sdpa's."""
    if device.type == "cpu" and network.grid_size <= EAGER_UP_TO_GRID:
        for module in network.modules():
            config: Any = getattr(module, "config", None)
            if config is not None:
                config._attn_implementation = "eager"


def build_optimiser(parameters: dict[str, nn.Parameter], config: Config) -> torch.optim.AdamW:
    """AdamW in groups of one rate: text tower, neck and rest, with weight decay and without (vectors, embeddings)."""
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in parameters.items():
        decays = parameter.ndim >= 2 and "embed" not in name and "reference_points" not in name
        groups.setdefault((_rate_share(name, config), decays), []).append(parameter)
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


def _rate_share(name: str, config: Config) -> float:
    if name.startswith(TEXT_PARTS):
        return config.text_rate
    return config.neck_rate if name.startswith(NECK_PARTS) else 1.0


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

    caution lowers every presence score by so many logits: the gate forgives no new false alarm, and a model that has
    just learned to find more stands close to the threshold on some negatives. A run that has not moved is left alone.
    earlier_caution is what the weights to start from were lowered by already: training begins without it, or rounds
    would add up. The network gets it back in begin() alone; building an average leaves the network as it is.
    """

    def __init__(
        self,
        parameters: dict[str, nn.Parameter],
        decay: float,
        start_share: float,
        caution: float = 0.0,
        earlier_caution: float = 0.0,
    ) -> None:
        self._parameters, self._decay, self._start_share, self._caution = parameters, decay, start_share, caution
        self._start: State = {name: parameter.detach().to("cpu", copy=True) for name, parameter in parameters.items()}
        self._lowered: State = {}
        if earlier_caution:
            self._lowered = {PRESENCE_BIAS: self._start[PRESENCE_BIAS]}
            self._start[PRESENCE_BIAS] = self._start[PRESENCE_BIAS] + earlier_caution
        self.weights: State = {
            name: self._start[name].to(parameter.device, copy=True) for name, parameter in parameters.items()
        }

    def begin(self) -> None:
        """Give the network the weights that training starts from: those it has, without an earlier run's caution."""
        _copy_into(self._parameters, self._start)

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Early on the average forgets faster, or it would judge the weights the run started from."""
        decay = min(self._decay, (1 + step) / (10 + step))
        for name, parameter in self._parameters.items():
            self.weights[name].lerp_(parameter.detach(), 1 - decay)

    def kept(self) -> State:
        """start_share of the weights that the run started from, the rest of the average."""
        has_moved = self._has_moved()
        return {name: self._kept(name, has_moved) for name in self.weights}

    def _has_moved(self) -> bool:
        return not all(torch.equal(self.weights[name].cpu(), start) for name, start in self._start.items())

    def _kept(self, name: str, has_moved: bool) -> torch.Tensor:
        weight = self.weights[name]
        if not has_moved and name in self._lowered:
            return self._lowered[name].to(weight.device)
        kept = weight.lerp(self._start[name].to(weight.device), self._start_share)
        return kept - self._caution if has_moved and self._caution and name == PRESENCE_BIAS else kept

    @contextmanager
    def in_network(self) -> Iterator[State]:
        """The network holds kept() inside the block, and afterwards what it held before, to the bit.

        What is yielded are the network's own tensors: good inside the block alone. What it held waits off the card.
        """
        held = {name: parameter.detach().to("cpu", copy=True) for name, parameter in self._parameters.items()}
        has_moved = self._has_moved()
        with torch.no_grad():
            for name, parameter in self._parameters.items():
                parameter.copy_(self._kept(name, has_moved))
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
