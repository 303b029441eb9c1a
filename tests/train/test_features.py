"""The frozen backbone's output: computed once, the same ever after."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.processes import wait_until
from tests.train.snapshots import store_image, tiny_model
from training.errors import Refused
from training.features import FeatureStore
from training.models import Model, load_model
from training.views import MIRRORED
from training.vit import choose_vit_dtype

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
    assert torch.equal(features.tokens([image], [MIRRORED]), features.tokens([flipped]))


def test_whether_features_are_there_is_known_without_reading_them(model: Model, tmp_path: Path) -> None:
    images = [store_image(tmp_path / "images", picture(seed)) for seed in range(3)]
    FeatureStore(model, tmp_path / "images", tmp_path / "features").prepare(images)
    for file in (tmp_path / "features").rglob("*.safetensors"):  # the header alone is left: whoever read on would fail
        whole, header = file.read_bytes(), 8 + int.from_bytes(file.read_bytes()[:8], "little")
        file.write_bytes(whole[:header] + bytes(len(whole) - header))
    for image in images:
        (tmp_path / "images" / image[:2] / image).write_bytes(b"not read either")
    again = FeatureStore(model, tmp_path / "images", tmp_path / "features")
    again.prepare(images)
    assert again.encoded == 0
    assert [again.size_px(image) for image in images] == [(60, 40)] * 3


def test_what_is_read_ahead_is_what_would_be_read(model: Model, tmp_path: Path) -> None:
    images = [store_image(tmp_path / "images", picture(seed)) for seed in range(4)]
    FeatureStore(model, tmp_path / "images", tmp_path / "features").prepare(images)
    plain, ahead = (FeatureStore(model, tmp_path / "images", tmp_path / "features", memory_mib=0) for _ in range(2))
    ahead.read_ahead(images[:3])
    ahead.read_ahead(images[1:])
    assert torch.equal(ahead.tokens(images), plain.tokens(images))
    assert ahead.encoded == 0


def test_next_images_are_read_while_the_caller_does_something_else(model: Model, tmp_path: Path) -> None:
    image = store_image(tmp_path / "images", picture(1))
    FeatureStore(model, tmp_path / "images", tmp_path / "features").prepare([image])
    store = FeatureStore(model, tmp_path / "images", tmp_path / "features")
    store.read_ahead([image])
    wait_until(lambda: store.held_bytes > 0)
    (file,) = (tmp_path / "features").rglob("*.safetensors")
    file.unlink()
    store.tokens([image])
    assert store.encoded == 0


def test_backends_embeddings_serve_the_trainer_in_either_arithmetic(model: Model, tmp_path: Path) -> None:
    """What the ML backend left while mining is read under its own key; on a GPU both take bf16."""
    from mlbackend.model.loader import LoadOptions, load_predictor
    from mlbackend.serving.encoding import embedding_key
    from mlbackend.store.embeddings import WarmLayer

    image = store_image(tmp_path / "images", picture(1))
    for dtype in ("float32", "bfloat16"):
        predictor = load_predictor(model.folder, LoadOptions(device="cpu", dtype=dtype))
        made = predictor.encode(predictor.preprocess(picture(1))[None], [(60, 40)])[0]
        WarmLayer(tmp_path / "embeddings", 1 << 30).put(embedding_key("tokens", predictor, image), made)
        store = FeatureStore(
            model,
            tmp_path / "images",
            tmp_path / "features",
            read_also=tmp_path / "embeddings",
            vit_dtype=choose_vit_dtype(dtype, CPU),
        )
        store.prepare([image])
        assert store.encoded == 0
        assert torch.equal(store.tokens([image])[0], made.tensors["tokens"])


def test_vit_that_encodes_in_bf16_stays_in_fp32_where_it_is_saved_from(model: Model, tmp_path: Path) -> None:
    image = store_image(tmp_path / "images", picture(1))
    stores = [
        FeatureStore(model, tmp_path / "images", tmp_path / "features", vit_dtype=dtype)
        for dtype in (torch.float32, torch.bfloat16)
    ]
    plain, half = (store.tokens([image]) for store in stores)
    assert not torch.equal(plain, half)
    assert torch.allclose(plain, half, atol=0.1)
    assert model.network.backbone_hash() == model.backbone_hash


def test_run_whose_features_exceed_their_budget_is_refused_before_anything_is_encoded(
    model: Model, tmp_path: Path
) -> None:
    images = [store_image(tmp_path / "images", picture(seed)) for seed in range(3)]
    store = FeatureStore(model, tmp_path / "images", tmp_path / "features", memory_mib=0, disk_mib=0)
    with pytest.raises(Refused, match="features_mib is 0") as refused:
        store.prepare(images)
    assert refused.value.code == "features_budget"
    assert not (tmp_path / "features").exists()


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
