"""A pair's truth as the losses see it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from training import masks
from training.dataset import Instance, Pair
from training.targets import Targets
from training.views import MIRRORED


def pair(*shapes: np.ndarray) -> Pair:
    height, width = shapes[0].shape if shapes else (10, 20)
    instances = []
    for shape in shapes:
        rle = masks.encode_mask(shape)
        x, y, w, h = masks.box_xywh(rle)
        instances.append(Instance(rle, (x / width, y / height, (x + w) / width, (y + h) / height)))
    return Pair(1, "ab" * 32, "thing", width, height, tuple(instances))


def drawn(y: slice, x: slice, size: tuple[int, int] = (64, 128)) -> np.ndarray:
    mask = np.zeros(size, dtype=bool)
    mask[y, x] = True
    return mask


def test_masks_shrink_to_twice_the_logits_size() -> None:
    target = Targets(grid_size=4).of(pair(drawn(slice(0, 32), slice(64, 128))))
    assert target.masks_MHW.shape == (1, 32, 32)
    assert bool(target.masks_MHW[0, :16, 16:].all())
    assert int(target.masks_MHW.sum()) == 16 * 16


def test_whether_all_is_marked_reaches_the_losses() -> None:
    one = pair(drawn(slice(0, 32), slice(64, 128)))
    assert Targets(grid_size=4).of(one).is_exhaustive
    assert not Targets(grid_size=4).of(replace(one, is_exhaustive=False), MIRRORED).is_exhaustive


def test_box_and_mask_agree() -> None:
    target = Targets(grid_size=8).of(pair(drawn(slice(8, 40), slice(32, 96))))
    assert target.boxes_xyxy_M4[0].tolist() == pytest.approx([0.25, 0.125, 0.75, 0.625])
    rows, columns = target.masks_MHW[0].nonzero(as_tuple=True)
    assert (int(rows.min()), int(columns.min())) == (8, 16)


def test_object_too_thin_for_half_a_cell_is_not_lost() -> None:
    target = Targets(grid_size=2).of(pair(drawn(slice(3, 4), slice(0, 128))))
    assert int(target.masks_MHW.sum()) > 0


def test_mirrored_truth_is_the_truth_of_the_mirrored_picture() -> None:
    shape = drawn(slice(8, 40), slice(32, 80))
    mirrored = Targets(grid_size=8).of(pair(shape), MIRRORED)
    direct = Targets(grid_size=8).of(pair(np.ascontiguousarray(shape[:, ::-1])))
    assert torch.equal(mirrored.masks_MHW, direct.masks_MHW)
    assert torch.allclose(mirrored.boxes_xyxy_M4, direct.boxes_xyxy_M4)


def test_negative_has_no_boxes_and_no_masks() -> None:
    target = Targets(grid_size=4).of(pair())
    assert target.boxes_xyxy_M4.shape == (0, 4)
    assert len(target.masks_MHW) == 0


def test_second_reading_equals_the_first() -> None:
    targets, one = Targets(grid_size=4), pair(drawn(slice(5, 50), slice(9, 77)))
    assert torch.equal(targets.of(one).masks_MHW, targets.of(one).masks_MHW)
