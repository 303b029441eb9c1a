"""Label Studio's brush RLE (thi.ng's rle-pack, not COCO RLE): masks as RGBA bytes, of which the editor reads alpha.

A bit stream, high bit first: 32-bit byte count, 5 bits word size - 1, four times 4 bits run size - 1, then records of
1 bit (1: a run), 2 bits (which run size), that many bits of length - 1, and the byte.
"""

from __future__ import annotations

import numpy as np

RUN_SIZES = (3, 4, 8, 16)
HEADER = "00111" + "".join(f"{size - 1:04b}" for size in RUN_SIZES)
LONGEST_RUN = 1 << RUN_SIZES[-1]
CHANNELS = 4


def encode_brush(mask_HW: np.ndarray) -> list[int]:
    """A bool mask as the list of bytes that the editor draws; its size is the image's natural size."""
    flat = np.ascontiguousarray(mask_HW, dtype=bool).reshape(-1)
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    starts = np.concatenate([[0], edges])
    lengths = np.diff(np.concatenate([starts, [flat.size]])) * CHANNELS
    bits = [f"{flat.size * CHANNELS:032b}", HEADER]
    for length, value in zip(lengths.tolist(), flat[starts].tolist(), strict=True):
        bits += _run(length, "11111111" if value else "00000000")
    stream = "".join(bits)
    stream += "0" * (8 - len(stream) % 8)  # as Label Studio's own encoder: at least one bit of padding
    return list(int(stream, 2).to_bytes(len(stream) // 8, "big"))


def _run(length: int, value_bits: str) -> list[str]:
    records = []
    while length:
        part = min(length, LONGEST_RUN)
        index = next(i for i, size in enumerate(RUN_SIZES) if part <= 1 << size)
        records.append(f"1{index:02b}{part - 1:0{RUN_SIZES[index]}b}{value_bits}")
        length -= part
    return records
