"""One reading of a picture's pixels, for people and models alike: previews, the desk, the ML backend and exports.

The first frame, turned as EXIF says, 8-bit RGB. Every other depth comes to it by one rule (`_grey_of_16_bits`,
`_grey_stretched`); palettes, alpha and CMYK as Pillow converts them, colour profiles left aside. Why so:
docs/decisions/0017-one-reading-of-pixels.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin, UnidentifiedImageError

MEDIA_TYPES = {
    "JPEG": "image/jpeg",
    "MPO": "image/jpeg",  # several JPEGs in a row, of which all but phones and drones show the first
    "PNG": "image/png",
    "WEBP": "image/webp",
    "BMP": "image/bmp",
    "TIFF": "image/tiff",
}
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
# How files of these formats are named; in lower case.
IMAGE_ENDINGS = (".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".mpo", ".png", ".webp", ".bmp", ".dib", ".tif", ".tiff")
MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF", b"BM", b"II*\x00", b"MM\x00*")

ROWS_AT_ONCE = 256  # 2 to 4 ms for 8000 columns, in which nothing else of this process runs
ORIENTATION, EXIF_IFD, NO_DATA = 0x0112, 0x8769, 42113
TAKEN, TAKEN_OFFSET, ANY_OFFSET = 0x9003, 0x9011, 0x9010
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
WHITES = (255, 1023, 4095, 16_383, 65_535)  # of 8, 10, 12, 14 and 16 bits, which is what sensors have
NO_NUMBER = 1e30  # maps are filled up with -3.4e38 and the like
SAMPLED = 1_000_000
LOOK_SIDE = 32
SHOWN_MODES = {"1", "L", "P", "RGB"}

# Editors write megabytes of XMP into a PNG. All texts of a file together stay bounded by MAX_TEXT_MEMORY, 64 MB.
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY


class PixelsError(Exception):
    """The bytes are no picture that is read; the text says why and begins with «it»."""


@contextmanager
def picture_opened(source: Path | bytes, *, max_pixels: int, at_least_px: int = 0) -> Iterator[Image.Image]:
    """The decoded first frame as it lies in the file; PixelsError. The size is checked before any pixel is made.

    `at_least_px`: a JPEG may come smaller by 2, 4 or 8, with no side below that: previews are drawn faster so.
    """
    image = _decoded(source, max_pixels, at_least_px)
    try:
        yield image
    finally:
        image.close()


def pixels_read(source: Path | bytes, *, max_pixels: int) -> np.ndarray:
    """RGB uint8 (H, W, 3), upright; PixelsError."""
    with picture_opened(source, max_pixels=max_pixels) as image:
        return array_of(rgb_upright(image))


def rgb_upright(image: Image.Image) -> Image.Image:
    """Without a copy that is not needed: each takes 0.1 s of 48 megapixels, and stops every other thread meanwhile."""
    grey = _eight_bits(image)
    turn = TURNS.get(orientation_of(image))
    turned = grey.transpose(turn) if turn is not None else grey
    return turned if turned.mode == "RGB" else _converted(turned)


def size_upright(image: Image.Image) -> tuple[int, int]:
    """Width and height of a decoded picture once it is turned."""
    return (image.height, image.width) if orientation_of(image) >= 5 else image.size


def orientation_of(image: Image.Image) -> int:
    """1 to 8 as EXIF, or else XMP, says; 1 for all that is no such number. A TIFF is turned while it is decoded."""
    try:
        said = image.getexif().get(ORIENTATION)
    except Exception:  # what is no EXIF after all says nothing
        return 1
    return said if isinstance(said, int) and said in TURNS else 1


def array_of(image: Image.Image) -> np.ndarray:
    """An RGB image as (H, W, 3), in strips, so that other threads get their turn."""
    pixels_HWC = np.empty((image.height, image.width, 3), np.uint8)
    for top in range(0, image.height, ROWS_AT_ONCE):
        strip = image.crop((0, top, image.width, min(top + ROWS_AT_ONCE, image.height)))
        pixels_HWC[top : top + ROWS_AT_ONCE] = np.asarray(strip)
    return pixels_HWC


def is_shown_alike(image: Image.Image) -> bool:
    """Whether a browser that is sent the file itself shows the pixels of `rgb_upright`.

    Browsers turn JPEG by its EXIF, by nothing else and nothing else; they lay what is transparent on their own ground,
    play animations, show the upper 8 of 16 bits and no TIFF.
    """
    if image.format == "TIFF" or image.mode not in SHOWN_MODES or image.has_transparency_data:
        return False
    if image.format in ("JPEG", "MPO"):
        return orientation_of(image) == _orientation_by_exif(image)
    return orientation_of(image) == 1 and not getattr(image, "is_animated", False)


def small(image: Image.Image) -> np.ndarray:
    """A decoded picture upright at 32 x 32 px, for `look_of`: cheap also where the picture is large."""
    grey = _eight_bits(image)
    if grey.mode in ("1", "P", "PA"):  # palettes can't be averaged
        grey = _converted(grey)
    tiny = _converted(grey.resize((LOOK_SIDE, LOOK_SIDE), Image.Resampling.BOX))
    turn = TURNS.get(orientation_of(image))
    return np.asarray(tiny if turn is None else tiny.transpose(turn))


def captured_at(image: Image.Image) -> datetime | None:
    """When the camera took it, by EXIF; in UTC where the file names no offset, though the camera may have meant
    another clock. None where it says nothing that is a time."""
    try:
        ifd = image.getexif().get_ifd(EXIF_IFD)
        taken = datetime.strptime(_text(ifd.get(TAKEN)), "%Y:%m:%d %H:%M:%S").replace(tzinfo=UTC)
        offset = _text(ifd.get(TAKEN_OFFSET)) or _text(ifd.get(ANY_OFFSET))
    except Exception:  # ValueError, and what Pillow raises on EXIF that is none
        return None
    try:
        return datetime.strptime(f"{taken:%Y-%m-%d %H:%M:%S}{offset}", "%Y-%m-%d %H:%M:%S%z")
    except ValueError:
        return taken


def _text(value: Any) -> str:
    return str(value).strip(" \0") if value else ""


def _decoded(source: Path | bytes, max_pixels: int, at_least_px: int) -> Image.Image:
    try:
        return _loaded(source, max_pixels, at_least_px)
    except PixelsError:
        raise
    except UnidentifiedImageError:
        raise PixelsError(f"it is no image that can be read: none of {', '.join(FORMATS)}") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PixelsError(f"it is too large ({error})") from None
    except MemoryError:
        raise PixelsError("it would take too much memory to decode") from None
    except Exception as error:  # Pillow's decoders raise nearly anything on hostile files
        raise PixelsError(_words(error)) from None


def _words(error: Exception) -> str:
    if "truncated" in str(error).lower():
        return "it is damaged: its end is missing; copy it again from where it came from"
    if "text" in str(error).lower():
        return f"its text is larger than the {PngImagePlugin.MAX_TEXT_MEMORY // 2**20} MB that fit into memory"
    return f"it is damaged ({type(error).__name__}: {error})"


def _loaded(source: Path | bytes, max_pixels: int, at_least_px: int) -> Image.Image:
    image = Image.open(source if isinstance(source, Path) else BytesIO(source), formats=FORMATS)
    try:
        if image.width * image.height > max_pixels:
            raise PixelsError(
                f"it has {image.width} x {image.height} pixels, more than the {max_pixels} that "
                "ROOST_MAX_IMAGE_PIXELS allows"
            )
        if at_least_px:
            image.draft("RGB", (at_least_px, at_least_px))
        try:
            image.load()
        except OSError:
            if image.format not in ("JPEG", "MPO"):
                raise
            whole = _without_end_marker(source)
            if whole is None:
                raise
            image.close()
            return whole
        return image
    except BaseException:
        image.close()
        raise


def _without_end_marker(source: Path | bytes) -> Image.Image | None:
    """A JPEG that has all its pixels and only lacks its end, as some cameras write it; None when more is lost.

    A decoder fills up silently what a cut file lacks. So it is decoded twice, once with chance bytes before the end:
    pixels that were missing come out differently, and pixels that were there do not.
    """
    data = (source.read_bytes() if isinstance(source, Path) else source).rstrip(b"\xff")
    chance = np.random.default_rng(0).integers(1, 255, 4096, dtype=np.uint8).tobytes()
    # Restart markers among them, or a picture cut just before one would be filled up alike both times.
    bits = b"".join(chance[at : at + 64] + bytes([0xFF, 0xD0 + at // 64 % 8]) for at in range(0, len(chance), 64))
    one, other = (_opened_jpeg(data + filling + b"\xff\xd9") for filling in (b"", bits))
    return one if one.tobytes() == other.tobytes() else None


def _opened_jpeg(data: bytes) -> Image.Image:
    image = Image.open(BytesIO(data), formats=("JPEG",))
    image.load()
    return image


def _orientation_by_exif(image: Image.Image) -> int:
    """As `orientation_of`, by the EXIF block alone."""
    exif = Image.Exif()
    try:
        exif.load(image.info.get("exif", b""))
    except Exception:
        return 1
    said = exif.get(ORIENTATION)
    return said if isinstance(said, int) and said in TURNS else 1


def _converted(image: Image.Image) -> Image.Image:
    try:
        return image.convert("RGB")
    except ValueError:
        raise PixelsError(f"it has colours of the kind {image.mode}, which can't be shown; save it as RGB") from None


def _eight_bits(image: Image.Image) -> Image.Image:
    """A picture of more than 8 bits a colour as grey of 8; any other as it is."""
    if not image.mode.startswith(("I", "F")):
        return image
    values = np.asarray(image)
    if values.dtype.kind != "f" and values.min() >= 0 and values.max() <= WHITES[-1]:
        return Image.fromarray(_grey_of_16_bits(values))
    return Image.fromarray(_grey_stretched(values, _no_data(image)))


def _grey_of_16_bits(values: np.ndarray) -> np.ndarray:
    """White is the most that the smallest of 8, 10, 12, 14 or 16 bits holds which hold the picture's largest value.

    So a 12-bit camera's pictures are not nearly black, and pictures of one camera stay as bright as they were taken.
    """
    white = next(white for white in WHITES if white >= values.max())
    table = (np.arange(65_536, dtype=np.int64).clip(0, white) * 255 // white).astype(np.uint8)
    return table[values.astype(np.uint16, copy=False)]


def _grey_stretched(values: np.ndarray, no_data: float | None) -> np.ndarray:
    """Black is what 0.1 % of the numbers lie below, white what 0.1 % lie above; black is also what is no number."""
    is_number = np.isfinite(values) & (np.abs(values) < NO_NUMBER)
    if no_data is not None:
        is_number &= values != no_data
    known = values[is_number]
    if not known.size:
        raise PixelsError("it has no number in any of its pixels")
    low, high = np.percentile(known[:: max(known.size // SAMPLED, 1)].astype(np.float64), (0.1, 99.9))
    if low == high:
        low, high = float(known.min()), float(known.max())
    scale = 255 / (high - low) if high > low else 0.0
    return (np.where(is_number, values, low).clip(low, high).astype(np.float64) * scale - low * scale).astype(np.uint8)


def _no_data(image: Image.Image) -> float | None:
    """What a GeoTIFF writes where it has measured nothing."""
    try:
        return float(_text(getattr(image, "tag_v2", {}).get(NO_DATA)))
    except ValueError:
        return None
