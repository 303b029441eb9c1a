"""The embedding store: a hit is what the miss was, damage is a miss, budgets hold."""

from __future__ import annotations

import dataclasses
import os
import shutil
from pathlib import Path

import pytest
import torch

from mlbackend.store.embeddings import Embedding, EmbeddingStore, HotLayer, Key, WarmLayer, round_to_fp16
from mlbackend.store.shared import SharedFolder

KEY = Key("tokens", "ab" * 32, "c" * 64, "square224-float32")
MIB = 1024 * 1024


def entry(seed: int = 0, cells: int = 1000) -> Embedding:
    generator = torch.Generator().manual_seed(seed)
    return Embedding({"tokens": round_to_fp16(torch.randn(cells, generator=generator))}, 640, 480)


def key(image: int) -> Key:
    return dataclasses.replace(KEY, image=f"{image:064x}")


def files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


def test_warm_hit_is_bit_for_bit_what_was_stored(tmp_path: Path) -> None:
    WarmLayer(tmp_path, MIB).put(KEY, entry())
    found = WarmLayer(tmp_path, MIB).get(KEY)
    assert found is not None
    assert torch.equal(found.tensors["tokens"], entry().tensors["tokens"])
    assert (found.width_px, found.height_px) == (640, 480)


def test_values_beyond_fp16_are_kept_and_not_infinite(tmp_path: Path) -> None:
    large = Embedding({"tokens": round_to_fp16(torch.tensor([1e6, 1.0]))}, 1, 1)
    layer = WarmLayer(tmp_path, MIB)
    layer.put(KEY, large)
    found = layer.get(KEY)
    assert found is not None
    assert found.tensors["tokens"].tolist() == [1e6, 1.0]


@pytest.mark.parametrize(
    "change",
    [
        {"image": "cd" * 32},
        {"weights": "d" * 64},
        {"preprocessing": "square1008-bfloat16"},
        {"layer": "click"},
    ],
)
def test_another_image_model_or_preprocessing_is_a_miss(tmp_path: Path, change: dict[str, str]) -> None:
    layer = WarmLayer(tmp_path, MIB)
    layer.put(KEY, entry())
    assert layer.get(dataclasses.replace(KEY, **change)) is None


def test_file_in_another_images_place_is_a_miss(tmp_path: Path) -> None:
    layer = WarmLayer(tmp_path, MIB)
    layer.put(KEY, entry())
    other = key(7)
    other.path(tmp_path).parent.mkdir(parents=True)
    KEY.path(tmp_path).rename(other.path(tmp_path))
    assert layer.get(other) is None


@pytest.mark.parametrize("damage", ["truncated", "flipped", "garbage", "empty"])
def test_damaged_file_is_a_miss_and_is_removed(tmp_path: Path, damage: str) -> None:
    layer = WarmLayer(tmp_path, MIB)
    layer.put(KEY, entry())
    path = KEY.path(tmp_path)
    data = bytearray(path.read_bytes())
    data[-5] ^= 0x10
    path.write_bytes({"truncated": data[:-40], "flipped": data, "garbage": b"\xff" * 80, "empty": b""}[damage])
    assert layer.get(KEY) is None
    assert not path.exists()


def test_writes_leave_nothing_half_written(tmp_path: Path) -> None:
    WarmLayer(tmp_path, MIB).put(KEY, entry())
    assert files(tmp_path) == [KEY.path(tmp_path)]


def test_disk_budget_drops_the_least_recently_used(tmp_path: Path) -> None:
    layer = WarmLayer(tmp_path, 3 * 2_500)
    for image in range(3):
        layer.put(key(image), entry(image))
    layer.get(key(0))
    layer.put(key(3), entry(3))
    assert layer.get(key(1)) is None
    assert layer.get(key(0)) is not None
    assert sum(path.stat().st_size for path in files(tmp_path)) <= 3 * 2_500


def test_disk_budget_counts_what_an_earlier_process_left(tmp_path: Path) -> None:
    for image in range(3):
        WarmLayer(tmp_path, MIB).put(key(image), entry(image))
    WarmLayer(tmp_path, 2 * 2_500).put(key(9), entry(9))
    assert len(files(tmp_path)) == 2


def test_store_counts_what_an_earlier_process_left_before_it_writes(tmp_path: Path) -> None:
    WarmLayer(tmp_path, MIB).put(KEY, entry())
    store = EmbeddingStore(HotLayer(0), WarmLayer(tmp_path, MIB))
    store.close()
    assert store.warm.bytes == sum(path.stat().st_size for path in files(tmp_path)) > 0


def test_store_sweeps_up_what_a_killed_process_was_writing(tmp_path: Path) -> None:
    path = KEY.path(tmp_path)
    path.parent.mkdir(parents=True)
    long_ago, just_now = (path.with_name(f".{path.name}.{name}") for name in ("old", "new"))
    long_ago.write_bytes(b"half")
    just_now.write_bytes(b"half")
    os.utime(long_ago, (1, 1))
    EmbeddingStore(HotLayer(0), WarmLayer(tmp_path, MIB)).close()
    assert files(tmp_path) == [just_now]


def test_replicas_find_each_others_embeddings_in_the_shared_folder(tmp_path: Path) -> None:
    shared = SharedFolder(tmp_path / "shared")
    WarmLayer(tmp_path / "one", MIB, shared=shared).put(KEY, entry())
    two = WarmLayer(tmp_path / "two", MIB, shared=shared)
    assert two.get(KEY) is not None
    shutil.rmtree(tmp_path / "shared")
    assert two.get(KEY) is not None, "a copy is kept here"


def test_damaged_file_in_the_shared_folder_is_removed_there_too(tmp_path: Path) -> None:
    shared = SharedFolder(tmp_path / "shared")
    WarmLayer(tmp_path / "one", MIB, shared=shared).put(KEY, entry())
    KEY.path(tmp_path / "shared").write_bytes(b"\xff" * 80)
    assert WarmLayer(tmp_path / "two", MIB, shared=shared).get(KEY) is None
    assert files(tmp_path / "shared") == files(tmp_path / "two") == []


def test_shared_place_that_fails_costs_its_copies_alone_and_is_left_alone_for_a_while(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    layer = WarmLayer(tmp_path / "one", MIB, shared=SharedFolder(blocked))
    for image in range(3):
        layer.put(key(image), entry(image))
        assert layer.get(key(image)) is not None
    assert caplog.text.count("shared embeddings are not used for 30 s") == 1


def test_full_disk_costs_the_warm_copy_alone(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    layer = WarmLayer(blocked, MIB)
    layer.put(KEY, entry())
    assert layer.get(KEY) is None


def test_hot_layer_keeps_to_its_budget_and_drops_the_oldest() -> None:
    hot = HotLayer(2 * 4_000)
    for image in range(3):
        hot.put(key(image), entry(image))
    assert hot.bytes == 8_000
    assert hot.get(key(0)) is None
    assert hot.get(key(2)) is not None


def test_entry_larger_than_the_hot_budget_is_not_kept() -> None:
    hot = HotLayer(100)
    hot.put(KEY, entry())
    assert (hot.get(KEY), hot.bytes) == (None, 0)


def test_store_writes_behind(tmp_path: Path) -> None:
    store = EmbeddingStore(HotLayer(0), WarmLayer(tmp_path, MIB))
    store.put(KEY, entry())
    store.close()
    assert store.hot.get(KEY) is None
    assert store.warm.get(KEY) is not None
