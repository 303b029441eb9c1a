"""ROOST_TORCH_COMPILE: the compiled ViT answers as torch's own, before anybody asks; where it can't be, torch's own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from torch._dynamo.utils import counters
from torch._inductor import config as inductor

from mlbackend.model.compiled import compile_vit
from mlbackend.model.golden import check_golden
from mlbackend.model.loader import LoadOptions, load_predictor
from mlbackend.model.network import Sam3Network
from mlbackend.model.predictor import Predictor
from tests.backend.support import served_here, store_picture, write_version
from tests.backend.test_network import tiny_config

CLICK = {"model_version": "minute", "points": [{"x": 40, "y": 50, "label": 1}]}
needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, ("g++", "c++", "clang++"))), reason="torch's compiler needs a C++ compiler"
)


@pytest.fixture(scope="module")
def compiled_var(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`minute`: the smallest ViT that is one, since each layer takes the compiler a second."""
    var = tmp_path_factory.mktemp("compiled")
    torch.manual_seed(4)
    write_version(var / "models", "minute", Sam3Network.from_config(tiny_config()))
    return var


@needs_compiler
def test_compiled_vit_serves_with_eagers_answers_and_compiles_for_nobodys_click(compiled_var: Path) -> None:
    images = [store_picture(compiled_var, seed) for seed in range(7)]
    body = {"model_version": "minute", "images": images, "concepts": ["hen"], "score_threshold": 0}
    with served_here(compiled_var, ROOST_DEFAULT_MODEL="minute") as client:
        eager = client.post("/v1/predict", body)["results"]
    shutil.rmtree(compiled_var / "embeddings")
    with served_here(
        compiled_var, ROOST_DEFAULT_MODEL="minute", ROOST_TORCH_COMPILE="1", ROOST_ENCODE_BATCH="3"
    ) as client:
        assert client.get("/v1/versions")["versions"][-1]["vit"] == "compiled"
        at_load = dict(counters["stats"])
        click = client.post("/v1/click", CLICK | {"image": images[0]})
        compiled = client.post("/v1/predict", body)["results"]
    assert click["embedding"] == "miss"
    assert counters["stats"] == at_load
    for one, other in zip(eager, compiled, strict=True):
        assert other["concepts"][0]["presence"] == pytest.approx(one["concepts"][0]["presence"], abs=1e-4)


@pytest.fixture
def minute(compiled_var: Path) -> Predictor:
    return load_predictor(compiled_var / "models" / "minute", LoadOptions(device="cpu"))


def test_without_a_compiler_the_log_says_so_and_torchs_own_vit_serves(
    minute: Predictor, compiled_var: Path, caplog: pytest.LogCaptureFixture
) -> None:
    torch.compiler.reset()  # forgets the graphs of the test before, which would serve
    with inductor.patch({"cpp.cxx": (None, "/no/such/compiler"), "force_disable_caches": True}):
        assert not compile_vit(minute, batch=1)
    assert not minute.compiled
    assert "the ViT is not compiled, torch runs it as it is" in caplog.text
    assert "/no/such/compiler" in caplog.text
    check_golden(minute, compiled_var / "models" / "minute")


def test_compiled_vit_that_answers_otherwise_does_not_serve(minute: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Sam3Network.from_config(tiny_config()).detector.vision_encoder.backbone
    monkeypatch.setattr(torch, "compile", lambda module: other)
    assert not compile_vit(minute, batch=1)
    assert not minute.compiled


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_vit_is_compiled_on_a_gpu(backend_var: Path) -> None:
    gpu = load_predictor(backend_var / "models" / "tiny", LoadOptions(device="cuda"))
    assert compile_vit(gpu, batch=8)
    assert gpu.compiled
