import zipfile
from pathlib import Path

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


def test_what_macos_adds_is_passed_over(tmp_path):
    path = _zip(tmp_path / "a.zip", {"a.png": b"x", "__MACOSX/._a.png": b"y", ".DS_Store": b"z"})
    with source_opened(path) as source:
        assert (source.names, source.problems) == (["a.png"], [])
