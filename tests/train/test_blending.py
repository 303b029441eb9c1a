"""Mixtures of pictures that teach presence to hesitate."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.train.snapshots import Snapshot, tiny_model
from training.blending import blend_loss, mixtures, partners
from training.dataset import Instance, Pair
from training.dataset import Snapshot as Frozen
from training.features import FeatureStore
from training.models import load_model
from training.sampling import Batch
from training.texts import Texts


def pair(number: int, phrase: str, positive: bool) -> Pair:
    instances = (Instance({"size": [4, 4], "counts": "4"}, (0.0, 0.0, 1.0, 1.0)),) if positive else ()
    return Pair(number, f"{number:064x}", phrase, 4, 4, instances)


def test_partners_share_a_phrase_and_differ_in_truth() -> None:
    batch = Batch.plain([pair(1, "duck", True), pair(2, "egg", True), pair(3, "egg", False), pair(4, "rock", False)])
    assert partners(batch, 6) == [(1, 2)]  # places in the batch


def test_no_pair_is_mixed_twice_and_no_more_than_asked() -> None:
    pairs = [pair(n, "egg", n < 5) for n in range(10)]
    mixed = partners(Batch.plain(pairs), 3)
    assert len(mixed) == 3
    assert len({place for both in mixed for place in both}) == 6


@pytest.fixture
def batch_and_store(tmp_path: Path) -> tuple[Batch, FeatureStore]:
    torch.set_num_threads(1)
    made = Snapshot(tmp_path).add_scenes("train", "easy", 8).freeze()
    pairs = list(Frozen(made.folder).split("train").pairs)
    model = load_model(tiny_model(tmp_path / "model"), device=torch.device("cpu"))
    return Batch.plain(pairs), FeatureStore(model, made.images, tmp_path / "features")


def test_loss_follows_from_seed_and_step(batch_and_store: tuple[Batch, FeatureStore]) -> None:
    batch, store = batch_and_store
    mixed = [mixtures(batch, limit=4, seed=1, step=step) for step in (5, 5, 6)]
    values = [float(blend_loss(store.model, store, Texts(store.model), one).detach()) for one in mixed]
    assert values[0] == values[1] != values[2]


def test_batch_without_partners_has_no_mixtures(batch_and_store: tuple[Batch, FeatureStore]) -> None:
    batch, _ = batch_and_store
    positives = Batch.plain([pair for pair in batch.pairs if pair.is_positive])
    assert mixtures(positives, limit=4, seed=1, step=0) == []
