"""The frozen backbone's output: computed once, the same ever after."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.train.snapshots import store_image, tiny_model
from training.errors import Refused
from training.features import FeatureStore
from training.models import Model, load_model

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    torch.set_num_threads(1)
    return load_model(tiny_model(tmp_path_factory.mktemp("model")), device=CPU)


def picture(seed: int, height: int = 40, width: int = 60) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3)).astype(np.uint8)


def test_second_run_encodes_nothing_and_reads_the_same(model: Model, tmp_path: Path) -> None:
    images = [store_image(tmp_path / "images", picture(seed)) for seed in range(3)]
    first, second = (FeatureStore(model, tmp_path / "images", tmp_path / "features") for _ in range(2))
    first.prepare(images)
    second.prepare(images)
    assert (first.encoded, second.encoded) == (3, 0)
    assert bool((first.tokens(images) == second.tokens(images)).all())


def test_features_are_the_backbones_to_half_precision(model: Model, tmp_path: Path) -> None:
    from mlbackend.model.inputs import preprocess

    image = store_image(tmp_path / "images", picture(1))
    features = FeatureStore(model, tmp_path / "images", tmp_path / "features")
    with torch.inference_mode():
        direct = model.network.encode(preprocess(picture(1), 56)[None])
    assert torch.allclose(features.tokens([image]), direct, atol=2e-3)


def test_other_backbone_has_other_features(model: Model, tmp_path: Path) -> None:
    other = load_model(tiny_model(tmp_path / "other", seed=9), device=CPU)
    image = store_image(tmp_path / "images", picture(1))
    stores = [FeatureStore(m, tmp_path / "images", tmp_path / "features") for m in (model, other)]
    assert not torch.equal(stores[0].tokens([image]), stores[1].tokens([image]))


def test_little_memory_changes_nothing_but_speed(model: Model, tmp_path: Path) -> None:
    images = [store_image(tmp_path / "images", picture(seed)) for seed in range(4)]
    roomy = FeatureStore(model, tmp_path / "images", tmp_path / "features")
    narrow = FeatureStore(model, tmp_path / "images", tmp_path / "features", memory_mib=0)
    assert torch.equal(roomy.tokens(images), narrow.tokens(images))


def test_damaged_file_is_computed_again(model: Model, tmp_path: Path) -> None:
    image = store_image(tmp_path / "images", picture(1))
    good = FeatureStore(model, tmp_path / "images", tmp_path / "features").tokens([image])
    (file,) = (tmp_path / "features").rglob("*.safetensors")
    file.write_bytes(file.read_bytes()[:-40])
    again = FeatureStore(model, tmp_path / "images", tmp_path / "features")
    assert torch.equal(again.tokens([image]), good)
    assert again.encoded == 1


def test_mirrored_features_are_those_of_the_mirrored_image(model: Model, tmp_path: Path) -> None:
    image, flipped = (store_image(tmp_path / "images", p) for p in (picture(1), picture(1)[:, ::-1]))
    features = FeatureStore(model, tmp_path / "images", tmp_path / "features")
    assert torch.equal(features.tokens([image], mirrored=True), features.tokens([flipped]))


def test_size_is_that_of_the_image(model: Model, tmp_path: Path) -> None:
    image = store_image(tmp_path / "images", picture(1, height=30, width=50))
    assert FeatureStore(model, tmp_path / "images", tmp_path / "features").size_px(image) == (50, 30)


def test_absent_and_unreadable_images_are_refused_by_name(model: Model, tmp_path: Path) -> None:
    features = FeatureStore(model, tmp_path / "images", tmp_path / "features")
    with pytest.raises(Refused, match="ab" * 32):
        features.prepare(["ab" * 32])
    image = store_image(tmp_path / "images", picture(1))
    (tmp_path / "images" / image[:2] / image).write_bytes(b"no picture")
    with pytest.raises(Refused, match="cannot be decoded") as refused:
        features.prepare([image])
    assert refused.value.code == "unreadable_image"
