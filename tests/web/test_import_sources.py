import io
import struct
import zipfile
import zlib
from pathlib import Path

import pytest

from annotator.common.errors import ImportRefusedError
from annotator.data import sources as import_sources
from annotator.data.sources import source_opened


def _zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def _read(source, name: str) -> bytes:
    with source.open(name) as stream:
        return b"".join(iter(lambda: stream.read(65536), b""))


def test_zip_members_are_read_by_name(tmp_path):
    path = _zip(tmp_path / "a.zip", {"train/a.png": b"one", "b.png": b"two"})
    with source_opened(path) as source:
        assert source.names == ["b.png", "train/a.png"]
        assert _read(source, "train/a.png") == b"one"


@pytest.mark.parametrize("name", ["../evil.png", "a/../../evil.png", "/etc/evil.png", "C:\\evil.png", "..\\evil.png"])
def test_name_that_climbs_out_is_a_problem_and_the_rest_is_read(tmp_path, name):
    path = _zip(tmp_path / "a.zip", {name: b"x", "good.png": b"y"})
    with source_opened(path) as source:
        assert source.names == ["good.png"]
        assert "leads out" in source.problems[0].why


def test_link_in_a_zip_is_not_followed(tmp_path):
    link = zipfile.ZipInfo("secret.png")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with source_opened(tmp_path / "a.zip") as source:
        assert (source.names, len(source.problems)) == ([], 1)


def test_link_in_a_folder_is_not_followed(tmp_path):
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"secret")
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "link.png").symlink_to(secret)
    (folder / "plain.png").write_bytes(b"plain")
    with source_opened(folder) as source:
        assert source.names == ["plain.png"]
        assert "link" in source.problems[0].why


def test_bomb_is_stopped_while_it_unpacks(tmp_path):
    path = _zip(tmp_path / "bomb.zip", {"bomb.png": b"\0" * 60_000_000})
    with source_opened(path) as source, pytest.raises(ImportRefusedError, match="bomb"):
        _read(source, "bomb.png")


def test_overlapping_members_are_refused_as_a_whole(tmp_path):
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


def test_too_many_members_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(import_sources, "MAX_MEMBERS", 3)
    path = _zip(tmp_path / "many.zip", {f"{number}.png": b"" for number in range(4)})
    with pytest.raises(ImportRefusedError, match="4 files"), source_opened(path):
        pass


def test_lying_size_does_not_get_past_the_count(tmp_path, monkeypatch):
    monkeypatch.setattr(import_sources, "MAX_UNPACKED_BYTES", 2000)
    path = _zip(tmp_path / "a.zip", {"a.png": b"x" * 1500, "b.png": b"y" * 400})
    with source_opened(path) as source:
        assert len(_read(source, "a.png")) == 1500
        assert len(_read(source, "b.png")) == 400
        with pytest.raises(ImportRefusedError, match="more than"):
            _read(source, "a.png")


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04cut off"], ids=["empty", "text", "cut"])
def test_what_is_no_zip_is_refused_in_words(tmp_path, content):
    path = tmp_path / "a.zip"
    path.write_bytes(content)
    with pytest.raises(ImportRefusedError, match="no zip file"), source_opened(path):
        pass


def test_truncated_zip_is_refused(tmp_path):
    path = _zip(tmp_path / "a.zip", {"a.png": b"x" * 5000})
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ImportRefusedError, match="no zip file"), source_opened(path):
        pass


def test_wrong_checksum_is_told_of_the_one_file(tmp_path):
    path = _zip(tmp_path / "a.zip", {"a.png": b"x" * 5000, "b.png": b"fine"})
    crc = struct.pack("<L", zlib.crc32(b"x" * 5000))
    path.write_bytes(path.read_bytes().replace(crc, b"\1\2\3\4"))
    with source_opened(path) as source:
        with pytest.raises(ImportRefusedError, match="damaged"):
            _read(source, "a.png")
        assert _read(source, "b.png") == b"fine"


def test_locked_member_is_told_of(tmp_path):
    path = _zip(tmp_path / "a.zip", {"a.png": b"x"})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    with source_opened(path) as source:
        assert "password" in source.problems[0].why


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_second_member_of_a_name_is_told_of(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.png", b"one")
        archive.writestr("a.png", b"two")
    with source_opened(tmp_path / "a.zip") as source:
        assert source.names == ["a.png"]
        assert "same name" in source.problems[0].why


def test_what_macos_adds_is_passed_over(tmp_path):
    path = _zip(tmp_path / "a.zip", {"a.png": b"x", "__MACOSX/._a.png": b"y", ".DS_Store": b"z"})
    with source_opened(path) as source:
        assert (source.names, source.problems) == (["a.png"], [])
