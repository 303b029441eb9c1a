"""Small exports on disk for tests of formats, read as an import would."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from annotator.common.masks import rle_area
from annotator.data.formats.documents import Document
from annotator.data.formats.recognise import Found, documents_found
from annotator.data.formats.records import ImageRecord
from annotator.data.sources import FolderSource

CASES = Path(__file__).resolve().parent.parent / "data" / "formats"
SIZE = (64, 48)
# The square at (8, 8) with sides of 16 px on a picture of 64 x 48, as YOLO's shares.
SQUARE = "0.125 0.16666667 0.375 0.16666667 0.375 0.5 0.125 0.5"


def tree(root: Path, files: Mapping[str, Any]) -> Path:
    """Text as it is, bytes as they are, None as a picture of 64 x 48, anything else as JSON."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            Image.new("RGB", SIZE).save(path)
        elif isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_bytes((content if isinstance(content, str) else json.dumps(content)).encode())
    return root


def found_in(root: Path) -> Found:
    return documents_found(FolderSource(root))


def only(found: Found) -> Document:
    assert [refused.why for refused in found.refused] == []
    [document] = found.documents
    return document


def records_of(document: Document, size_px: tuple[int, int] = SIZE) -> tuple[dict[str, ImageRecord], list[str]]:
    """{file name: record} and the reasons of all problems."""
    records, why = {}, [problem.why for problem in document.problems]
    for listed in document.images:
        record, problems = document.read(listed, size_px)
        records[listed.file_name] = record
        why += [problem.why for problem in problems]
    return records, why


def areas(record: ImageRecord) -> list[tuple[str, int]]:
    return [(one.category, rle_area(one.mask)) for one in record.instances]
