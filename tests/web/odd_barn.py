"""A project of what formats get wrong: parts, holes, one pixel, the picture's border, a turned photograph, negatives,
a pair that is not outlined completely, one that nobody looked at, two pictures of one name, a name with an umlaut."""

import io
from typing import Any

import numpy as np
from PIL import Image as PillowImage
from scipy.ndimage import gaussian_filter

from annotator.common.masks import encode_mask
from annotator.data.image_store import image_add
from annotator.models import Image, Project
from tests import factories
from tests.factories import Barn

SIDE_PX = 96
TURNED, TURNED_PX = "turned.jpg", (64, 96)  # upright, (width, height)


def blob(seed: int) -> np.ndarray:
    """Several parts, with holes, up to the border."""
    return gaussian_filter(np.random.default_rng(seed).random((SIDE_PX, SIDE_PX)), 4) > 0.505


def fill_oddly(barn: Barn) -> Barn:
    """Two concepts, five pictures."""
    duck = factories.make_concept(barn.project, "duck")
    disc = np.hypot(*np.mgrid[-40:56, -44:52]) < 30
    first, second = _image(barn.project, "train", "a.png"), _image(barn.project, "val", "a.png")
    third, fourth = _image(barn.project, "train", "ü b.png"), _image(barn.project, "holdout", "d.png")
    turned = _turned(barn.project)

    def pair(concept: Any, image: Image, *masks: np.ndarray, **fields: Any) -> None:
        instances = [factories.make_instance(encode_mask(mask)) for mask in masks]
        factories.make_pair(barn.project, concept, image, instances=instances, **fields)

    pair(barn.chicken, first, disc, blob(1), truth="present")
    pair(duck, first, truth="absent")
    pair(barn.chicken, second, truth="absent")
    pair(duck, second, truth="absent")
    pair(barn.chicken, third, blob(2), truth="present", is_exhaustive=False)
    pair(duck, third, disc, truth="present")
    pair(barn.chicken, fourth, truth="absent")
    pair(duck, fourth)
    pair(barn.chicken, turned, _at_the_border(), _one_pixel(), truth="present")
    pair(duck, turned, truth="absent")
    return barn


def _image(project: Project, split: str, name: str) -> Image:
    return factories.make_image(project, width=SIDE_PX, height=SIDE_PX, split=split, original_name=name)


def _turned(project: Project) -> Image:
    """Lies on its side in the file; EXIF turns it."""
    exif, buffer = PillowImage.Exif(), io.BytesIO()
    exif[0x0112] = 6
    pixels = np.random.default_rng(3).integers(0, 256, (*TURNED_PX, 3), dtype=np.uint8)
    PillowImage.fromarray(pixels).save(buffer, "JPEG", quality=95, exif=exif)
    buffer.seek(0)
    image, _ = image_add(project=project, stream=buffer, name=TURNED, split="train")
    assert (image.width, image.height) == TURNED_PX
    project.pairs.filter(image=image).delete()  # the caller makes them, with their truth
    return image


def _at_the_border() -> np.ndarray:
    """A frame around the whole picture: all four borders, and a hole."""
    mask = np.ones(TURNED_PX[::-1], dtype=bool)
    mask[5:-7, 3:-9] = False
    return mask


def _one_pixel() -> np.ndarray:
    mask = np.zeros(TURNED_PX[::-1], dtype=bool)
    mask[40, 30] = True
    return mask
