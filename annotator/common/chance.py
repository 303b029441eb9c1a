"""Draws that nobody can redo until they suit them: an id decides."""

import hashlib


def task_is_drawn(*, task_id: int, share: float, draw: str) -> bool:
    """Whether a task is among this share of all. Draws of different names are independent."""
    return int.from_bytes(hashlib.sha256(f"{draw} {task_id}".encode()).digest()[:8], "big") / 2**64 < share
