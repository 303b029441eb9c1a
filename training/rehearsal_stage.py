"""The stage of a rehearsal: fake tensors in a network, what they cannot do put in, and a meter of their storages."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from mlbackend.model.network import Sam3Network
from training.precision import Precision
from training.recompute import recompute_layers

BLOCK_BYTES = 512  # what the card's allocator rounds up to


class Meter(TorchDispatchMode):
    """Bytes of all storages alive, and the most that there were at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self._sizes: dict[int, int] = {}

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        answer = function(*arguments, **(named or {}))
        for tensor in tree_leaves(answer):
            if isinstance(tensor, torch.Tensor):
                self._see(tensor.untyped_storage())
        return answer

    def _see(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key not in self._sizes:
            self._sizes[key] = -(-storage.nbytes() // BLOCK_BYTES) * BLOCK_BYTES
            self.now += self._sizes[key]
            self.most = max(self.most, self.now)
            weakref.finalize(storage, self._forget, key)

    def _forget(self, key: int) -> None:
        self.now -= self._sizes.pop(key, 0)


def refill(network: nn.Module, dtype: torch.dtype) -> None:
    """Fake tensors in place of whatever it holds."""
    for module in network.modules():
        for name, tensor in module._parameters.items():
            if tensor is not None:
                module._parameters[name] = nn.Parameter(torch.empty(tensor.shape, dtype=dtype))
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype)


class _Attention(torch.autograd.Function):
    """What a card's fused attention keeps: its inputs, its answer, and one number a row."""

    @staticmethod
    def forward(ctx: Any, query: Any, key: Any, value: Any, bias: Any) -> Any:
        answer, sums = torch.empty_like(query), query.new_empty(query.shape[:3], dtype=torch.float32)
        ctx.save_for_backward(query, key, value, bias, answer, sums)
        return answer

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        query, key, value, bias, _, _ = ctx.saved_tensors
        is_learned = bias is not None and bias.dtype.is_floating_point
        return (*(torch.empty_like(one) for one in (query, key, value)), torch.empty_like(bias) if is_learned else None)


def _attend(_module: nn.Module, query: Any, key: Any, value: Any, attention_mask: Any = None, **_named: Any) -> Any:
    if torch.is_autocast_enabled("cpu"):
        dtype = torch.get_autocast_dtype("cpu")
        query, key, value = query.to(dtype), key.to(dtype), value.to(dtype)
        if attention_mask is not None and attention_mask.dtype.is_floating_point:
            attention_mask = attention_mask.to(dtype)
    return _Attention.apply(query, key, value, attention_mask).transpose(1, 2).contiguous(), None


def play(network: Sam3Network) -> None:
    """Put in what fake tensors cannot do: read the grid's size, and share caches with the tensors of a real run."""
    ALL_ATTENTION_FUNCTIONS.register("rehearsed", _attend)
    for module in network.modules():
        config: Any = getattr(module, "config", None)
        if config is not None:
            config._attn_implementation = "rehearsed"
        positions: Any = module
        if hasattr(positions, "build_sine_position_embedding"):
            positions.build_sine_position_embedding = positions.build_sine_position_embedding.__wrapped__
    side = network.grid_size
    decoder: Any = network.detector.detr_decoder
    decoder._get_coords = lambda *_sizes, **_named: (torch.empty(side), torch.empty(side))


@contextmanager
def norms_in_fp32(network: nn.Module, precision: Precision) -> Iterator[None]:
    """As a card's autocast has them; a CPU's leaves them in half precision."""
    norms = [module for module in network.modules() if isinstance(module, nn.GroupNorm | nn.LayerNorm)]
    if precision.dtype is not None:
        for norm in norms:
            norm.forward = _in_fp32(norm.forward)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for norm in norms:
            norm.__dict__.pop("forward", None)


def _in_fp32(plain: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    return lambda values: plain(values.float())


@contextmanager
def forgetting(network: Sam3Network, is_wanted: bool) -> Iterator[None]:
    """recompute_layers(), and back: one network rehearses either way."""
    if not is_wanted:
        yield
        return
    recompute_layers(network)
    try:
        yield
    finally:
        for module in network.modules():
            for name in ("forward", "_get_rpb_matrix"):
                module.__dict__.pop(name, None)
