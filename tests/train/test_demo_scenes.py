"""The drawn world: the same everywhere, exactly labelled, and as large as the model needs."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from training.demo.architecture import CONCEPTS
from training.demo.drawings import innermost_pixel, load_or_draw
from training.demo.scenes import DOMAINS, draw_scene

SEEDS = range(2_000_000, 2_000_030)


def digest(seed: int, domain: str) -> str:
    scene = draw_scene(seed, domain)
    parts = [scene.image_HWC.tobytes(), *(mask.tobytes() for _, mask in scene.instances)]
    return hashlib.sha256(b"".join(parts)).hexdigest()


@pytest.mark.parametrize("domain", DOMAINS)
def test_seed_and_domain_give_the_same_scene_in_another_process(domain):
    code = f"from tests.train.test_demo_scenes import digest; print(digest(2000007, '{domain}'))"
    fresh = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert fresh == digest(2_000_007, domain)


def test_seeds_and_domains_differ():
    assert len({digest(seed, domain) for seed in (1, 2) for domain in DOMAINS}) == 4


@pytest.mark.parametrize("domain", DOMAINS)
def test_visible_masks_never_overlap_and_never_vanish(domain):
    for seed in SEEDS:
        scene = draw_scene(seed, domain)
        masks = np.array([mask for _, mask in scene.instances]).reshape(-1, 224, 224)
        assert masks.sum(0).max(initial=0) <= 1
        assert (masks.sum((1, 2)) > 200).all()
        assert {name for name, _ in scene.instances} <= set(CONCEPTS)


@pytest.mark.parametrize("domain", DOMAINS)
def test_some_barns_are_empty_and_most_are_not(domain):
    empty = [not draw_scene(seed, domain).instances for seed in range(3_000_000, 3_000_100)]
    assert 2 <= sum(empty) <= 30


def test_masks_follow_the_picture():
    """Inside a red or blue feeder's mask the colour is strong; around it there is wood and straw."""
    scene = next(s for s in (draw_scene(seed, "easy") for seed in SEEDS) if any(n == "feeder" for n, _ in s.instances))
    mask = next(mask for name, mask in scene.instances if name == "feeder")
    spread = scene.image_HWC.astype(int).max(2) - scene.image_HWC.astype(int).min(2)
    assert np.percentile(spread[mask], 75) > np.percentile(spread[~mask], 75) + 20


def test_hard_scenes_are_darker_and_noisier():
    def brightness(domain: str) -> float:
        return float(np.mean([draw_scene(seed, domain).image_HWC.mean() for seed in SEEDS]))

    assert brightness("hard") < 0.9 * brightness("easy")


def test_scene_scales_with_the_asked_size():
    scene = draw_scene(2_000_003, "easy", size_px=112)
    assert scene.image_HWC.shape == (112, 112, 3)
    assert len(scene.instances) == len(draw_scene(2_000_003, "easy").instances)


def test_unknown_domain_is_refused():
    with pytest.raises(ValueError, match="easy, hard"):
        draw_scene(1, "medium")


def test_drawings_on_disk_equal_fresh_ones_and_are_not_redrawn(tmp_path):
    drawings = load_or_draw(tmp_path, "easy", 40, 3, processes=1)
    fresh = draw_scene(41, "easy")
    assert np.array_equal(drawings.images[1], fresh.image_HWC)
    assert (drawings.concepts[1] >= 0).sum() == len(fresh.instances)
    before = (tmp_path / "easy-40-3" / "images.npy").stat().st_mtime_ns
    load_or_draw(tmp_path, "easy", 40, 3, processes=1)
    assert (tmp_path / "easy-40-3" / "images.npy").stat().st_mtime_ns == before


def test_innermost_pixel_is_the_centre_of_a_block_and_keeps_off_the_picture_edge():
    mask = np.zeros((20, 20), bool)
    mask[4:9, 10:15] = True
    assert innermost_pixel(mask) == (12, 6)
    corner = np.zeros((20, 20), bool)
    corner[:5, :5] = True
    assert innermost_pixel(corner) == (2, 2)
