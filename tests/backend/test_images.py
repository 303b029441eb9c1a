"""Reading images by content hash: what is decoded, and what is refused with a reason."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mlbackend.errors import ApiError
from mlbackend.store.images import ImageError, decode_image, read_image
from tests.backend.support import noisy_picture, png_bytes, store_bytes

LIMIT = 1_000_000


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_lossless_formats_give_their_pixels(kind: str) -> None:
    picture = noisy_picture(1)
    assert (decode_image(encoded(Image.fromarray(picture), kind), max_pixels=LIMIT) == picture).all()


@pytest.mark.parametrize(("width", "height"), [(3, 255), (5, 256), (7, 257), (2, 700)])
def test_tall_image_is_whole(width: int, height: int) -> None:
    picture = np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    assert (decode_image(encoded(Image.fromarray(picture), "PNG"), max_pixels=LIMIT) == picture).all()


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "LA", "1"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    kind = "TIFF" if mode == "CMYK" else "PNG"
    data = encoded(Image.fromarray(noisy_picture(1)).convert("RGB").convert(mode), kind)
    assert decode_image(data, max_pixels=LIMIT).shape == (120, 160, 3)


def test_sixteen_bit_grey_is_scaled_and_not_clipped() -> None:
    grey = np.full((4, 4), 0x8000, dtype=np.uint16)
    assert decode_image(encoded(Image.fromarray(grey), "PNG"), max_pixels=LIMIT).max() == 127


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    image = Image.fromarray(noisy_picture(1))
    exif = Image.Exif()
    exif[0x0112] = orientation
    decoded = decode_image(encoded(image, "PNG", exif=exif), max_pixels=LIMIT)
    turned = {
        1: image,
        2: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        3: image.rotate(180),
        4: image.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        5: image.transpose(Image.Transpose.TRANSPOSE),
        6: image.rotate(-90, expand=True),
        7: image.transpose(Image.Transpose.TRANSVERSE),
        8: image.rotate(90, expand=True),
    }[orientation]
    assert (decoded == np.asarray(turned)).all()


@pytest.mark.parametrize("keep", [10, 100, 0.5, 0.9])
def test_truncated_file_is_an_error_and_not_half_an_image(keep: float) -> None:
    data = png_bytes(noisy_picture(1, width=400, height=300))
    with pytest.raises(ImageError):
        decode_image(data[: int(keep if keep >= 1 else keep * len(data))], max_pixels=LIMIT)


def test_formats_outside_the_list_are_refused() -> None:
    with pytest.raises(ImageError, match="none of JPEG"):
        decode_image(encoded(Image.fromarray(noisy_picture(1)), "GIF"), max_pixels=LIMIT)


def test_size_is_checked_before_pixels_are_made() -> None:
    bomb = encoded(Image.new("1", (4_000, 4_000)), "PNG")
    with pytest.raises(ImageError, match="more than the 1000000"):
        decode_image(bomb, max_pixels=LIMIT)


def test_decompression_bomb_is_an_error() -> None:
    with pytest.raises(ImageError, match="too large"):
        decode_image(encoded(Image.new("1", (20_000, 20_000)), "PNG"), max_pixels=10**12)


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "A" * 64, "", "0" * 63])
def test_only_a_hash_names_an_image(tmp_path: Path, name: str) -> None:
    with pytest.raises(ApiError) as refusal:
        read_image(tmp_path, name, max_pixels=LIMIT)
    assert refusal.value.code == "absent_image"


def test_file_with_other_content_than_its_name_is_not_read(tmp_path: Path) -> None:
    sha256 = store_bytes(tmp_path, png_bytes(noisy_picture(1)))
    (tmp_path / "images" / sha256[:2] / sha256).write_bytes(png_bytes(noisy_picture(2)))
    with pytest.raises(ApiError, match="other content than its name"):
        read_image(tmp_path / "images", sha256, max_pixels=LIMIT)


def test_unreadable_image_says_why(tmp_path: Path) -> None:
    sha256 = store_bytes(tmp_path, b"<svg/>")
    with pytest.raises(ApiError) as refusal:
        read_image(tmp_path / "images", sha256, max_pixels=LIMIT)
    assert (refusal.value.status, refusal.value.code) == (422, "unreadable_image")
