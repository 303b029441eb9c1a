"""The optional ONNX Runtime click decoder: parity where it is installed, a stated fall-back where it is not."""

from __future__ import annotations

import importlib.util
import logging
import shutil
import sys
from pathlib import Path

import pytest
import torch

from mlbackend.model.loader import LoadOptions, load_predictor
from mlbackend.model.network import Sam3Network
from mlbackend.model.onnx_decoder import OnnxDecoder, attach_onnx_decoder
from mlbackend.model.predictor import Predictor, Prompt
from mlbackend.model.prompts import Point
from tests.backend.support import noisy_picture, served_here
from training.clicks import tuned

installed = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("onnx", "onnxruntime")),
    reason="onnx and onnxruntime are not installed (an optional extra)",
)
POSITIVE, NEGATIVE = Point(40, 50, 1), Point(120, 20, 0)


@pytest.fixture
def fresh(backend_var: Path) -> Predictor:
    return load_predictor(backend_var / "models" / "tiny", LoadOptions(device="cpu"))


def test_without_the_extra_torch_decodes_and_the_log_says_so(
    fresh: Predictor, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # Python then finds none, also where it is installed
    with caplog.at_level(logging.WARNING):
        assert attach_onnx_decoder(fresh, tmp_path) == []
    assert "onnxruntime not installed" in caplog.text
    assert fresh.decoder is None


@installed
def test_onnx_answers_as_torch_does(fresh: Predictor, tiny: Predictor, tmp_path: Path) -> None:
    assert attach_onnx_decoder(fresh, tmp_path) == ["three", "one", "one-refined"]
    tokens = tiny.encode(tiny.preprocess(noisy_picture(1))[None], [(160, 120)])[0]
    embedding = tiny.click_features(tokens)
    earlier = tiny.click([Prompt(embedding, (POSITIVE,))])[0][0].mask_logits_hw
    for prompt in (
        Prompt(embedding, (POSITIVE,)),
        Prompt(embedding, (POSITIVE, NEGATIVE)),
        Prompt(embedding, (POSITIVE, NEGATIVE, POSITIVE), earlier_logits_hw=earlier),
        Prompt(embedding, (NEGATIVE,), box_xyxy=(10, 10, 90, 80)),
    ):
        ours, theirs = fresh.click([prompt] * 2)[1][0], tiny.click([prompt])[0][0]
        assert torch.allclose(ours.mask_logits_hw, theirs.mask_logits_hw, atol=2e-3)
        assert ours.score == pytest.approx(theirs.score, abs=1e-4)


@installed
def test_version_with_a_tuned_decoder_takes_its_base_s_features_and_graphs_of_its_own(
    fresh: Predictor, backend_var: Path, tmp_path: Path
) -> None:
    """As a retrain with click_rate leaves one: the base's graphs lie there already."""
    shutil.copytree(backend_var / "models" / "tiny", tmp_path / "tuned", ignore=shutil.ignore_patterns("manifest.json"))
    network = Sam3Network.load(backend_var / "models" / "tiny")
    with torch.no_grad():
        for parameter in tuned(network).values():
            parameter.mul_(1.5)
    network.save(tmp_path / "tuned")
    other = load_predictor(tmp_path / "tuned", LoadOptions(device="cpu"))
    assert (other.backbone_hash, other.click_hash) == (fresh.backbone_hash, fresh.click_hash)
    assert len(attach_onnx_decoder(fresh, tmp_path)) == len(attach_onnx_decoder(other, tmp_path)) == 3
    tokens = fresh.encode(fresh.preprocess(noisy_picture(1))[None], [(160, 120)])[0]
    prompt = Prompt(fresh.click_features(tokens), (POSITIVE, NEGATIVE))
    before, after = fresh.click([prompt])[0][0].mask_logits_hw, other.click([prompt])[0][0].mask_logits_hw
    other.decoder = None
    assert torch.allclose(after, other.click([prompt])[0][0].mask_logits_hw, atol=2e-3)
    assert not torch.allclose(before, after, atol=2e-3)


@installed
def test_kept_graph_that_differs_from_torch_is_exported_again(
    fresh: Predictor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    attach_onnx_decoder(fresh, tmp_path)
    with torch.no_grad():
        fresh.network.tracker.mask_decoder.iou_token.weight.add_(3.0)
    assert attach_onnx_decoder(fresh, tmp_path) == ["three", "one", "one-refined"]
    assert "it differs from torch by" in caplog.text
    assert isinstance(fresh.decoder, OnnxDecoder)


@installed
def test_graph_that_differs_from_torch_does_not_serve(
    fresh: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlbackend.model.onnx_decoder.TOLERANCE", 0.0)  # which no graph meets
    assert attach_onnx_decoder(fresh, tmp_path) == []
    tokens = fresh.encode(fresh.preprocess(noisy_picture(1))[None], [(160, 120)])[0]
    assert fresh.click([Prompt(fresh.click_features(tokens), (POSITIVE,))])[0]


@installed
def test_loading_a_version_exports_its_graphs_and_a_restart_does_not(tmp_path: Path, backend_var: Path) -> None:
    """A promotion asks for this load before it switches (annotator/registry/promotion.py)."""
    for version in ("tiny", "other"):
        shutil.copytree(backend_var / "models" / version, tmp_path / "models" / version)
    stamps = []
    for _ in range(2):
        with served_here(tmp_path, ROOST_DEFAULT_MODEL="tiny", ROOST_ONNX_CLICK="1") as client:
            row = client.post("/v1/versions/other/load", {})
            assert row["click_decoder"] == "onnxruntime"
            graphs = tmp_path / "onnx" / row["weights_hash"]
            stamps.append({path.name: path.stat().st_mtime_ns for path in graphs.iterdir()})
    assert stamps[0].keys() == {"three.onnx", "one.onnx", "one-refined.onnx"}
    assert stamps[0] == stamps[1]
