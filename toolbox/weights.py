"""What a safetensors file says of itself, without torch. Source: the format's own page, huggingface/safetensors."""

import json
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HEADER_BYTES = 100_000_000
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"


def weights_header(path: Path) -> tuple[dict[str, Any], int]:
    """The tensors that the file promises, by name, and the size it must then have. ValueError for any other file."""
    with _told(path), path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(min(length, HEADER_BYTES)))
        header.pop("__metadata__", None)
        return header, 8 + length + max((row["data_offsets"][1] for row in header.values()), default=0)


def weights_files(folder: Path) -> list[Path]:
    """A model folder's one file, or its shards as their index names them; none where there are no weights."""
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if not (folder / INDEX).is_file():
        return []
    with _told(folder / INDEX):
        shards = json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"].values()
        return [folder / name for name in sorted(set(shards))]


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Half a file, or what stands for one that was not fetched, fails in many ways."""
    try:
        yield
    except (struct.error, ValueError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is cut off, or is not what its name says.") from error
