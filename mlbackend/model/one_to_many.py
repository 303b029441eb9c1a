"""The decoder's one-to-many branch: the same queries and weights, without the queries' attention to one another.

In training Meta's decoder carries a second copy of its queries (DAC, "divide and conquer"), of which several may answer
for one object; they skip self-attention, which is what makes queries leave an object to another. It has no weights of
its own and takes no part in an answer. Source: Hu et al. 2023, DAC-DETR; sam3/model/decoder.py.
"""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import torch
from torch import nn

Module = TypeVar("Module", bound=nn.Module)


class _Nothing(nn.Module):
    """Stands where self-attention was: a layer adds it to its queries."""

    def forward(self, query: torch.Tensor, **_: Any) -> tuple[torch.Tensor, None]:
        return torch.zeros_like(query), None


def without_self_attention(decoder: Module) -> Module:
    """A decoder of the same weights (the very same tensors) whose layers leave self-attention out.

    A layer whose forward was replaced (to be computed again in the backward pass, say) gets its class's own again: the
    replacement would call the layer that it was made for.
    """
    twin = _shallow(decoder)
    layers = [_shallow(layer) for layer in decoder.get_submodule("layers").children()]
    for layer in layers:
        layer._modules["self_attn"] = _Nothing()
        layer.__dict__.pop("forward", None)
    twin._modules["layers"] = nn.ModuleList(layers)
    twin.__dict__.pop("_get_rpb_matrix", None)
    return twin


def _shallow(module: Module) -> Module:
    twin = copy.copy(module)
    twin._modules = dict(module._modules)
    return twin
