"""Views of an image: truth exact against a warp written pixel by pixel here, and no positive that turns negative."""

from __future__ import annotations

from dataclasses import fields, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.train.snapshots import store_image, tiny_model
from training import masks
from training.dataset import Instance, Pair
from training.features import FeatureStore
from training.models import Model, load_model
from training.sampling import Sampler
from training.targets import Targets
from training.view_pixels import GROUND, cut, relit, seen_picture
from training.views import MIRRORED, PLAIN, View, Views, suits

GRID = 4  # of tokens: targets of 32 x 32 cells
WIDE, HIGH = 61, 47


def blob(rng: np.random.Generator) -> np.ndarray:
    """An ellipse with holes: no two rows of it alike."""
    y, x = np.mgrid[:HIGH, :WIDE]
    across, down = rng.uniform(4, 18), rng.uniform(4, 14)
    inside = ((x - rng.uniform(0, WIDE)) / across) ** 2 + ((y - rng.uniform(0, HIGH)) / down) ** 2 < 1
    return inside & (rng.random((HIGH, WIDE)) < 0.9)


def pair_of(*shapes: np.ndarray, number: int = 1, exhaustive: bool = True) -> Pair:
    found = []
    for shape in shapes:
        rle = masks.encode_mask(shape)
        x, y, width, height = masks.box_xywh(rle)
        found.append(Instance(rle, (x / WIDE, y / HIGH, (x + width) / WIDE, (y + height) / HIGH)))
    return Pair(number, f"{number:064x}", "thing", WIDE, HIGH, tuple(found), is_exhaustive=exhaustive)


def drawn_views(count: int, *, strength: float = 1.0, seed: int = 5) -> list[View]:
    views = Views(seed, drawn=count, mirror=True, strength=strength)
    return views.of_image("ab" * 32, width_px=WIDE, height_px=HIGH)[2:]


def warped(mask_HW: np.ndarray, view: View) -> list[list[bool]]:
    """Pixel by pixel: where does this one of the view's come from?"""
    assert view.crop_xywh is not None
    left, top, width, height = view.crop_xywh
    rows = []
    for y in range(height):
        row = []
        for x in range(width):
            column, line = left + (width - 1 - x if view.mirrored else x), top + y
            is_inside = 0 <= column < WIDE and 0 <= line < HIGH
            row.append(bool(is_inside and mask_HW[line, column]))
        rows.append(row)
    return rows


def cells_filled(rows: list[list[bool]], side: int) -> list[list[bool]]:
    """A cell of the target covers the pixels that it touches, and is the object's where half of them are."""
    high, wide = len(rows), len(rows[0])
    shares = [
        [
            Fraction(
                sum(rows[y][x] for y in span(line, side, high) for x in span(column, side, wide)),
                len(span(line, side, high)) * len(span(column, side, wide)),
            )
            for column in range(side)
        ]
        for line in range(side)
    ]
    least = Fraction(1, 2) if any(share >= Fraction(1, 2) for row in shares for share in row) else Fraction(1, 10**9)
    return [[share >= least for share in row] for row in shares]


