"""Muon for the hidden matrices, AdamW for the rest, one trapezoid schedule for both."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from training.checkpoints import State
from training.heads import optimiser_state, restore_optimiser


class Optimiser:
    """Learning rate: rises over the first 3 % of the steps, holds, falls linearly to zero from hold_share on."""

    def __init__(
        self,
        parameters: Iterable[tuple[str, nn.Parameter]],
        *,
        rate: float,
        steps: int,
        hold_share: float = 0.5,
        weight_decay: float = 0.02,
    ) -> None:
        matrices: dict[str, nn.Parameter] = {}
        others: dict[str, nn.Parameter] = {}
        for name, parameter in parameters:
            hidden = parameter.ndim == 2 and min(parameter.shape) > 8 and "embed" not in name
            (matrices if hidden else others)[name] = parameter
        adamw = torch.optim.AdamW(others.values(), lr=rate, weight_decay=weight_decay, betas=(0.9, 0.98))
        self.parts: list[tuple[torch.optim.Optimizer, dict[str, nn.Parameter]]] = [(adamw, others)]
        if matrices:
            muon = torch.optim.Muon(
                matrices.values(), lr=rate, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"
            )
            self.parts.append((muon, matrices))
        self.rate, self.steps, self.hold_share = rate, steps, hold_share
        self.parameters = [*matrices.values(), *others.values()]

    def step(self, step: int) -> None:
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        for part, _ in self.parts:
            for group in part.param_groups:
                group["lr"] = self.rate * self._share(step / self.steps)
            part.step()
            part.zero_grad(set_to_none=True)

    def _share(self, progress: float) -> float:
        if progress < 0.03:
            return max(progress, 1 / self.steps) / 0.03
        return min(1.0, max(0.0, (1 - progress) / (1 - self.hold_share)))

    def state(self) -> State:
        return {key: value for part, named in self.parts for key, value in optimiser_state(part, named).items()}

    def restore(self, state: State) -> None:
        for part, named in self.parts:
            own = {key: value for key, value in state.items() if key.split("|", 1)[1] in named}
            restore_optimiser(part, named, own)
