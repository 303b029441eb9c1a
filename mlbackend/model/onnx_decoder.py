"""The click decoder on ONNX Runtime: about twice as fast as torch on a CPU. Optional, off unless ROOST_ONNX_CLICK=1.

A version's graphs are exported when it is loaded, which a promotion does before it switches, and kept under the hash of
its weights, so that the next start takes them from there. A graph serves only after it gave torch's answers on prompts
of other shapes than it was traced with; prompts that have no graph are decoded by torch.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mlbackend.model.network import Sam3Network
from mlbackend.model.predictor import Predictor
from toolbox.files import written_whole

log = logging.getLogger(__name__)
NEEDED = ("onnx", "onnxruntime")
OPSET = 17
TOLERANCE = 1e-3
INPUTS = ("fine", "middle", "coarse", "points", "labels", "earlier")


@dataclass(frozen=True)
class GraphKind:
    """three: the best-of-three head; refines: an earlier mask takes part."""

    three: bool
    refines: bool

    @property
    def name(self) -> str:
        return f"{'three' if self.three else 'one'}{'-refined' if self.refines else ''}"


KINDS = (GraphKind(True, False), GraphKind(False, False), GraphKind(False, True))


class _Decoder(nn.Module):
    """Tensors in, tensors out: what the exporter can trace."""

    def __init__(self, network: Sam3Network, kind: GraphKind) -> None:
        super().__init__()
        self.network, self.kind = network, kind

    def forward(self, fine, middle, coarse, points, labels, earlier=None):
        answer = self.network.click(
            [fine, middle, coarse], points, labels, mask_logits_B1HW=earlier, multimask=self.kind.three
        )
        return answer.mask_logits_BPKHW[:, 0], answer.iou_BPK[:, 0]


def missing_packages() -> list[str]:
    return [name for name in NEEDED if importlib.util.find_spec(name) is None]


def attach_onnx_decoder(predictor: Predictor, folder: Path, *, threads: int = 1) -> list[str]:
    """Let ONNX Runtime decode this version's clicks; the names of the graphs in use, none where it can't be."""
    missing = missing_packages()
    if missing or predictor.device.type != "cpu":
        log.warning(
            "clicks are decoded by torch: %s",
            f"{', '.join(missing)} not installed" if missing else "ROOST_ONNX_CLICK is for the CPU",
        )
        return []
    sessions = {}
    for kind in KINDS:
        try:
            sessions[kind] = _checked_session(
                predictor, kind, folder / predictor.weights_hash / f"{kind.name}.onnx", threads
            )
        except Exception as error:
            log.error("graph '%s' is not used, torch decodes instead: %s", kind.name, error)
    predictor.decoder = OnnxDecoder(predictor, sessions)
    return [kind.name for kind in sessions]


class OnnxDecoder:
    """Same call as Predictor's own decoder. Thread-safe, as sessions are."""

    def __init__(self, predictor: Predictor, sessions: dict[GraphKind, Any]) -> None:
        self._predictor, self._sessions = predictor, sessions

    def __call__(self, levels: Sequence[torch.Tensor], points, labels, boxes, masks, *, multimask: bool):
        session = self._sessions.get(GraphKind(multimask, masks is not None))
        if session is None or boxes is not None or points is None:
            return self._predictor.decode(levels, points, labels, boxes, masks, multimask=multimask)
        return _run(session, [*levels, points, labels, masks])


def _checked_session(predictor: Predictor, kind: GraphKind, path: Path, threads: int) -> Any:
    """The graph that is kept from an earlier load if it still answers as torch does, else a fresh one that must."""
    if path.is_file():
        try:
            return _parity_session(predictor, kind, path, threads)
        except Exception as error:
            log.warning("the kept graph '%s' is exported again: %s", kind.name, error)
    _export(predictor, kind, path)
    return _parity_session(predictor, kind, path, threads)


def _parity_session(predictor: Predictor, kind: GraphKind, path: Path, threads: int) -> Any:
    session = _session(path, threads)
    _check_parity(predictor, kind, session)
    return session


def _export(predictor: Predictor, kind: GraphKind, path: Path) -> None:
    inputs = [tensor for tensor in _example(predictor, kind, batch=2, points=2) if tensor is not None]
    names = list(INPUTS[: len(inputs)])
    axes = {name: {0: "batch"} | ({2: "count"} if name in ("points", "labels") else {}) for name in names}
    if kind.three:
        axes |= {"points": {0: "batch"}, "labels": {0: "batch"}}
        inputs[3], inputs[4] = inputs[3][:, :, :1], inputs[4][:, :, :1]
    with written_whole(path) as beside, torch.inference_mode():
        torch.onnx.export(
            _Decoder(predictor.network, kind).eval(),
            tuple(inputs),
            str(beside),
            input_names=names,
            output_names=["masks", "iou"],
            dynamo=False,
            opset_version=OPSET,
            dynamic_axes=axes | {"masks": {0: "batch"}, "iou": {0: "batch"}},
        )


def _session(path: Path, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _check_parity(predictor: Predictor, kind: GraphKind, session: Any) -> None:
    """ValueError unless the graph answers as torch does, on shapes that it was not traced with."""
    for batch, count in ((1, 1), (3, 1)) if kind.three else ((1, 1), (3, 5)):
        inputs = _example(predictor, kind, batch=batch, points=count)
        with torch.inference_mode():
            expected = predictor.decode(inputs[:3], inputs[3], inputs[4], None, inputs[5], multimask=kind.three)
        for got, want in zip(_run(session, inputs), expected, strict=True):
            worst = float((got - want).abs().max())
            if got.shape != want.shape or not worst <= TOLERANCE * max(1.0, float(want.abs().max())):
                raise ValueError(f"it differs from torch by {worst:.2g} at batch {batch} with {count} points")


def _run(session: Any, inputs: Sequence[torch.Tensor | None]) -> tuple[torch.Tensor, torch.Tensor]:
    wanted = {item.name for item in session.get_inputs()}
    feeds = {
        name: tensor.contiguous().numpy()
        for name, tensor in zip(INPUTS, inputs, strict=True)
        if tensor is not None and name in wanted
    }
    masks, iou = session.run(["masks", "iou"], feeds)
    return torch.from_numpy(masks), torch.from_numpy(iou)


def _example(predictor: Predictor, kind: GraphKind, *, batch: int, points: int) -> list[torch.Tensor | None]:
    """Random inputs of the right sizes, always the same ones."""
    generator = torch.Generator().manual_seed(batch * 100 + points)
    network = predictor.network
    side, grid = network.image_size_px, network.grid_size
    decoder = network.tracker.mask_decoder
    widths = (decoder.conv_s0.out_channels, decoder.conv_s1.out_channels, decoder.conv_s0.in_channels)
    levels: list[torch.Tensor | None] = [
        torch.randn(batch, width, grid * scale, grid * scale, generator=generator)
        for width, scale in zip(widths, (4, 2, 1), strict=True)
    ]
    positions = torch.rand(batch, 1, points, 2, generator=generator) * side
    labels = (torch.rand(batch, 1, points, generator=generator) < 0.6).long()
    earlier = torch.randn(batch, 1, 4 * grid, 4 * grid, generator=generator) * 5 if kind.refines else None
    return [*levels, positions, labels, earlier]
