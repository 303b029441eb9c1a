"""Images from strangers: cases I01 to I07 of the plan of faults, and the inputs i01 to i07 that went wrong."""

import io
import json
import os
import struct
import time
import unicodedata
import zlib
from pathlib import Path

import numpy as np
import pytest
from django.conf import settings
from django.urls import reverse
from PIL import Image as PillowImage
from PIL import PngImagePlugin

from annotator.common.errors import ImportRefusedError
from annotator.data.decoders import Decoder
from annotator.data.export_pictures import upright_bytes
from annotator.data.formats.records import UniqueNames
from annotator.data.image_files import image_path
from annotator.data.image_store import StoredFile, image_add, image_file_store
from annotator.data.previews import preview_path
from annotator.data.renderings import full_picture
from annotator.models import Image, Pair
from tests import factories
from toolbox.pixels import IMAGE_ENDINGS, pixels_read

LIMIT = 100_000_000


@pytest.fixture
def incoming() -> Path:
    """Where files lie while they are looked at, without what a test that killed a process left there."""
    folder = settings.IMAGES_DIR / "incoming"
    for left in folder.glob("*"):
        left.unlink()
    return folder


def _store(data: bytes) -> StoredFile:
    return image_file_store(stream=io.BytesIO(data))


def _saved(image: PillowImage.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def _turned(orientation: int) -> PillowImage.Exif:
    exif = PillowImage.Exif()
    exif[0x0112] = orientation
    return exif


def _ramp() -> np.ndarray:
    """Large forms, so that what a preview loses by its compression does not matter."""
    across, down = np.meshgrid(np.linspace(0, 200, 90), np.linspace(0, 55, 60))
    return np.stack([across + down, 255 - across, down * 4], axis=-1).astype(np.uint8)


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _huge_png(side: int) -> bytes:
    """A one-bit PNG of side x side white pixels, small as a file."""
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    rows = zlib.compress(b"\x00" * ((side // 8 + 1) * side), 9)
    return b"\x89PNG\r\n\x1a\n" + _png_chunk(b"IHDR", header) + _png_chunk(b"IDAT", rows) + _png_chunk(b"IEND", b"")


@pytest.mark.parametrize(("orientation", "size"), [(n, (9, 5) if n < 5 else (5, 9)) for n in range(1, 9)])
def test_I05_size_is_the_one_after_the_exif_transpose(orientation, size):
    exif = PillowImage.Exif()
    exif[0x0112] = orientation
    stored = _store(_saved(PillowImage.new("RGB", (9, 5)), "JPEG", exif=exif))
    assert (stored.width, stored.height) == size


@pytest.mark.parametrize("mode", ["CMYK", "L", "1"])
def test_I05_unusual_pixels_are_taken(mode):
    assert _store(_saved(PillowImage.new(mode, (7, 3)), "TIFF")).width == 7


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("empty", b"", "empty"),
        ("one byte", b"\xff", "no image"),
        ("html", b"<html><script>alert(1)</script>", "no image"),
        ("svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no image"),
        ("gif", _saved(PillowImage.new("P", (4, 4)), "GIF"), "no image"),
        ("sound", b"RIFF\x24\x00\x00\x00WAVEfmt ", "no image"),
        ("half a JPEG", factories.image_bytes(64, 64, seed=1, kind="JPEG")[:1500], "damaged"),
        ("half a PNG", factories.image_bytes(64, 64, seed=1)[:3000], "damaged"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 12 else "",
)
def test_I01_I04_what_is_no_whole_image_is_refused_in_words(name, data, reason, incoming):
    with pytest.raises(ImportRefusedError, match=reason):
        _store(data)
    assert list(incoming.glob("*")) == []


@pytest.mark.parametrize("side", [13_000, 30_000])
def test_I02_pixel_flood_is_refused_before_it_is_decoded(side):
    with pytest.raises(ImportRefusedError, match="ROOST_MAX_IMAGE_PIXELS"):
        _store(_huge_png(side))


def _peak_mib(pid: int) -> float:
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="a process's peak is read from /proc (Linux)")
@pytest.mark.parametrize("side", [13_000, 30_000])
def test_I02_pixel_flood_costs_the_decoding_child_and_us_no_memory(tmp_path, side):
    """Decoded, 30,000 x 30,000 pixels would be 112 MB at a bit each and 2.7 GB as RGB."""
    small, flood = tmp_path / "small.png", tmp_path / "flood.png"
    small.write_bytes(factories.image_bytes())
    flood.write_bytes(_huge_png(side))
    decoder = Decoder()
    try:
        assert "refused" not in decoder.probe(small)
        child, ours = decoder.child, _peak_mib(os.getpid())
        before = _peak_mib(child.pid)
        assert "ROOST_MAX_IMAGE_PIXELS" in decoder.probe(flood)["refused"]
        assert decoder.child is child  # it lives: nothing had to be killed
        assert _peak_mib(child.pid) - before < 50
        assert _peak_mib(os.getpid()) - ours < 50
    finally:
        decoder.stop()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="a process's peak is read from /proc (Linux)")
def test_I02_largest_picture_that_is_allowed_stays_within_the_child_s_leash(tmp_path):
    """10,000 x 10,000 pixels, the bound itself: 300 MB as RGB. The child may take 2 GiB."""
    path = tmp_path / "large.png"
    path.write_bytes(_saved(PillowImage.new("1", (10_000, 10_000), 1), "PNG"))
    decoder = Decoder()
    try:
        assert (decoder.probe(path)["width"], decoder.child is not None) == (10_000, True)
        assert 300 < _peak_mib(decoder.child.pid) < 2048
    finally:
        decoder.stop()


def test_I03_text_bomb_in_a_png_is_refused():
    bomb = PngImagePlugin.PngInfo()
    for number in range(80):
        bomb.add_text(f"k{number}", "x" * 1_000_000, zip=True)
    with pytest.raises(ImportRefusedError, match="text is larger"):
        _store(_saved(PillowImage.new("RGB", (2, 2)), "PNG", pnginfo=bomb))


def test_I03_animation_counts_as_its_first_frame():
    frames = [PillowImage.new("RGB", (6, 4), (shade, 0, 0)) for shade in range(0, 200, 20)]
    stored = _store(_saved(frames[0], "WEBP", save_all=True, append_images=frames[1:]))
    assert (stored.width, stored.height) == (6, 4)


def test_I07_same_bytes_again_are_the_same_row(barn):
    data = factories.image_bytes()
    first, _ = image_add(project=barn.project, stream=io.BytesIO(data), name="a.png")
    again, is_new = image_add(project=barn.project, stream=io.BytesIO(data), name="b.png")
    assert (again.pk, is_new) == (first.pk, False)
    assert Image.objects.count() == Pair.objects.count() == 1


def test_I07_same_name_with_other_content_is_a_second_image(barn):
    for _ in range(2):
        image_add(project=barn.project, stream=io.BytesIO(factories.image_bytes()), name="a.png")
    assert Image.objects.filter(original_name="a.png").count() == 2


@pytest.mark.parametrize("name", ["../../etc/passwd", "a\nb\0c.png", "‮gnp.exe", "x" * 300, "-rf", ""])
def test_I06_hostile_name_is_only_ever_text(barn, name):
    image, _ = image_add(project=barn.project, stream=io.BytesIO(factories.image_bytes()), name=name)
    assert image.original_name.isprintable()
    assert 0 < len(image.original_name) <= 255
    assert image_path(image.sha256).is_relative_to(settings.IMAGES_DIR)


def test_I05_sixteen_bit_grey_is_taken():
    pixels = np.arange(600, dtype=np.uint16).reshape(20, 30)
    assert _store(_saved(PillowImage.fromarray(pixels), "PNG")).height == 20


def test_I03_many_text_chunks_do_not_take_long():
    text = PngImagePlugin.PngInfo()
    for number in range(100_000):
        text.add_text(f"k{number}", "x")
    started = time.monotonic()
    assert _store(_saved(PillowImage.new("RGB", (9, 5)), "PNG", pnginfo=text)).width == 9
    assert time.monotonic() - started < 20


@pytest.mark.parametrize("tail", [b"<html><script>alert(1)</script>", b"PK\x03\x04", b"%PDF-1.7"])
def test_I04_polyglot_is_stored_and_sent_as_the_image_that_it_is(barn, signed_in, tail):
    data = factories.image_bytes(9, 5, kind="JPEG") + tail
    image, _ = image_add(project=barn.project, stream=io.BytesIO(data), name="page.html")
    answer = signed_in(barn.annotator).get(reverse("media", args=[barn.project.slug, image.sha256]))
    assert answer["Content-Type"] == "image/jpeg"
    assert answer["X-Content-Type-Options"] == "nosniff"


def test_I05_preview_has_no_exif_and_a_broken_profile_is_ignored():
    exif = _turned(6)
    exif.get_ifd(0x8825)[1] = "N"  # where it was taken
    stored = _store(_saved(PillowImage.fromarray(_ramp()), "JPEG", exif=exif, icc_profile=b"no profile"))
    with PillowImage.open(preview_path(stored.sha256, side_px=320)) as preview:
        assert (dict(preview.getexif()), preview.size) == ({}, (60, 90))


@pytest.mark.parametrize("size", [(1, 1), (1, 20_000), (20_000, 1)])
def test_I05_thin_pictures_are_taken_and_previewed(size):
    stored = _store(_saved(PillowImage.new("RGB", size), "PNG"))
    assert (stored.width, stored.height) == size
    with PillowImage.open(preview_path(stored.sha256, side_px=320)) as preview:
        assert max(preview.size) <= 320


GREY = (np.arange(5400, dtype=np.uint16) * 12).reshape(60, 90)
SEEN = {
    "MPO": _saved(PillowImage.fromarray(_ramp()), "MPO", save_all=True, append_images=[PillowImage.new("RGB", (9, 9))]),
    "turned JPEG": _saved(PillowImage.fromarray(_ramp()), "JPEG", exif=_turned(6)),
    "turned WebP": _saved(PillowImage.fromarray(_ramp()), "WEBP", exif=_turned(8), lossless=True),
    "turned PNG": _saved(PillowImage.fromarray(_ramp()), "PNG", exif=_turned(3)),
    "turned TIFF": _saved(PillowImage.fromarray(_ramp()), "TIFF", exif=_turned(6)),
    "16 bit PNG": _saved(PillowImage.fromarray(GREY), "PNG"),
    "12 bit TIFF": _saved(PillowImage.fromarray(GREY // 16), "TIFF"),
    "float TIFF": _saved(PillowImage.fromarray(GREY.astype(np.float32) / 64_788), "TIFF"),
    "CMYK": _saved(PillowImage.fromarray(_ramp()).convert("CMYK"), "JPEG"),
    "palette": _saved(PillowImage.fromarray(_ramp()).convert("P"), "PNG"),
    "no end": _saved(PillowImage.fromarray(_ramp()), "JPEG")[:-2],
}


@pytest.mark.parametrize("kind", SEEN)
def test_I05_people_and_model_see_the_same_pixels(kind):
    """The model's side is toolbox.pixels.pixels_read as well: tests/backend/test_images.py."""
    stored = _store(SEEN[kind])
    model = pixels_read(SEEN[kind], max_pixels=LIMIT)
    assert model.shape == (stored.height, stored.width, 3)
    assert 40 < model.mean() < 215
    with PillowImage.open(preview_path(stored.sha256, side_px=320)) as preview:
        # In large, for a preview is compressed.
        seen, meant = (picture.convert("RGB").reduce(10) for picture in (preview, PillowImage.fromarray(model)))
    assert np.abs(np.asarray(seen).astype(int) - np.asarray(meant)).max() < 12
    path, media_type = full_picture(stored.sha256)
    assert (media_type == "") == (kind in ("MPO", "turned JPEG", "palette", "no end"))
    assert (pixels_read(path, max_pixels=LIMIT) == model).all()


@pytest.mark.parametrize("kind", SEEN)
def test_I05_exported_picture_is_upright_and_says_nothing_of_turning(kind):
    stored = _store(SEEN[kind])
    upright = upright_bytes(image_path(stored.sha256))
    assert (upright is not None) == kind.startswith("turned")  # else the file itself goes out, byte for byte
    if upright is None:
        return
    with PillowImage.open(io.BytesIO(upright)) as picture:
        assert (picture.size, picture.getexif().get(0x0112, 1)) == ((stored.width, stored.height), 1)
    model = pixels_read(SEEN[kind], max_pixels=LIMIT)
    assert np.abs(pixels_read(upright, max_pixels=LIMIT).astype(int) - model).mean() < (2 if "JPEG" in kind else 0.1)


def test_I05_desk_is_sent_a_turned_webp_upright_and_its_bytes_when_asked(barn, signed_in):
    data = SEEN["turned WebP"]
    image, _ = image_add(project=barn.project, stream=io.BytesIO(data), name="a.webp")
    address, browser = reverse("media", args=[barn.project.slug, image.sha256]), signed_in(barn.annotator)
    whole, original = browser.get(address), browser.get(address, {"original": 1})
    assert whole["Content-Type"] == "image/png"
    seen = pixels_read(b"".join(whole.streaming_content), max_pixels=LIMIT)
    assert (seen == pixels_read(data, max_pixels=LIMIT)).all()
    assert (original["Content-Type"], b"".join(original.streaming_content)) == ("image/webp", data)
    assert whole["ETag"] != original["ETag"]


def test_I05_picture_that_cannot_be_drawn_is_told_of_and_is_no_fault_of_the_server(barn, signed_in):
    image = factories.make_image(barn.project)
    image_path(image.sha256).write_bytes(b"no image any more")
    address = reverse("media", args=[barn.project.slug, image.sha256])
    for query in ({}, {"preview": 320}):
        answer = signed_in(barn.annotator).get(address, query)
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "unreadable_image")
        assert image.original_name in json.loads(answer.content)["error"]["message"]


def test_I06_twins_in_composed_and_decomposed_letters_are_two_images_with_names_of_their_own_in_exports(barn):
    for form in ("NFC", "NFD"):
        stream = io.BytesIO(factories.image_bytes())
        image_add(project=barn.project, stream=stream, name=unicodedata.normalize(form, "Hühner.png"))
    names = [image.original_name for image in barn.project.images.all()]
    assert names == [unicodedata.normalize("NFC", "Hühner.png")] * 2
    given = UniqueNames()
    assert len({given.taken(name) for name in names}) == 2


@pytest.mark.parametrize("ending", [".jfif", ".jpe", ".JPG", ".mpo", ".dib"])
def test_I06_every_common_ending_of_an_image_is_known(ending):
    assert f"photo{ending}".lower().endswith(IMAGE_ENDINGS)
