"""What the ViT made of an image, kept so that a click never waits for it twice.

Two layers: `tokens` (the ViT's output, for text) and `click` (the click decoder's input, for points). Each is keyed by
the image's content, the hash of the weights that made it and the preprocessing. Hot: tensors in memory within a byte
budget. Warm: fp16 safetensors on disk within another, and copies in a place that several replicas share.

Values are rounded to fp16 before anyone sees them, so that a hit answers exactly what the miss before it answered.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import threading
import time
import zlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from cachetools import LRUCache
from safetensors import safe_open
from safetensors.torch import save_file

from mlbackend.store.shared import Shared
from toolbox.files import written_whole

log = logging.getLogger(__name__)
T = TypeVar("T")
WRITES_WAITING = 64
SHARED_AWAY_S = 30.0
ABANDONED_S = 3600.0  # no write takes that long, not even another replica's


@dataclass(frozen=True)
class Key:
    layer: str
    image: str
    weights: str
    preprocessing: str

    @property
    def name(self) -> str:
        return f"{self.weights[:24]}-{self.preprocessing}/{self.layer}/{self.image[:2]}/{self.image}.safetensors"

    def path(self, root: Path) -> Path:
        return root / self.name


def preprocessing_of(image_size_px: int, vit_dtype: torch.dtype) -> str:
    """A key's `preprocessing`: what was done to the pixels, and the ViT's arithmetic. Service and trainer share it."""
    return f"square{image_size_px}-{str(vit_dtype).removeprefix('torch.')}"


@dataclass(frozen=True)
class Embedding:
    """Tensors by name, and the original image's size, so that a hit needs no pixels."""

    tensors: dict[str, torch.Tensor]
    width_px: int
    height_px: int

    def on(self, device: torch.device) -> Embedding:
        return Embedding(
            {name: tensor.to(device) for name, tensor in self.tensors.items()}, self.width_px, self.height_px
        )

    @property
    def bytes(self) -> int:
        return sum(tensor.nbytes for tensor in self.tensors.values())


def round_to_fp16(tensor: torch.Tensor) -> torch.Tensor:
    """The values that the warm copy can hold; kept as they are when a value exceeds fp16's range."""
    half = tensor.to(torch.float16)
    return half.to(torch.float32) if bool(torch.isfinite(half).all()) else tensor.to(torch.float32)


class HotLayer:
    """Least recently used tensors out first, within a byte budget. Thread-safe."""

    def __init__(self, budget_bytes: int) -> None:
        self._lock = threading.Lock()
        self._entries: LRUCache[Key, Embedding] = LRUCache(budget_bytes, getsizeof=lambda entry: entry.bytes)

    @property
    def bytes(self) -> int:
        return int(self._entries.currsize)

    def get(self, key: Key) -> Embedding | None:
        with self._lock:
            return self._entries.get(key)

    def put(self, key: Key, entry: Embedding) -> None:
        with self._lock, contextlib.suppress(ValueError):  # larger than the whole budget: it is not kept
            self._entries[key] = entry


class WarmLayer:
    """fp16 safetensors files, oldest use out first. Several processes may use the folder.

    What is not here is looked for in the shared place, and what is made here is copied there.
    """

    def __init__(self, root: Path, budget_bytes: int, *, shared: Shared | None = None) -> None:
        self._root, self._budget, self._shared = root, budget_bytes, shared
        self._shared_back_at = 0.0
        self._lock = threading.Lock()
        self._sizes: OrderedDict[Path, int] | None = None
        self.bytes = 0

    def get(self, key: Key) -> Embedding | None:
        """None for absent, foreign or damaged files; a damaged one is removed."""
        path = key.path(self._root)
        entry = _read(path, key)
        if entry is not None:
            self._touch(path)
            return entry
        if not self._ask_shared(lambda shared: shared.fetch(key.name, path)):
            return None
        entry = _read(path, key)
        if entry is None:
            self._ask_shared(lambda shared: shared.discard(key.name))
        else:
            with contextlib.suppress(FileNotFoundError):  # another process has just evicted it
                self._admit(path, path.stat().st_size)
        return entry

    def put(self, key: Key, entry: Embedding) -> None:
        """Write beside and rename: a reader sees nothing or all of it."""
        if not self._budget:
            return
        path = key.path(self._root)
        try:
            _write(path, key, entry)
            size = path.stat().st_size
        except OSError as error:
            log.warning("embedding not stored: %s", error)
            return
        self._ask_shared(lambda shared: shared.store(key.name, path))
        self._admit(path, size)

    def _ask_shared(self, call: Callable[[Shared], T]) -> T | None:
        """None without one, and for a while after it failed: clicks must not wait for one time-out after another."""
        if self._shared is None or not self._budget or time.monotonic() < self._shared_back_at:
            return None
        try:
            return call(self._shared)
        except OSError as error:
            self._shared_back_at = time.monotonic() + SHARED_AWAY_S
            log.warning("shared embeddings are not used for %.0f s: %s", SHARED_AWAY_S, error)
            return None

    def _admit(self, path: Path, size: int) -> None:
        with self._lock:
            sizes = self._index()
            self.bytes += size - sizes.pop(path, 0)
            sizes[path] = size
            while self.bytes > self._budget and len(sizes) > 1:
                oldest, freed = sizes.popitem(last=False)
                self.bytes -= freed
                oldest.unlink(missing_ok=True)

    def _touch(self, path: Path) -> None:
        with self._lock:
            if self._sizes is not None and path in self._sizes:
                self._sizes.move_to_end(path)
        with contextlib.suppress(OSError):  # another replica may have just evicted it
            os.utime(path)

    def count(self) -> None:
        """Find what earlier runs left, so that the budget and `bytes` include it; sweep up what they died writing."""
        with self._lock:
            self._index()
        for path in self._root.glob("*/*/*/.*.safetensors.*"):
            if path.stat().st_mtime < time.time() - ABANDONED_S:
                path.unlink()

    def _index(self) -> OrderedDict[Path, int]:
        """Files found on disk when first asked, oldest use first."""
        if self._sizes is None:
            found = []
            for path in self._root.glob("*/*/*/*.safetensors"):
                try:
                    stat = path.stat()
                except OSError:
                    continue
                found.append((stat.st_mtime, path, stat.st_size))
            self._sizes = OrderedDict((path, size) for _, path, size in sorted(found))
            self.bytes = sum(self._sizes.values())
        return self._sizes


