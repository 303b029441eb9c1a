"""A model's answers as COCO results, and their score; real network, tiny."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.train.snapshots import Snapshot, tiny_model
from training import cgf1, dataset, report
from training.evaluate import Evaluation, Found, PairPrediction, evaluate_model, full_mask, predict
from training.features import FeatureStore
from training.masks import decode_rle
from training.models import Model, load_model


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Snapshot, Model]:
    root = tmp_path_factory.mktemp("world")
    torch.set_num_threads(1)
    made = Snapshot(root).add_scenes("holdout", "easy", 5, negatives=1).add_scenes("holdout", "hard", 3, negatives=1)
    return made.freeze(), load_model(tiny_model(root / "model"), device=torch.device("cpu"))


def store(world: tuple[Snapshot, Model], folder: Path) -> FeatureStore:
    return FeatureStore(world[1], world[0].images, folder)


def test_official_order_is_upsample_then_threshold() -> None:
    logits = torch.randn(16, 16, generator=torch.Generator().manual_seed(3)) * 4
    whole = F.interpolate(logits[None, None], size=(37, 61), mode="bilinear", align_corners=False)[0, 0] > 0
    assert (full_mask(logits, height_px=37, width_px=61) == whole.numpy()).all()


def test_score_is_query_score_times_presence(world: tuple[Snapshot, Model], tmp_path: Path) -> None:
    pairs = dataset.Snapshot(world[0].folder).split("holdout").pairs
    for prediction in predict(world[1], store(world, tmp_path), pairs, keep_score=0.0):
        for found in prediction.instances:
            assert found.score == pytest.approx(found.query_score * prediction.presence, rel=1e-5)


def test_answer_does_not_depend_on_what_else_is_asked(world: tuple[Snapshot, Model], tmp_path: Path) -> None:
    pairs, features = dataset.Snapshot(world[0].folder).split("holdout").pairs, store(world, tmp_path)
    together = list(predict(world[1], features, pairs, keep_score=0.0))
    alone = list(predict(world[1], features, pairs[3:4], keep_score=0.0))
    assert [p.pair.id for p in together] == [pair.id for pair in pairs]
    assert alone[0].presence == pytest.approx(together[3].presence, abs=1e-5)
    assert [f.score for f in alone[0].instances] == pytest.approx([f.score for f in together[3].instances], abs=1e-5)


def test_answers_do_not_depend_on_how_many_pairs_are_judged_together(
    world: tuple[Snapshot, Model], tmp_path: Path
) -> None:
    pairs, features = dataset.Snapshot(world[0].folder).split("holdout").pairs, store(world, tmp_path)
    rows = {}
    for at_once in (16, 3, 1):
        found = predict(world[1], features, pairs, keep_score=0.0, at_once=at_once)
        rows[at_once] = [(p.presence, [(f.score, f.rle) for f in p.instances]) for p in found]
    for other in (rows[3], rows[1]):
        for (presence, instances), (presence_16, instances_16) in zip(other, rows[16], strict=True):
            assert presence == pytest.approx(presence_16, abs=1e-6)
            assert [score for score, _ in instances] == pytest.approx([score for score, _ in instances_16], abs=1e-6)
            assert [rle for _, rle in instances] == [rle for _, rle in instances_16]


def test_masks_are_those_of_the_network_drawn_all_at_once(world: tuple[Snapshot, Model], tmp_path: Path) -> None:
    """The way before: every mask of every pair, then those of the kept queries."""
    model, features = world[1], store(world, tmp_path)
    pairs = dataset.Snapshot(world[0].folder).split("holdout").pairs[:5]
    with torch.no_grad():
        vision = model.network.detector_features(features.tokens([pair.image for pair in pairs]))
        all_masks = model.network.detect(vision, model.texts([pair.phrase for pair in pairs])).mask_logits_PQHW
    assert all_masks is not None
    for prediction, masks_QHW in zip(predict(model, features, pairs, keep_score=0.0), all_masks, strict=True):
        pair = prediction.pair
        expected = [full_mask(mask, height_px=pair.height_px, width_px=pair.width_px) for mask in masks_QHW]
        drawn = [decode_rle(f.rle, height_px=pair.height_px, width_px=pair.width_px) for f in prediction.instances]
        assert sorted(mask.tobytes() for mask in drawn) == sorted(mask.tobytes() for mask in expected)


def test_weak_instances_are_left_out(world: tuple[Snapshot, Model], tmp_path: Path) -> None:
    pairs, features = dataset.Snapshot(world[0].folder).split("holdout").pairs, store(world, tmp_path)
    scores = [f.score for p in predict(world[1], features, pairs, keep_score=0.0) for f in p.instances]
    cut = float(np.median(scores))
    kept = [f.score for p in predict(world[1], features, pairs, keep_score=cut) for f in p.instances]
    assert 0 < len(kept) < len(scores)
    assert min(kept) >= cut


def truthful(split: dataset.Split, skip: int = 0) -> list[PairPrediction]:
    """Predictions that are the truth, but for the first `skip` positives."""
    predictions, positives = [], 0
    for pair in split.pairs:
        positives += pair.is_positive
        hidden = pair.is_positive and positives <= skip
        found = [] if hidden else [Found(0.9, 0.95, (0.0, 0.0, 9.0, 9.0), i.rle) for i in pair.instances]
        predictions.append(PairPrediction(pair, 0.95 if pair.is_positive else 0.05, tuple(found)))
    return predictions


def evaluation(split: dataset.Split, predictions: list[PairPrediction]) -> Evaluation:
    rows = [row for prediction in predictions for row in prediction.coco_rows()]
    return Evaluation(split, predictions, cgf1.evaluate(split.document, rows))


def test_breakdown_adds_up_to_the_whole(world: tuple[Snapshot, Model]) -> None:
    split = dataset.Snapshot(world[0].folder).split("holdout")
    summary = evaluation(split, truthful(split, skip=2)).summary()
    assert set(summary["by_source"]) == {"easy", "hard"}
    for parts in (summary["by_source"], summary["by_concept"]):
        assert sum(part["pairs"] for part in parts.values()) == len(split.pairs)
    assert summary["cgf1"] < 1
    assert summary["by_source"]["hard"]["cgf1"] > 0.99


def test_presence_is_kept_for_every_judged_pair(world: tuple[Snapshot, Model], tmp_path: Path) -> None:
    split = dataset.Snapshot(world[0].folder).split("holdout")
    judged = evaluate_model(world[1], store(world, tmp_path), split)
    assert judged.presence_P().shape == (len(split.pairs),)
    rows = judged.pair_rows()
    assert [row["id"] for row in rows] == [pair.id for pair in split.pairs]
    assert [row["instances"] for row in rows] == [len(pair.instances) for pair in split.pairs]


def test_fixed_samples_do_not_depend_on_the_order_of_pairs(world: tuple[Snapshot, Model]) -> None:
    pairs = dataset.Snapshot(world[0].folder).split("holdout").pairs
    chosen = report.choose_samples(pairs, 8)
    assert chosen == report.choose_samples(pairs[::-1], 8)
    assert len(chosen) == 8
    assert {pair.is_positive for pair in chosen} == {True, False}
