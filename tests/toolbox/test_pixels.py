"""The one reading of pixels: depths, turns, ends, time and look. Expected values by hand or by numpy."""

import io
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter, PngImagePlugin, TiffImagePlugin

from toolbox.pixels import (
    PixelsError,
    captured_at,
    is_shown_alike,
    look_of,
    looks_apart,
    picture_opened,
    pixels_read,
    size_upright,
    small,
)

LIMIT = 1_000_000


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def noise(width: int = 80, height: int = 60, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def scene(seed: int, side: int = 240) -> Image.Image:
    """Blurred noise: large forms, as photographs have them."""
    small_noise = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    return Image.fromarray(small_noise).resize((side * 4 // 3, side), Image.Resampling.BICUBIC)


def turned_by(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def read(data: bytes) -> np.ndarray:
    return pixels_read(data, max_pixels=LIMIT)


def shown_alike(data: bytes) -> bool:
    with picture_opened(data, max_pixels=LIMIT) as image:
        return is_shown_alike(image)


@pytest.mark.parametrize(
    ("largest", "shown"), [(0, 0), (200, 200), (255, 255), (1023, 255), (4000, 249), (10_000, 155), (0x8000, 127)]
)
def test_grey_of_up_to_16_bits_is_white_at_the_most_that_its_bits_hold(largest, shown):
    grey = np.array([[0, largest]], dtype=np.uint16)
    for kind in ("PNG", "TIFF"):
        assert read(encoded(Image.fromarray(grey), kind))[0, 1].tolist() == [shown] * 3


def test_numbers_are_stretched_from_the_smallest_to_the_largest():
    values = np.linspace(-1, 1, 256, dtype=np.float32).reshape(16, 16)
    pixels = read(encoded(Image.fromarray(values), "TIFF"))[..., 0].ravel()
    assert np.abs(pixels.astype(int) - np.arange(256)).max() <= 1


def test_what_is_no_number_and_what_was_not_measured_is_black():
    values = np.linspace(0, 1, 4096, dtype=np.float32).reshape(64, 64)
    values[0, :3] = (np.nan, np.inf, -9999)
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[42113] = "-9999"
    pixels = read(encoded(Image.fromarray(values), "TIFF", tiffinfo=tags))[..., 0]
    assert pixels[0, :3].tolist() == [0, 0, 0]
    assert pixels.mean() == pytest.approx(127, abs=2)


def test_one_glowing_pixel_does_not_make_the_rest_black():
    values = np.linspace(0, 1, 10_000, dtype=np.float32).reshape(100, 100)
    values[50, 50] = 1e6
    assert read(encoded(Image.fromarray(values), "TIFF")).mean() == pytest.approx(127, abs=2)


def test_picture_without_any_number_is_refused_in_words():
    with pytest.raises(PixelsError, match="no number"):
        read(encoded(Image.fromarray(np.full((4, 4), np.nan, np.float32)), "TIFF"))


def test_negative_depths_are_stretched_and_not_clipped():
    values = np.linspace(-30_000, 30_000, 256).astype(np.int32).reshape(16, 16)
    pixels = read(encoded(Image.fromarray(values), "TIFF"))
    assert (pixels.min(), pixels.max()) == (0, 255)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_size_is_the_size_of_the_pixels(kind, orientation):
    data = encoded(Image.fromarray(noise()), kind, exif=turned_by(orientation))
    with picture_opened(data, max_pixels=LIMIT) as image:
        width, height = size_upright(image)
    assert read(data).shape == (height, width, 3)
    assert (width, height) == ((80, 60) if orientation < 5 else (60, 80))


def test_orientation_that_is_none_turns_nothing():
    for said in (0, 9, 700):
        assert read(encoded(Image.fromarray(noise()), "PNG", exif=turned_by(said))).shape == (60, 80, 3)


@pytest.mark.parametrize("cut", [1, 2])
def test_jpeg_that_only_lacks_its_end_has_all_its_pixels(cut):
    data = encoded(Image.fromarray(noise()), "JPEG")
    assert (read(data[:-cut]) == read(data)).all()


@pytest.mark.parametrize("options", [{}, {"restart_marker_blocks": 1}, {"progressive": True}])
@pytest.mark.parametrize("keep", [0.3, 0.5, 0.8, 0.95])
def test_jpeg_that_lacks_pixels_is_refused_and_not_filled_up(keep, options):
    data = encoded(Image.fromarray(noise()), "JPEG", **options)
    with pytest.raises(PixelsError, match="end is missing"):
        read(data[: int(len(data) * keep)])


def test_jpeg_cut_before_any_restart_marker_is_refused():
    data = encoded(Image.fromarray(noise(48, 32)), "JPEG", restart_marker_blocks=1)
    markers = [at for at in range(len(data)) if data[at] == 0xFF and 0xD0 <= data[at + 1] <= 0xD7]
    assert len(markers) == 5
    for at in markers:
        with pytest.raises(PixelsError, match="end is missing"):
            read(data[:at])


def test_dark_jpeg_cut_in_half_is_refused():
    pixels = noise()
    pixels[30:] = 0
    data = encoded(Image.fromarray(pixels), "JPEG")
    with pytest.raises(PixelsError, match="end is missing"):
        read(data[: len(data) - 20])


def test_two_megabytes_of_text_do_not_matter_and_a_bomb_of_text_is_told_as_one():
    image = Image.fromarray(noise())
    text, bomb = PngImagePlugin.PngInfo(), PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", "x" * 2_000_000, zip=True)
    for number in range(80):
        bomb.add_text(f"k{number}", "x" * 1_000_000, zip=True)
    assert (read(encoded(image, "PNG", pnginfo=text)) == noise()).all()
    with pytest.raises(PixelsError, match="text"):
        read(encoded(image, "PNG", pnginfo=bomb))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP"])
def test_plain_picture_is_shown_alike_by_browsers(kind):
    assert shown_alike(encoded(Image.fromarray(noise()), kind))


@pytest.mark.parametrize(
    ("image", "kind", "options"),
    [
        (Image.fromarray(noise()), "PNG", {"exif": turned_by(6)}),
        (Image.fromarray(noise()), "WEBP", {"exif": turned_by(3)}),
        (Image.fromarray(noise()), "TIFF", {}),
        (Image.new("CMYK", (4, 4)), "JPEG", {}),
        (Image.new("RGBA", (4, 4)), "PNG", {}),
        (Image.fromarray(np.zeros((4, 4), np.uint16)), "PNG", {}),
        (Image.fromarray(noise()), "WEBP", {"save_all": True, "append_images": [Image.fromarray(noise(seed=2))]}),
        (Image.fromarray(noise()), "PNG", {"save_all": True, "append_images": [Image.fromarray(noise(seed=2))]}),
        (Image.fromarray(noise()), "JPEG", {"xmp": b'<x tiff:Orientation="6"/>'}),
    ],
)
def test_what_browsers_show_otherwise_is_known(image, kind, options):
    assert not shown_alike(encoded(image, kind, **options))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_browsers_turn_a_jpeg_by_its_exif_themselves(orientation):
    assert shown_alike(encoded(Image.fromarray(noise()), "JPEG", exif=turned_by(orientation)))


def taken(**tags: str) -> datetime | None:
    exif = Image.Exif()
    exif.get_ifd(0x8769).update({int(tag[1:], 16): text for tag, text in tags.items()})
    with picture_opened(encoded(Image.fromarray(noise()), "JPEG", exif=exif), max_pixels=LIMIT) as image:
        return captured_at(image)


def test_time_of_the_camera_is_read_with_its_offset_and_as_utc_without():
    summer = timezone(timedelta(hours=2))
    assert taken(x9003="2024:07:01 12:30:15", x9011="+02:00") == datetime(2024, 7, 1, 12, 30, 15, tzinfo=summer)
    assert taken(x9003="2024:07:01 12:30:15", x9010="+02:00") == datetime(2024, 7, 1, 12, 30, 15, tzinfo=summer)
    assert taken(x9003="2024:07:01 12:30:15") == datetime(2024, 7, 1, 12, 30, 15, tzinfo=UTC)
    assert taken(x9003="2024:07:01 12:30:15", x9011="   :  ") == datetime(2024, 7, 1, 12, 30, 15, tzinfo=UTC)


@pytest.mark.parametrize("text", ["0000:00:00 00:00:00", "    :  :     :  :  ", "yesterday", "2024:02:31 00:00:00"])
def test_what_is_no_time_is_none(text):
    assert taken(x9003=text) is None


def test_no_exif_is_no_time():
    assert taken() is None


def test_one_scene_saved_anew_looks_alike_and_others_do_not():
    pictures = [scene(seed) for seed in range(12)]
    own = [look_of(np.asarray(picture)) for picture in pictures]
    for picture, look in zip(pictures, own, strict=True):
        for quality in (30, 60, 95):
            assert looks_apart(look, look_of(read(encoded(picture, "JPEG", quality=quality)))) <= 4
        assert looks_apart(look, look_of(np.asarray(picture.resize((160, 120))))) <= 4
        assert looks_apart(look, look_of(np.asarray(picture.filter(ImageFilter.GaussianBlur(1))))) <= 4
    assert min(looks_apart(one, other) for at, one in enumerate(own) for other in own[:at]) >= 14


def test_look_is_sixteen_hex_digits_also_of_one_colour():
    for pixels in (np.zeros((5, 7, 3), np.uint8), np.full((300, 20), 200, np.uint8)):
        assert len(look_of(pixels)) == 16
        assert int(look_of(pixels), 16) in (0, 1 << 63)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_look_is_that_of_the_upright_picture(orientation):
    """But for rounding, which the order of turning and shrinking changes."""
    data = encoded(scene(3), "PNG", exif=turned_by(orientation))
    with picture_opened(data, max_pixels=LIMIT) as image:
        assert looks_apart(look_of(small(image)), look_of(read(data))) <= 4


def test_ordinary_pictures_have_the_pixels_that_pillow_gives():
    """As before there was one reading: 8 bits through convert("RGB") alone."""
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA"):
        image = Image.fromarray(noise()).convert(mode)
        assert (read(encoded(image, "PNG")) == np.asarray(image.convert("RGB"))).all(), mode


def test_picture_of_a_path_is_read_like_its_bytes(tmp_path: Path):
    path = tmp_path / "a"
    path.write_bytes(encoded(Image.fromarray(noise()), "PNG"))
    assert (pixels_read(path, max_pixels=LIMIT) == noise()).all()
