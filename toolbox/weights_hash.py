"""The hash that manifests and cards have of a model's weights, without torch."""

import hashlib
import struct
from pathlib import Path
from typing import Any

from .weights import weights_files, weights_header

CHUNK_BYTES = 1 << 22
TORCH_NAMES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "BOOL": "bool"}


def weights_hash(*paths: Path) -> str:
    """As manifests and cards have it (`weights_hash`): SHA-256 over each tensor's name, type, shape and bytes.

    Of one safetensors file, or of all shards of a model together; ValueError for any other file.
    """
    found = [(name, row, path) for path in paths for name, row in weights_header(path)[0].items()]
    digest = hashlib.sha256()
    for name, row, path in sorted(found, key=lambda one: one[0]):
        if row["dtype"] not in TORCH_NAMES:
            raise ValueError(f"{path} holds {name} as {row['dtype']}, of which no hash is defined.")
        digest.update(f"{name} torch.{TORCH_NAMES[row['dtype']]} {tuple(row['shape'])}\n".encode())
        _add_bytes(digest, path, *row["data_offsets"])
    return digest.hexdigest()


def folder_weights_hash(folder: Path) -> str:
    """Of a model folder, whole or in shards; ValueError where it holds no weights."""
    files = weights_files(folder)
    if not files:
        raise ValueError(f"{folder} holds no weights.")
    return weights_hash(*files)


def _add_bytes(digest: Any, path: Path, first: int, end: int) -> None:
    with path.open("rb") as file:
        start = 8 + struct.unpack("<Q", file.read(8))[0]
        file.seek(start + first)
        for left in range(end - first, 0, -CHUNK_BYTES):
            piece = file.read(min(left, CHUNK_BYTES))
            if len(piece) < min(left, CHUNK_BYTES):
                raise ValueError(f"{path} is cut off.")
            digest.update(piece)
