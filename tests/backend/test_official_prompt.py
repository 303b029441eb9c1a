"""Text prompts end with the geometry encoder's CLS token: answers equal those of Meta's own modules."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from mlbackend.model.checkpoint import WeightsError
from mlbackend.model.geometry import cls_tokens
from mlbackend.model.loader import LoadOptions, load_predictor
from mlbackend.model.network import Detections, Sam3Network
from mlbackend.model.predictor import ConceptResult, Predictor
from mlbackend.model.prompts import ExemplarBox
from tests.backend.hub_checkpoint import write_hub_checkpoint
from tests.backend.support import noisy_picture, small_network, write_version
from tests.official_reference import reference_answers, reference_inputs, reference_network

CLOSE = 1e-5
NAMES = ("presence_logits_P", "query_logits_PQ", "boxes_xyxy_PQ4", "mask_logits_PQHW")


@torch.inference_mode()
def answer(prompt_has_cls: bool) -> Detections:
    network, inputs = reference_network(), reference_inputs()
    network.prompt_has_cls = prompt_has_cls
    return network.detect(inputs.vision, inputs.text, image_rows_P=inputs.image_rows_P)


def worst(found: Detections, name: str) -> float:
    """The largest difference, in shares of the largest number where that is over 1."""
    theirs = reference_answers()[f"eval_{name}"]
    return float((getattr(found, name) - theirs).abs().max() / theirs.abs().max().clamp(min=1))


@pytest.mark.parametrize("name", NAMES)
def test_answers_with_the_token_equal_those_of_metas_modules(name: str) -> None:
    assert worst(answer(True), name) < CLOSE


@pytest.mark.parametrize("name", NAMES)
def test_answers_without_the_token_differ(name: str) -> None:
    assert worst(answer(False), name) > 100 * CLOSE


@torch.inference_mode()
def test_the_token_itself_is_metas() -> None:
    network, inputs = reference_network(), reference_inputs()
    tokens = cls_tokens(network.detector.geometry_encoder, inputs.vision)[inputs.image_rows_P]
    assert torch.allclose(tokens, reference_answers()["prompt_PTC"], atol=CLOSE)


@torch.inference_mode()
def test_one_image_for_all_prompts_answers_as_the_same_image_named_for_each() -> None:
    network, inputs = reference_network(), reference_inputs()
    network.prompt_has_cls = True
    first = [level[:1] for level in inputs.vision.fpn_hidden_states]
    position = [level[:1] for level in inputs.vision.fpn_position_encoding]
    alone = type(inputs.vision)(fpn_hidden_states=first, fpn_position_encoding=position)
    named = network.detect(inputs.vision, inputs.text, image_rows_P=torch.zeros(4, dtype=torch.long))
    assert torch.allclose(network.detect(alone, inputs.text).query_logits_PQ, named.query_logits_PQ, atol=CLOSE)


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_hub_checkpoint(tmp_path_factory.mktemp("official"))


def flag_of(folder: Path) -> bool:
    return Sam3Network.load(folder).prompt_has_cls


def declare(folder: Path, flag: object) -> None:
    declared = json.loads((folder / "config.json").read_text())
    declared = {key: value for key, value in declared.items() if key != "prompt_has_cls"}
    (folder / "config.json").write_text(json.dumps(declared if flag is None else declared | {"prompt_has_cls": flag}))


def test_official_checkpoint_is_asked_with_the_token_and_the_demo_model_without(official: Path) -> None:
    assert "prompt_has_cls" not in json.loads((official / "config.json").read_text())
    assert flag_of(official)
    assert not flag_of(Path("mlbackend/weights/demo"))


@pytest.mark.parametrize("flag", [True, False])
def test_version_made_from_another_keeps_its_way(official: Path, tmp_path: Path, flag: bool) -> None:
    network = Sam3Network.load(official)
    network.prompt_has_cls = flag
    network.save(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["prompt_has_cls"] is flag
    assert flag_of(tmp_path) is flag


def test_flag_that_is_neither_is_refused(official: Path, tmp_path: Path) -> None:
    shutil.copytree(official, tmp_path, dirs_exist_ok=True)
    declare(tmp_path, "yes")
    with pytest.raises(WeightsError, match="prompt_has_cls must be true or false, it is 'yes'"):
        Sam3Network.load(tmp_path)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> tuple[Predictor, Predictor]:
    """The same random weights, asked with the token and without."""
    models = tmp_path_factory.mktemp("served")
    folders = [write_version(models, name, small_network(4)) for name in ("with", "without")]
    declare(folders[0], True)
    declare(folders[1], None)
    return tuple(load_predictor(folder, LoadOptions(device="cpu")) for folder in folders)  # type: ignore[return-value]


def asked(predictor: Predictor, seeds: range, concepts: tuple[str, ...], **more: object) -> list[list[ConceptResult]]:
    pixels = torch.stack([predictor.preprocess(noisy_picture(seed)) for seed in seeds])
    tokens = predictor.encode(pixels, [(160, 120)] * len(seeds))
    return predictor.detect_each(tokens, concepts, score_threshold=0.0, **more)  # type: ignore[arg-type]


def scores(rows: list[list[ConceptResult]]) -> torch.Tensor:
    return torch.tensor([[[r.presence, *(i.query_score for i in r.instances)] for r in row] for row in rows])


def test_serving_follows_the_versions_flag(served: tuple[Predictor, Predictor]) -> None:
    with_it, without = (scores(asked(predictor, range(1), ("hen",))) for predictor in served)
    assert float((with_it - without).abs().max()) > 1e-3


def test_images_and_concepts_asked_together_answer_as_they_do_alone(served: tuple[Predictor, Predictor]) -> None:
    together = scores(asked(served[0], range(3), ("hen", "duck", "fox")))
    again = scores(asked(served[0], range(3), ("hen", "duck", "fox")))  # the phrases' features are kept by now
    alone = torch.cat([scores(asked(served[0], range(seed, seed + 1), ("fox",))) for seed in range(3)])
    assert torch.equal(together, again)
    assert torch.allclose(together[:, 2:], alone, atol=1e-4)


def test_examples_bring_the_token_themselves(served: tuple[Predictor, Predictor]) -> None:
    boxes = [[ExemplarBox((20.0, 24.0, 70.0, 80.0))]]
    with_it, without = (scores(asked(predictor, range(1), ("hen",), exemplars=boxes)) for predictor in served)
    assert torch.equal(with_it, without)
