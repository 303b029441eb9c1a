import contextlib
import hashlib
import io
import resource
import struct
import zlib
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from django.conf import settings
from PIL import Image as PillowImage
from PIL import PngImagePlugin

from annotator.common.errors import ImportRefusedError, RoostError
from annotator.data.decoders import decoders
from annotator.data.image_files import image_path
from annotator.data.image_store import StoredFile, image_add, image_file_store, image_files_store
from annotator.data.splits import holdout_draw, split_for
from annotator.models import Image, Pair
from tests import factories
from toolbox.look import look_of, looks_apart


@pytest.fixture
def incoming() -> Path:
    """Where files lie while they are looked at, without what a test that killed a process left there."""
    folder = settings.IMAGES_DIR / "incoming"
    for left in folder.glob("*"):
        left.unlink()
    return folder


def _store(data: bytes):
    return image_file_store(stream=io.BytesIO(data))


def _saved(image: PillowImage.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _huge_png(side: int) -> bytes:
    """A one-bit PNG of side x side white pixels, small as a file."""
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    rows = zlib.compress(b"\x00" * ((side // 8 + 1) * side), 9)
    return b"\x89PNG\r\n\x1a\n" + _png_chunk(b"IHDR", header) + _png_chunk(b"IDAT", rows) + _png_chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
def test_original_is_kept_byte_for_byte_under_its_hash(kind):
    data = factories.image_bytes(9, 5, kind=kind)
    stored = _store(data)
    assert stored.sha256 == hashlib.sha256(data).hexdigest()
    assert image_path(stored.sha256).read_bytes() == data
    assert (stored.width, stored.height, stored.media_type) == (9, 5, f"image/{kind.lower()}")


@pytest.mark.parametrize(("orientation", "size"), [(1, (9, 5)), (3, (9, 5)), (6, (5, 9)), (8, (5, 9))])
def test_size_is_the_one_after_the_exif_transpose(orientation, size):
    exif = PillowImage.Exif()
    exif[0x0112] = orientation
    stored = _store(_saved(PillowImage.new("RGB", (9, 5)), "JPEG", exif=exif))
    assert (stored.width, stored.height) == size


@pytest.mark.parametrize("mode", ["CMYK", "L", "1"])
def test_unusual_pixels_are_taken(mode):
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
def test_what_is_no_whole_image_is_refused_in_words(name, data, reason, incoming):
    with pytest.raises(ImportRefusedError, match=reason):
        _store(data)
    assert list(incoming.glob("*")) == []


@pytest.mark.parametrize("side", [13_000, 30_000])
def test_pixel_flood_is_refused_before_it_is_decoded(side):
    with pytest.raises(ImportRefusedError, match="ROOST_MAX_IMAGE_PIXELS"):
        _store(_huge_png(side))


def test_text_bomb_in_a_png_is_refused():
    bomb = PngImagePlugin.PngInfo()
    for number in range(80):
        bomb.add_text(f"k{number}", "x" * 1_000_000, zip=True)
    with pytest.raises(ImportRefusedError, match=r"damaged|memory"):
        _store(_saved(PillowImage.new("RGB", (2, 2)), "PNG", pnginfo=bomb))


def test_animation_counts_as_its_first_frame():
    frames = [PillowImage.new("RGB", (6, 4), (shade, 0, 0)) for shade in range(0, 200, 20)]
    stored = _store(_saved(frames[0], "WEBP", save_all=True, append_images=frames[1:]))
    assert (stored.width, stored.height) == (6, 4)


def test_full_disk_is_told_as_such_and_leaves_nothing(incoming):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(RoostError, match="no room left"):
            _store(factories.image_bytes(64, 64))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(incoming.glob("*")) == []


def test_decoding_child_knows_no_secret(monkeypatch):
    monkeypatch.setenv("ROOST_SECRET_KEY", "a secret")
    decoders.stop()
    _store(factories.image_bytes())
    child = next(decoder.child for decoder in decoders.all if decoder.child)
    environment = Path(f"/proc/{child.pid}/environ").read_bytes()
    assert b"a secret" not in environment


def test_decoder_that_was_killed_is_replaced_for_the_next_image():
    _store(factories.image_bytes())
    for decoder in decoders.all:
        if decoder.child:
            decoder.child.kill()
    assert _store(factories.image_bytes()).width == factories.SIZE_PX


def test_added_image_gets_an_unseen_pair_for_every_concept(barn):
    factories.make_concept(barn.project, "duck")
    image, is_new = image_add(project=barn.project, stream=io.BytesIO(factories.image_bytes()), name="a.png")
    assert is_new
    assert {(pair.concept.name, pair.truth) for pair in image.pairs.all()} == {
        ("chicken", "unseen"),
        ("duck", "unseen"),
    }


def test_same_bytes_again_are_the_same_row(barn):
    data = factories.image_bytes()
    first, _ = image_add(project=barn.project, stream=io.BytesIO(data), name="a.png")
    again, is_new = image_add(project=barn.project, stream=io.BytesIO(data), name="b.png")
    assert (again.pk, is_new) == (first.pk, False)
    assert Image.objects.count() == Pair.objects.count() == 1


def test_row_keeps_when_the_camera_took_it_and_what_it_looks_like(barn):
    exif = PillowImage.Exif()
    exif.get_ifd(0x8769).update({0x9003: "2024:07:01 12:30:15", 0x9011: "+02:00"})
    pixels = np.linspace(0, 255, 1200).astype(np.uint8).reshape(30, 40)
    data = _saved(PillowImage.fromarray(pixels), "JPEG", exif=exif)
    image, _ = image_add(project=barn.project, stream=io.BytesIO(data), name="a.jpg")
    image.refresh_from_db()
    assert image.captured_at == datetime(2024, 7, 1, 10, 30, 15, tzinfo=UTC)
    assert looks_apart(image.look, look_of(pixels)) <= 4


def test_many_files_are_stored_in_their_order_and_each_refusal_is_its_own(incoming):
    good = [factories.image_bytes(9, 5, seed=900 + number) for number in range(30)]
    files = [*good[:10], b"no image", factories.image_bytes(64, 64, seed=1)[:3000], *good[10:], good[0]]
    read = []
    stored = image_files_store(
        openers=[lambda data=data: contextlib.nullcontext(io.BytesIO(data)) for data in files], on_read=read.append
    )
    assert [isinstance(one, ImportRefusedError) for one in stored] == [False] * 10 + [True] * 2 + [False] * 21
    assert [one.sha256 for one in stored if isinstance(one, StoredFile)] == [
        hashlib.sha256(data).hexdigest() for data in [*good, good[0]]
    ]
    assert [one.is_new for one in stored if isinstance(one, StoredFile)] == [True] * 30 + [False]
    assert all(image_path(hashlib.sha256(data).hexdigest()).read_bytes() == data for data in good)
    assert read == list(range(1, 34))
    assert list(incoming.glob("*")) == []


def test_file_that_is_gone_is_one_refusal_among_many(tmp_path):
    (tmp_path / "a.png").write_bytes(factories.image_bytes())
    gone, there = image_files_store(openers=[(tmp_path / "b.png").open, lambda: (tmp_path / "a.png").open("rb")])
    assert "not there" in str(gone)
    assert isinstance(there, StoredFile)


def test_many_files_that_are_stopped_leave_nothing(incoming):
    data = [factories.image_bytes() for _ in range(3)]

    def stop(done: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        image_files_store(
            openers=[lambda one=one: contextlib.nullcontext(io.BytesIO(one)) for one in data], on_read=stop
        )
    assert list(incoming.glob("*")) == []
    assert not any(image_path(hashlib.sha256(one).hexdigest()).exists() for one in data)


def test_decoders_that_were_killed_are_replaced_while_many_files_come_in():
    _store(factories.image_bytes())
    for decoder in decoders.all:
        if decoder.child:
            decoder.child.kill()
    files = [factories.image_bytes() for _ in range(12)]
    stored = image_files_store(openers=[lambda one=one: contextlib.nullcontext(io.BytesIO(one)) for one in files])
    assert all(isinstance(one, StoredFile) for one in stored)


def test_same_name_with_other_content_is_a_second_image(barn):
    for _ in range(2):
        image_add(project=barn.project, stream=io.BytesIO(factories.image_bytes()), name="a.png")
    assert Image.objects.filter(original_name="a.png").count() == 2


@pytest.mark.parametrize("name", ["../../etc/passwd", "a\nb\0c.png", "‮gnp.exe", "x" * 300, "-rf", ""])
def test_hostile_name_is_only_ever_text(barn, name):
    image, _ = image_add(project=barn.project, stream=io.BytesIO(factories.image_bytes()), name=name)
    assert image.original_name.isprintable()
    assert 0 < len(image.original_name) <= 255
    assert image_path(image.sha256).is_relative_to(settings.IMAGES_DIR)


def test_about_one_image_in_seven_falls_into_validation():
    hashes = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(4000)]
    share = sum(split_for(sha256) == "val" for sha256 in hashes) / len(hashes)
    assert share == pytest.approx(0.15, abs=0.02)


def test_holdout_is_a_random_share_that_stays_the_same():
    hashes = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(4000)]
    drawn = holdout_draw(sha256s=hashes, share=0.2)
    assert len(drawn) == pytest.approx(800, abs=80)
    assert holdout_draw(sha256s=reversed(hashes), share=0.2) == drawn


def test_sixteen_bit_grey_is_taken():
    pixels = np.arange(600, dtype=np.uint16).reshape(20, 30)
    assert _store(_saved(PillowImage.fromarray(pixels), "PNG")).height == 20
