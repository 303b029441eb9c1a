"""The temperature of presence: known answers, what it must not touch, its way from a run into its model's folder."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mlbackend.model.checkpoint import WeightsError
from mlbackend.model.loader import LoadOptions, load_predictor
from tests.train.snapshots import Snapshot, tiny_model
from tests.train.test_retrain import train
from training import dataset
from training.evaluate import evaluate_model
from training.features import FeatureStore
from training.measures.presence import calibration
from training.models import Model, load_model
from training.temperature import fitted_temperature, presence_calibration

EACH = 2000


def calibrated_sample() -> tuple[np.ndarray, np.ndarray]:
    """Of pairs with logit z just the share 1 / (1 + exp(-z)) holds the thing: what a calibrated model would give."""
    logits, positive = [], []
    for z in np.linspace(-3, 3, 13):
        count = round(EACH / (1 + np.exp(-z)))
        logits += [z] * EACH
        positive += [True] * count + [False] * (EACH - count)
    return np.array(logits), np.array(positive)


@pytest.mark.parametrize("times", [0.5, 1.0, 3.0])
def test_logits_of_a_calibrated_model_times_k_get_the_temperature_k(times: float) -> None:
    logits, positive = calibrated_sample()
    assert fitted_temperature(times * logits, positive) == pytest.approx(times, rel=0.01)


def test_errors_before_and_after_are_those_of_the_sample() -> None:
    """All pairs at logit 3 times log 3: told 27/28, there in 3/4 of them; afterwards told what is there."""
    logits = np.concatenate([np.full(40, 3 * np.log(3)), np.full(40, -3 * np.log(3))])
    positive = np.arange(80) % 4 != 0
    positive[40:] = ~positive[40:]
    found = presence_calibration(logits, positive, np.arange(80), seed=0)
    assert found["ece_before"] == pytest.approx(27 / 28 - 3 / 4, abs=1e-6)
    assert found["ece_after"] < 0.02
    assert (found["pairs"], found["positives"]) == (80, 40)
    assert sum(one["n"] for one in found["after"]["bins"]) == 80


def test_pairs_told_apart_without_a_fault_do_not_make_every_score_0_or_1() -> None:
    logits, positive = np.repeat([-1.0, 1.0], 20), np.repeat([False, True], 20)
    told = 1 / (1 + np.exp(-1 / fitted_temperature(logits, positive)))
    assert told == pytest.approx(21 / 22, abs=0.002)


@pytest.mark.parametrize(("pairs", "positives"), [(29, 14), (40, 7), (40, 33), (40, 0), (0, 0)])
def test_too_few_pairs_or_only_one_kind_leave_presence_as_it_is_and_say_so(pairs: int, positives: int) -> None:
    found = presence_calibration(np.ones(pairs), np.arange(pairs) < positives, np.arange(pairs), seed=0)
    assert found["temperature"] == 1.0
    assert f"{pairs} pairs, {positives} of them" in found["why"]
    assert "ece_before" not in found


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Snapshot, Model]:
    root = tmp_path_factory.mktemp("judged")
    made = Snapshot(root).add_scenes("holdout", "easy", 4, negatives=1).freeze()
    return made, load_model(tiny_model(root / "model"), device=torch.device("cpu"))


def test_temperature_moves_no_figure_and_no_instance_of_an_evaluation(
    judged: tuple[Snapshot, Model], tmp_path: Path
) -> None:
    made, model = judged
    split, features = dataset.Snapshot(made.folder).split("holdout"), FeatureStore(model, made.images, tmp_path)
    plain, cooled = (
        evaluate_model(replace(model, temperature=value), features, split, keep_score=0.1) for value in (1.0, 3.0)
    )
    assert plain.coco_results() == cooled.coco_results()
    assert plain.figures == cooled.figures
    odds = [np.log(row / (1 - row)) for row in (plain.presence_P(), cooled.presence_P())]
    assert odds[0] == pytest.approx(3 * odds[1], rel=1e-3)


def test_trained_version_carries_what_was_fitted_on_val_and_nothing_of_its_base(tmp_path: Path) -> None:
    made = Snapshot(tmp_path).add_scenes("train", "easy", 3).add_scenes("val", "easy", 12).freeze()
    base = tiny_model(tmp_path / "base")
    (base / "manifest.json").write_text(json.dumps({"presence_calibration": {"temperature": 5}}))
    folders = {"snapshot": made.folder, "images": made.images, "base_model": base, "features": tmp_path / "features"}
    world, out = {key: str(folder) for key, folder in folders.items()}, tmp_path / "run"
    told = train(world, out, steps=2, validate_every=2)["presence_calibration"]
    assert told == json.loads((out / "model" / "manifest.json").read_text())["presence_calibration"]
    assert load_predictor(out / "model", LoadOptions(device="cpu")).temperature == told["temperature"] != 5
    model = load_model(out / "model", device=torch.device("cpu"))
    split = dataset.Snapshot(made.folder).split("val")
    assert (told["pairs"], told["positives"]) == (len(split.pairs), sum(pair.is_positive for pair in split.pairs))
    judged = evaluate_model(model, FeatureStore(model, made.images, tmp_path / "features"), split, keep_score=0.5)
    positive = np.array([pair.is_positive for pair in judged.judged_pairs()])
    served = calibration(judged.presence_P(), positive, np.arange(len(positive)), seed=0)
    assert served["ece"] == pytest.approx(told["ece_after"], abs=1e-4)


@pytest.mark.parametrize("told", [{"temperature": 0}, {"temperature": "warm"}, {}, 3, {"temperature": True}])
def test_manifest_without_a_real_temperature_is_refused(told: object, tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "model")
    (model / "manifest.json").write_text(json.dumps({"presence_calibration": told}))
    with pytest.raises(WeightsError, match="temperature above 0"):
        load_predictor(model, LoadOptions(device="cpu"))
