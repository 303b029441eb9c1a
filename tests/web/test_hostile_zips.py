"""Zips from strangers: cases Z01 to Z04 of the plan of faults, and what only looks like one of them."""

import io
import struct
import subprocess
import sys
import unicodedata
import zipfile
import zlib
from pathlib import Path

import pytest
from PIL import Image as PillowImage

from annotator.common.errors import ImportRefusedError
from annotator.data import sources as import_sources
from annotator.data.image_store import StoredFile, image_file_store
from annotator.data.sources import ImportSource, source_opened


def _zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def _read(source: ImportSource, name: str) -> bytes:
    with source.open(name) as stream:
        return stream.read()


def _store(source: ImportSource, name: str) -> StoredFile:
    with source.open(name) as stream:
        return image_file_store(stream=stream)


@pytest.mark.parametrize("name", ["../evil.png", "a/../../evil.png", "/etc/evil.png", "C:\\evil.png", "..\\evil.png"])
def test_Z01_name_that_climbs_out_is_a_problem_and_the_rest_is_read(tmp_path, name):
    path = _zip(tmp_path / "a.zip", {name: b"x", "good.png": b"y"})
    with source_opened(path) as source:
        assert source.names == ["good.png"]
        assert "leads out" in source.problems[0].why


def test_Z02_link_in_a_zip_is_not_followed(tmp_path):
    link = zipfile.ZipInfo("secret.png")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with source_opened(tmp_path / "a.zip") as source:
        assert (source.names, len(source.problems)) == ([], 1)


def test_Z02_link_in_a_folder_is_not_followed(tmp_path):
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"secret")
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "link.png").symlink_to(secret)
    (folder / "plain.png").write_bytes(b"plain")
    with source_opened(folder) as source:
        assert source.names == ["plain.png"]
        assert "link" in source.problems[0].why


def test_Z03_bomb_is_stopped_while_it_unpacks(tmp_path):
    path = _zip(tmp_path / "bomb.zip", {"bomb.png": b"\0" * 60_000_000})
    with source_opened(path) as source, pytest.raises(ImportRefusedError, match="bomb"):
        _read(source, "bomb.png")


def test_Z03_overlapping_members_are_refused_as_a_whole(tmp_path):
    # Two directory entries that point at the same local header: the overlap bomb in its smallest form.
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.png", b"x" * 100)
    data = buffer.getvalue()
    start = data.index(b"PK\x01\x02")
    end = data.index(b"PK\x05\x06")
    entry = data[start:end]
    closing = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 2, 2, 2 * len(entry), start, 0)
    path = tmp_path / "overlap.zip"
    path.write_bytes(data[:start] + entry + entry.replace(b"a.png", b"b.png") + closing)
    with pytest.raises(ImportRefusedError, match="overlap"), source_opened(path):
        pass


def test_Z03_too_many_members_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(import_sources, "MAX_MEMBERS", 3)
    path = _zip(tmp_path / "many.zip", {f"{number}.png": b"" for number in range(4)})
    with pytest.raises(ImportRefusedError, match="4 files"), source_opened(path):
        pass


def _empty_members(path: Path, count: int) -> Path:
    """Written by hand: local headers and directory of `count` empty members, some 20 MB for 200,000."""
    local, listed, at = bytearray(), bytearray(), 0
    for number in range(count):
        name = b"%06d.png" % number
        fields = struct.pack("<HHHHHLLLHH", 20, 0, 0, 0, 0x21, 0, 0, 0, len(name), 0)
        local += b"PK\x03\x04" + fields + name
        listed += b"PK\x01\x02" + struct.pack("<H", 20) + fields + struct.pack("<HHHLL", 0, 0, 0, 0, at) + name
        at = len(local)
    end64 = struct.pack("<4sQHHLLQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, len(listed), at)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, at + len(listed), 1)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, len(listed), at, 0)
    path.write_bytes(bytes(local + listed) + end64 + locator + end)
    return path


def test_Z03_two_hundred_thousand_empty_members_are_refused_soon_and_in_bounded_memory(tmp_path):
    """In a process of its own, whose peak is its own: what it prints is the refusal, seconds and MiB."""
    path = _empty_members(tmp_path / "many.zip", 200_000)
    script = """
import resource, sys, time
from annotator.common.errors import ImportRefusedError
from annotator.data.sources import source_opened
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before, started = peak(), time.process_time()
try:
    with source_opened(sys.argv[1]):
        print("opened")
except ImportRefusedError as error:
    print(error)
print(time.process_time() - started)
print(peak() - before)
"""
    told = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True, timeout=120
    )
    words, seconds, rise_mib = told.stdout.splitlines()
    assert words == "The zip has 200000 files; split it into parts of 100000 at most."
    assert (float(seconds) < 20, float(rise_mib) < 300) == (True, True), told.stdout


def test_Z03_lying_size_does_not_get_past_the_count(tmp_path, monkeypatch):
    monkeypatch.setattr(import_sources, "MAX_UNPACKED_BYTES", 2000)
    path = _zip(tmp_path / "a.zip", {"a.png": b"x" * 1500, "b.png": b"y" * 400})
    with source_opened(path) as source:
        assert len(_read(source, "a.png")) == 1500
        assert len(_read(source, "b.png")) == 400
        with pytest.raises(ImportRefusedError, match="more than"):
            _read(source, "a.png")


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04cut off"], ids=["empty", "text", "cut"])
def test_Z04_what_is_no_zip_is_refused_in_words(tmp_path, content):
    path = tmp_path / "a.zip"
    path.write_bytes(content)
    with pytest.raises(ImportRefusedError, match="no zip file"), source_opened(path):
        pass


