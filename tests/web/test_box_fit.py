"""Whether a mask is that of its box, and whether an answer is still the box; numbers by hand, no model."""

import pytest

from annotator.common.errors import RoostError
from annotator.common.instances import boxes_refused
from annotator.data.box_drawing import mask_fits
from tests import factories


def test_mask_that_fills_its_box_is_a_mask():
    """A door, say: the model rightly draws the box's own pixels."""
    box = factories.box_rle()
    drawn = {**factories.make_instance(box), "origin": "box", "sketch": box}
    boxes_refused([factories.make_instance(box)], boxes=[drawn])
    with pytest.raises(RoostError, match="still the imported box"):
        boxes_refused([factories.make_instance(box)], boxes=[{**drawn, "mask": factories.box_rle(3, 3, 8, 9)}])


def test_fit_is_the_overlap_of_the_two_boxes():
    box = (2, 2, 12, 12)  # 100 px
    assert mask_fits(factories.box_rle(2, 2, 12, 7), box)  # 50 of 100
    assert not mask_fits(factories.box_rle(2, 2, 12, 6), box)  # 40 of 100
    assert not mask_fits(factories.box_rle(0, 0, 16, 16), box)  # 100 of 256
    assert not mask_fits(factories.box_rle(0, 0, 0, 0), box)
