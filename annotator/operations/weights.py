"""The hash that manifests and cards have of a safetensors file, without torch."""

import hashlib
import struct
from pathlib import Path

from toolbox.weights import weights_header

CHUNK_BYTES = 1 << 22
TORCH_NAMES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "BOOL": "bool"}


def weights_hash(path: Path) -> str:
    """As manifests and cards have it (`weights_hash`): SHA-256 over each tensor's name, type, shape and bytes."""
    header, _ = weights_header(path)
    digest = hashlib.sha256()
    with path.open("rb") as file:
        start = 8 + struct.unpack("<Q", file.read(8))[0]
        for name, row in sorted(header.items()):
            digest.update(f"{name} torch.{TORCH_NAMES[row['dtype']]} {tuple(row['shape'])}\n".encode())
            first, end = row["data_offsets"]
            file.seek(start + first)
            for left in range(end - first, 0, -CHUNK_BYTES):
                digest.update(file.read(min(left, CHUNK_BYTES)))
    return digest.hexdigest()