def test_Z04_truncated_zip_is_refused(tmp_path):
    path = _zip(tmp_path / "a.zip", {"a.png": b"x" * 5000})
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ImportRefusedError, match="no zip file"), source_opened(path):
        pass


def test_Z04_wrong_checksum_is_told_of_the_one_file(tmp_path):
    path = _zip(tmp_path / "a.zip", {"a.png": b"x" * 5000, "b.png": b"fine"})
    crc = struct.pack("<L", zlib.crc32(b"x" * 5000))
    path.write_bytes(path.read_bytes().replace(crc, b"\1\2\3\4"))
    with source_opened(path) as source:
        with pytest.raises(ImportRefusedError, match="damaged"):
            _read(source, "a.png")
        assert _read(source, "b.png") == b"fine"


def test_Z04_locked_member_is_told_of(tmp_path):
    path = _zip(tmp_path / "a.zip", {"a.png": b"x"})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    with source_opened(path) as source:
        assert "password" in source.problems[0].why


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_Z04_second_member_of_a_name_is_told_of(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.png", b"one")
        archive.writestr("a.png", b"two")
    with source_opened(tmp_path / "a.zip") as source:
        assert source.names == ["a.png"]
        assert "same name" in source.problems[0].why


def test_Z02_file_behind_a_link_of_the_zip_is_only_a_name(tmp_path):
    link = zipfile.ZipInfo("out")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, str(tmp_path))
        archive.writestr("out/evil.png", b"x")
    with source_opened(tmp_path / "a.zip") as source:
        assert source.names == ["out/evil.png"]
        assert _read(source, "out/evil.png") == b"x"
    assert not (tmp_path / "evil.png").exists()


def test_Z03_zip_within_a_zip_is_not_unpacked(tmp_path):
    inner = _zip(tmp_path / "inner.zip", {"a.png": b"x"}).read_bytes()
    with source_opened(_zip(tmp_path / "a.zip", {"inner.zip": inner})) as source:
        assert source.names == ["inner.zip"]


def test_Z03_bomb_that_begins_like_an_image_ends_at_the_largest_upload(tmp_path, settings):
    """The case z04 turned round: what looks like a picture may unpack far, and no further than a plain file may."""
    settings.MAX_UPLOAD_BYTES = 20_000_000
    path = _zip(tmp_path / "bomb.zip", {"bomb.bmp": b"BM" + b"\0" * 60_000_000})
    with source_opened(path) as source, pytest.raises(ImportRefusedError, match="20,000,000 bytes"):
        _store(source, "bomb.bmp")
    assert list((settings.IMAGES_DIR / "incoming").glob("*")) == []


@pytest.mark.parametrize("kind", ["BMP", "TIFF"])
@pytest.mark.parametrize("colour", ["black", "white"])
def test_Z03_dark_or_white_picture_that_is_not_compressed_is_no_bomb(tmp_path, kind, colour):
    file = io.BytesIO()
    PillowImage.new("RGB", (2400, 1800), colour).save(file, kind)
    with source_opened(_zip(tmp_path / "night.zip", {"night.img": file.getvalue()})) as source:
        assert _store(source, "night.img").width == 2400


def test_Z01_separators_of_windows_are_folders(tmp_path):
    path = _zip(tmp_path / "a.zip", {"train\\": b"", "train\\cam1\\a.png": b"one", "b.png": b"two"})
    with source_opened(path) as source:
        assert (source.names, source.problems) == (["b.png", "train/cam1/a.png"], [])
        assert _read(source, "train/cam1/a.png") == b"one"


def test_Z01_colons_in_names_lead_nowhere(tmp_path):
    path = _zip(tmp_path / "a.zip", {"2024-07-01T12:30:15.png": b"one", "a:b/c.png": b"two", "C:/evil.png": b"x"})
    with source_opened(path) as source:
        assert source.names == ["2024-07-01T12:30:15.png", "a:b/c.png"]
        assert len(source.problems) == 1


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_Z04_names_of_finder_are_utf8_though_no_flag_says_so(tmp_path, form):
    name = unicodedata.normalize(form, "Hühner-Café.jpg")
    stand_in = "x" * len(name.encode())
    path = _zip(tmp_path / "a.zip", {stand_in: b"one"})
    path.write_bytes(path.read_bytes().replace(stand_in.encode(), name.encode()))
    with source_opened(path) as source:
        assert source.names == [name]
        assert _read(source, name) == b"one"


def test_Z04_names_of_old_windows_stay_readable(tmp_path):
    path = _zip(tmp_path / "a.zip", {"HxUHNER.PNG": b"one"})
    path.write_bytes(path.read_bytes().replace(b"HxUHNER", b"H\x9aUHNER"))  # code page 437, and no UTF-8
    with source_opened(path) as source:
        assert source.names == ["HÜUHNER.PNG"]


def test_Z04_twins_in_composed_and_decomposed_letters_are_both_there(tmp_path):
    names = [unicodedata.normalize(form, "é.png") for form in ("NFC", "NFD")]
    with source_opened(_zip(tmp_path / "a.zip", {names[0]: b"one", names[1]: b"two"})) as source:
        assert [_read(source, name) for name in names] == [b"one", b"two"]
