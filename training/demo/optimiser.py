"""Muon for the hidden matrices, AdamW for the rest, one trapezoid schedule for both."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn


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
        matrices: list[nn.Parameter] = []
        others: list[nn.Parameter] = []
        for name, parameter in parameters:
            hidden = parameter.ndim == 2 and min(parameter.shape) > 8 and "embed" not in name
            (matrices if hidden else others).append(parameter)
        self.parts: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(others, lr=rate, weight_decay=weight_decay, betas=(0.9, 0.98))
        ]
        if matrices:
            self.parts.append(
                torch.optim.Muon(matrices, lr=rate, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")
            )
        self.rate, self.steps, self.hold_share = rate, steps, hold_share
        self.parameters = matrices + others

    def step(self, step: int) -> None:
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = self.rate * self._share(step / self.steps)
            part.step()
            part.zero_grad(set_to_none=True)

    def _share(self, progress: float) -> float:
        if progress < 0.03:
            return max(progress, 1 / self.steps) / 0.03
        return min(1.0, max(0.0, (1 - progress) / (1 - self.hold_share)))

    def state_dict(self) -> list[dict]:
        return [part.state_dict() for part in self.parts]

    def load_state_dict(self, states: list[dict]) -> None:
        for part, state in zip(self.parts, states, strict=True):
            part.load_state_dict(state)
