"""What a writer makes of records, as files in memory."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from annotator.data.export_layouts import LAYOUTS
from annotator.data.formats.records import Category, ImageRecord, UniqueNames
from annotator.data.writers.parts import Row, Wishes


class Memory(dict[str, str]):
    def text(self, path: str, text: str) -> None:
        self[path] = text

    def pieces(self, path: str, pieces: Iterator[bytes]) -> None:
        self[path] = b"".join(pieces).decode()


def written(
    format: str, records: Sequence[ImageRecord], categories: Sequence[Category], folder: Path, **wishes: str
) -> Memory:
    memory, names, instance = Memory(), UniqueNames(), 1
    writer = LAYOUTS[format].writer(categories, memory, folder, Wishes(**wishes))
    for number, record in enumerate(records, start=1):
        writer.add(Row(number, instance, f"{number:064x}", names.taken(record.name or record.file_name), record))
        instance += len(record.instances)
    writer.finish()
    return memory


def document(files: Memory, path: str) -> Any:
    return json.loads(files[path])
