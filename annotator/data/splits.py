"""Which split an image falls into: decided by its content, so that every import of it agrees."""

from annotator.models import Image

VAL_SHARE_PCT = 15


def split_for(sha256: str) -> str:
    """`val` for about 15 % of all contents, else `train`; `test` and `holdout` are only ever asked for by name."""
    in_val = int(sha256[:8], 16) % 100 < VAL_SHARE_PCT
    return Image.Split.VAL if in_val else Image.Split.TRAIN
