import contextlib
import hashlib
import io
import resource
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from django.conf import settings
from PIL import Image as PillowImage

from annotator.common.errors import ImportRefusedError, RoostError
from annotator.data.decoders import decoders
from annotator.data.image_files import image_path
from annotator.data.image_store import StoredFile, image_add, image_file_store, image_files_store
from annotator.data.splits import holdout_draw, split_for
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


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
def test_original_is_kept_byte_for_byte_under_its_hash(kind):
    data = factories.image_bytes(9, 5, kind=kind)
    stored = _store(data)
    assert stored.sha256 == hashlib.sha256(data).hexdigest()
    assert image_path(stored.sha256).read_bytes() == data
    assert (stored.width, stored.height, stored.media_type) == (9, 5, f"image/{kind.lower()}")


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


def test_about_one_image_in_seven_falls_into_validation():
    hashes = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(4000)]
    share = sum(split_for(sha256) == "val" for sha256 in hashes) / len(hashes)
    assert share == pytest.approx(0.15, abs=0.02)


def test_holdout_is_a_random_share_that_stays_the_same():
    hashes = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(4000)]
    drawn = holdout_draw(sha256s=hashes, share=0.2)
    assert len(drawn) == pytest.approx(800, abs=80)
    assert holdout_draw(sha256s=reversed(hashes), share=0.2) == drawn