class EmbeddingStore:
    """Hot over warm. Writes to disk happen behind, on one thread, and are dropped when the disk falls behind."""

    def __init__(self, hot: HotLayer, warm: WarmLayer, on_drop: Callable[[], None] = lambda: None) -> None:
        self.hot, self.warm = hot, warm
        self._on_drop = on_drop
        self._writes: queue.Queue[tuple[Key, Embedding] | None] = queue.Queue(WRITES_WAITING)
        self._writer = threading.Thread(target=self._write_behind, name="embeddings", daemon=True)
        self._writer.start()

    def put(self, key: Key, entry: Embedding) -> None:
        self.hot.put(key, entry)
        try:
            self._writes.put_nowait((key, entry))
        except queue.Full:
            self._on_drop()

    def close(self, timeout_s: float = 10) -> None:
        """Finish the waiting writes, then stop."""
        try:
            self._writes.put(None, timeout=timeout_s)
        except queue.Full:
            return
        self._writer.join(timeout_s)

    def flush(self, timeout_s: float = 10) -> None:
        deadline = time.monotonic() + timeout_s
        while self._writes.unfinished_tasks and time.monotonic() < deadline:
            time.sleep(0.005)

    def _write_behind(self) -> None:
        with contextlib.suppress(OSError):  # the first write will say so
            self.warm.count()
        while (item := self._writes.get()) is not None:
            try:
                self.warm.put(*item)
            except Exception:
                log.exception("embedding not stored")
            self._writes.task_done()


def _write(path: Path, key: Key, entry: Embedding) -> None:
    tensors = {name: _for_disk(tensor) for name, tensor in entry.tensors.items()}
    metadata = {
        "image": key.image,
        "weights": key.weights,
        "preprocessing": key.preprocessing,
        "layer": key.layer,
        "width_px": str(entry.width_px),
        "height_px": str(entry.height_px),
        "crc32": _checksum(tensors),
    }
    with written_whole(path, lasting=False) as beside:  # its checksum is looked at by whoever reads it
        save_file(tensors, beside, metadata=metadata)


def _for_disk(tensor: torch.Tensor) -> torch.Tensor:
    half = tensor.to(torch.float16)
    exact = bool((half.to(tensor.dtype) == tensor).all())
    return (half if exact else tensor).cpu().contiguous()


def _checksum(tensors: dict[str, torch.Tensor]) -> str:
    total = 0
    for name in sorted(tensors):
        total = zlib.crc32(tensors[name].reshape(-1).view(torch.uint8).numpy().data, total)
    return f"{total:08x}"


def _read(path: Path, key: Key) -> Embedding | None:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if any(metadata.get(name) != getattr(key, name) for name in ("image", "weights", "preprocessing", "layer")):
                return None
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if metadata["crc32"] != _checksum(stored):
                raise ValueError("its checksum differs")
            tensors = {name: tensor.to(torch.float32) for name, tensor in stored.items()}
            return Embedding(tensors, int(metadata["width_px"]), int(metadata["height_px"]))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except Exception as error:  # safetensors raises its own type for every kind of damage
        log.warning("damaged embedding %s removed: %s", path, error)
        path.unlink(missing_ok=True)
        return None