def span(cell: int, side: int, pixels: int) -> range:
    return range(cell * pixels // side, -(-(cell + 1) * pixels // side))


def box_of(rows: list[list[bool]]) -> list[float]:
    high, wide = len(rows), len(rows[0])
    at = [(x, y) for y in range(high) for x in range(wide) if rows[y][x]]
    xs, ys = [x for x, _ in at], [y for _, y in at]
    return [min(xs) / wide, min(ys) / high, (max(xs) + 1) / wide, (max(ys) + 1) / high]


@pytest.mark.parametrize("number", range(12))
def test_truth_of_a_view_is_that_of_a_warp_pixel_by_pixel(number: int) -> None:
    rng = np.random.default_rng(number)
    shapes = [shape for shape in (blob(rng) for _ in range(3)) if shape.any()]
    view, pair = drawn_views(12)[number], pair_of(*shapes)
    expected = [rows for rows in (warped(shape, view) for shape in shapes) if any(map(any, rows))]
    targets = Targets(GRID)
    target = targets.of(pair, view)
    assert target.masks_MHW.bool().tolist() == [cells_filled(rows, 8 * GRID) for rows in expected]
    if expected:
        assert target.boxes_xyxy_M4.numpy() == pytest.approx(np.array([box_of(rows) for rows in expected]), abs=2e-7)
    assert targets.objects(pair, view) == len(expected)


@pytest.mark.parametrize("number", range(12))
def test_masks_and_areas_of_a_view_are_exact_to_the_pixel(number: int) -> None:
    shape, view = blob(np.random.default_rng(100 + number)), drawn_views(12)[number]
    rows = warped(shape, view)
    assert cut(shape, view, beyond=False).tolist() == rows
    assert view.crop_xywh is not None
    kept = masks.share_inside(masks.encode_mask(shape), view.crop_xywh) * shape.sum()
    assert kept == pytest.approx(sum(map(sum, rows)), abs=1e-9)  # areas by counting


def test_drawn_views_cover_cuts_ground_and_both_sides() -> None:
    """Or the warps above would have shown less than they claim."""
    crops = [view.crop_xywh for view in drawn_views(12) if view.crop_xywh is not None]
    assert len(crops) == 12
    assert any(width < WIDE for _, _, width, _ in crops)
    assert any(x < 0 or x + width > WIDE for x, _, width, _ in crops)
    assert {view.mirrored for view in drawn_views(12)} == {True, False}


def test_picture_and_mask_of_a_view_lie_upon_one_another() -> None:
    shape = blob(np.random.default_rng(1))
    image = np.where(shape[..., None], np.uint8(255), np.uint8(0)).repeat(3, axis=2)
    for view in drawn_views(8):
        plain_light = View(view.crop_xywh, view.mirrored)
        seen = seen_picture(image, plain_light, side_px=28)
        assert ((seen[..., 0] == 255) == cut(shape, view, beyond=False)).all()
        assert set(np.unique(seen)) <= {0, GROUND, 255}


def test_object_outside_the_view_is_gone_and_one_that_is_cut_keeps_its_part() -> None:
    left, right = np.zeros((HIGH, WIDE), bool), np.zeros((HIGH, WIDE), bool)
    left[10:20, 0:10], right[10:30, 40:60] = True, True
    target = Targets(GRID).of(pair_of(left, right), View((30, 0, 20, 40)))
    assert target.boxes_xyxy_M4.tolist() == [[0.5, 0.25, 1.0, 0.75]]  # 10 of its 20 columns, at the view's right
    assert int(target.masks_MHW.sum()) == 16 * 16


def test_view_that_leaves_less_than_a_quarter_of_every_object_is_not_taken() -> None:
    shape = np.zeros((HIGH, WIDE), bool)
    shape[10:20, 20:40] = True  # 200 pixels
    for width, is_taken in ((24, False), (25, True)):  # 40 of them, and 50
        assert suits(pair_of(shape), View((0, 0, width, HIGH))) is is_taken
    assert suits(pair_of(), View((0, 0, 1, 1)))
    whole = np.zeros((HIGH, WIDE), bool)
    whole[:5, :5] = True
    assert suits(pair_of(shape, whole), View((0, 0, 10, 10)))  # of one of two objects enough is left


@pytest.mark.parametrize("exhaustive", [True, False])
def test_positive_never_turns_into_a_negative_and_stays_as_exhaustive_as_it_was(exhaustive: bool) -> None:
    """A small object in a corner, which most crops miss: whatever the batch, the pair it is in shows some of it."""
    shape = np.zeros((HIGH, WIDE), bool)
    shape[:4, :4] = True
    views = Views(3, drawn=6, strength=1.0)
    pair, absent = pair_of(shape, exhaustive=exhaustive), pair_of(number=2)
    assert any(not suits(pair, view) for view in views.of_pair(pair))
    sampler, targets = Sampler([pair, absent], seed=3, batch_pairs=4, views=views), Targets(GRID)
    for step in range(40):
        batch = sampler.batch(step)
        for one, view in zip(batch.pairs, batch.views, strict=True):
            target = targets.of(one, view)
            assert bool(len(target.boxes_xyxy_M4)) is one.is_positive
            assert target.is_exhaustive is one.is_exhaustive


def test_negative_is_looked_at_in_every_view() -> None:
    views, absent = Views(3, drawn=4, mirror=True), pair_of(number=2)
    sampler = Sampler([pair_of(np.ones((HIGH, WIDE), bool)), absent], seed=0, batch_pairs=2, views=views)
    assert {sampler.batch(step).views[1] for step in range(80)} == set(views.of_pair(absent))


def test_batch_s_views_follow_from_seed_and_step_alone() -> None:
    pairs = [pair_of(np.ones((HIGH, WIDE), bool)), pair_of(number=2)]
    first, second, other = (
        Sampler(pairs, seed=seed, batch_pairs=8, views=Views(seed, drawn=5, mirror=True)) for seed in (4, 4, 5)
    )
    for step in range(20):
        first.batch(step)
    assert first.batch(20).views == second.batch(20).views != other.batch(20).views
    assert len(set(second.batch(20).views)) > 2


def test_views_follow_from_seed_image_and_number() -> None:
    size = {"width_px": WIDE, "height_px": HIGH}
    few, many = (Views(1, drawn=count).of_image("aa", **size) for count in (2, 5))
    assert few == many[:3]
    assert len(set(many)) == 6
    assert not set(many[1:]) & set(Views(2, drawn=5).of_image("aa", **size)[1:])
    assert not set(many[1:]) & set(Views(1, drawn=5).of_image("bb", **size)[1:])


def test_without_colour_hue_and_saturation_stay_and_nothing_else_changes() -> None:
    size = {"width_px": WIDE, "height_px": HIGH}
    coloured, grey = (Views(1, drawn=30, colour=on).of_image("aa", **size)[1:] for on in (True, False))
    assert grey == [replace(view, saturation=1.0, hue_deg=0.0, blue=0.0) for view in coloured]
    assert any(view.dusk for view in grey)
    assert grey != coloured


def test_stronger_views_go_farther_from_the_picture() -> None:
    weak, strong = (drawn_views(30, strength=strength) for strength in (0.1, 1.0))

    def most(views: list[View], name: str) -> float:
        return max(abs(getattr(view, name) - getattr(PLAIN, name)) for view in views)

    names = ("brightness", "contrast", "saturation", "hue_deg", "dusk", "blur")
    assert all(0 < most(weak, name) < most(strong, name) for name in names)


def test_dusk_is_darker_bluer_and_noisy() -> None:
    grey = np.full((40, 40, 3), 160, np.uint8)
    dusk = relit(grey, View((0, 0, 40, 40), dusk=0.8, blue=0.8, noise_seed=1)).astype(float)
    red, green, blue = dusk.mean((0, 1))
    assert red < green < blue < 160
    assert dusk.std((0, 1)).min() > 3
    assert (relit(grey, View((0, 0, 40, 40), blur=0.05)) == grey).all()  # nothing to smear, and no light lost


def test_turned_hue_leaves_grey_alone_and_a_whole_turn_changes_nothing() -> None:
    grey = np.full((4, 4, 3), 90, np.uint8)
    colours = np.random.default_rng(0).integers(0, 255, (8, 8, 3)).astype(np.uint8)
    assert np.abs(relit(grey, View(hue_deg=40.0)).astype(int) - 90).max() <= 1
    assert np.abs(relit(colours, View(hue_deg=360.0)).astype(int) - colours).max() <= 1
    assert (relit(colours, View(hue_deg=40.0)) != colours).any()


def test_every_number_of_a_view_is_in_the_name_of_its_file() -> None:
    """Or features of weaker views would be taken for those of stronger ones."""
    base = View((1, 2, 30, 20), True, 1.1, 0.9, 1.2, 3.0, 0.4, 0.4, 0.002, 7)
    other = View((1, 2, 30, 21), False, 1.2, 0.8, 1.1, 4.0, 0.5, 0.5, 0.003, 8)
    keys = {base.key} | {replace(base, **{one.name: getattr(other, one.name)}).key for one in fields(View)}
    assert len(keys) == 1 + len(fields(View))
    assert (PLAIN.key, MIRRORED.key) == ("", "-mirrored")  # as before there were drawn ones


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    torch.set_num_threads(1)
    return load_model(tiny_model(tmp_path_factory.mktemp("model")), device=torch.device("cpu"))


def test_view_s_features_are_those_of_the_picture_that_it_shows(model: Model, tmp_path: Path) -> None:
    """The parts cut out by hand and stored as pictures of their own; light as it is, for these are stored unsquared."""
    picture = np.random.default_rng(1).integers(0, 255, (HIGH, WIDE, 3)).astype(np.uint8)
    inside, beyond = View((5, 3, 30, 20), mirrored=True), View((-4, 0, WIDE + 4, HIGH))
    framed = np.full((HIGH, WIDE + 4, 3), GROUND, np.uint8)
    framed[:, 4:] = picture
    by_hand = (picture[3:23, 5:35][:, ::-1], framed)
    image, *parts = (store_image(tmp_path / "images", one) for one in (picture, *by_hand))
    features = FeatureStore(model, tmp_path / "images", tmp_path / "features")
    assert torch.equal(features.tokens([image, image], [inside, beyond]), features.tokens(parts))


def test_images_views_are_encoded_once_and_read_ahead(model: Model, tmp_path: Path) -> None:
    image = store_image(
        tmp_path / "images", np.random.default_rng(1).integers(0, 255, (HIGH, WIDE, 3)).astype(np.uint8)
    )
    views = Views(0, drawn=3, mirror=True).of_image(image, width_px=WIDE, height_px=HIGH)
    first = FeatureStore(model, tmp_path / "images", tmp_path / "features")
    first.prepare([image], views=[(image, view) for view in views])
    assert first.encoded == 5
    again = FeatureStore(model, tmp_path / "images", tmp_path / "features", memory_mib=0)
    again.prepare([image], views=[(image, view) for view in views])
    again.read_ahead([image] * 5, views)
    assert torch.equal(again.tokens([image] * 5, views), first.tokens([image] * 5, views))
    assert again.encoded == 0
    assert again.size_px(image) == (WIDE, HIGH)
    stronger = Views(0, drawn=3, mirror=True, strength=0.6).of_image(image, width_px=WIDE, height_px=HIGH)
    assert len(again.missing([(image, view) for view in stronger])) == 3
