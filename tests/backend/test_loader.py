"""From a folder to a predictor: strict, with the reason when it can't be."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mlbackend.__main__ import main
from mlbackend.model.golden import check_golden, write_golden
from mlbackend.model.loader import LoadOptions, load_predictor, parameter_bytes, resolve_source
from mlbackend.model.network import WeightsError
from mlbackend.model.predictor import Predictor
from tests.backend.support import write_version

CPU = LoadOptions(device="cpu")


@pytest.fixture
def folder(backend_var: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(backend_var / "models" / "tiny", tmp_path / "copy"))


def edit_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def test_missing_key_is_named(folder: Path) -> None:
    edit_weights(folder, lambda tensors: tensors.pop("tracker_model.no_memory_embedding"))
    with pytest.raises(WeightsError, match=r"missing: .*no_memory_embedding"):
        load_predictor(folder, CPU)


def test_unexpected_key_is_named(folder: Path) -> None:
    edit_weights(folder, lambda tensors: tensors.update({"detector_model.surplus": torch.zeros(1)}))
    with pytest.raises(WeightsError, match=r"unexpected: .*surplus"):
        load_predictor(folder, CPU)


def test_other_image_size_is_refused_with_the_reason(backend_var: Path) -> None:
    with pytest.raises(WeightsError, match="runs at 224 px alone: its rotary positions"):
        load_predictor(backend_var / "models" / "tiny", LoadOptions(device="cpu", image_size_px=1024))


def test_weights_that_are_not_the_manifests_are_refused(folder: Path) -> None:
    (folder / "manifest.json").write_text(json.dumps({"weights_hash": "0" * 64}))
    with pytest.raises(WeightsError, match="weights_hash differs"):
        load_predictor(folder, CPU)


def test_shipped_model_tells_its_words_in_its_card(folder: Path) -> None:
    (folder / "manifest.json").unlink()
    (folder / "card.json").write_text(json.dumps({"taught_words": ["chicken"], "weights_hash": "of another day"}))
    predictor = load_predictor(folder, CPU)
    assert (predictor.taught("Chicken"), predictor.taught("moon")) == (True, False)


def test_folder_without_config_says_so(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"no config\.json"):
        load_predictor(tmp_path, CPU)


def test_missing_tokenizer_says_so(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    with pytest.raises(WeightsError, match=r"no tokenizer\.json"):
        load_predictor(folder, CPU)


def test_pickled_checkpoint_is_never_opened(folder: Path, tmp_path: Path) -> None:
    canary = tmp_path / "canary"

    class Trap:
        def __reduce__(self):
            return (Path.touch, (canary,))

    torch.save({"x": Trap()}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(WeightsError):
        load_predictor(folder, CPU)
    assert not canary.exists()


@pytest.mark.parametrize("source", ["/no/such/folder", "no such thing", "a/b/c"])
def test_source_that_is_neither_folder_nor_hub_id_is_refused(source: str) -> None:
    with pytest.raises(WeightsError, match="neither a folder here nor a hub id"):
        resolve_source(source)


def test_cuda_without_a_gpu_is_refused() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(WeightsError, match="torch sees no GPU"):
        LoadOptions(device="cuda").resolve_device()


def test_retrained_heads_share_the_vit_and_keep_the_click_embeddings(
    tiny: Predictor, tmp_path: Path, backend_var: Path
) -> None:
    folder = Path(shutil.copytree(backend_var / "models" / "tiny", tmp_path / "retrained"))
    edit_weights(folder, lambda tensors: tensors["detector_model.dot_product_scoring.text_proj.weight"].mul_(1.5))
    retrained = load_predictor(folder, CPU, share_with=[tiny])
    assert retrained.weights_hash != tiny.weights_hash
    assert (retrained.backbone_hash, retrained.click_hash) == (tiny.backbone_hash, tiny.click_hash)
    assert retrained.network.detector.vision_encoder.backbone is tiny.network.detector.vision_encoder.backbone
    assert retrained.network.tracker.vision_encoder.backbone is tiny.network.detector.vision_encoder.backbone


def test_retrained_click_neck_keeps_tokens_but_not_click_input(
    tiny: Predictor, tmp_path: Path, backend_var: Path
) -> None:
    folder = Path(shutil.copytree(backend_var / "models" / "tiny", tmp_path / "retrained"))
    edit_weights(folder, lambda tensors: tensors["tracker_model.mask_decoder.conv_s0.weight"].mul_(1.5))
    retrained = load_predictor(folder, CPU)
    assert retrained.backbone_hash == tiny.backbone_hash
    assert retrained.click_hash != tiny.click_hash


def test_bytes_count_the_vit_once(tiny: Predictor) -> None:
    assert parameter_bytes(tiny) == sum(p.nbytes for p in set(tiny.network.parameters()))


def test_file_that_is_written_over_in_place_does_not_change_what_is_in_service(folder: Path) -> None:
    weights = folder / "model.safetensors"
    predictor = load_predictor(folder, CPU)
    size = weights.stat().st_size
    with weights.open("r+b") as file:
        file.seek(size // 4)
        file.write(b"\x55" * (size - size // 4))
    assert predictor.network.weights_hash() == predictor.weights_hash


def test_damaged_weights_fail_the_golden_prompts(folder: Path) -> None:
    edit_weights(folder, lambda tensors: tensors["detector_model.text_projection.weight"].fill_(float("nan")))
    with pytest.raises(WeightsError, match="not finite"):
        check_golden(load_predictor(folder, CPU), folder)


def test_recorded_golden_answers_must_come_again(tiny: Predictor, folder: Path) -> None:
    write_golden(tiny, folder)
    check_golden(tiny, folder)
    answers = json.loads((folder / "golden.json").read_text())
    answers["click_score"] += 0.2
    (folder / "golden.json").write_text(json.dumps(answers))
    with pytest.raises(WeightsError, match="golden prompt click_score"):
        check_golden(tiny, folder)


def test_golden_command_records_what_the_next_load_must_meet(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = folder.parent / "models"
    models.mkdir()
    folder.rename(models / "v1")
    monkeypatch.setenv("ROOST_VAR", str(folder.parent))
    assert main(["golden", "v1"]) == 0
    assert json.loads((models / "v1" / "golden.json").read_text())["presence"].keys() == {"chicken", "duck"}
    assert main(["golden", "absent"]) == 2


def test_written_version_loads_with_the_same_hash(tiny: Predictor, tmp_path: Path) -> None:
    copy = write_version(tmp_path, "copy", tiny.network)
    assert load_predictor(copy, CPU).weights_hash == tiny.weights_hash
