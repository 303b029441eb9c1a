"""Checkpoints that survive a kill between any two system calls, and a full disk.

A checkpoint is one safetensors file and a small manifest with its SHA-256. Each is written beside its place, flushed,
read back, and renamed over; the manifest comes last, so that a file without one is never trusted. Two good ones and the
best are kept. There is no pickle in it: a checkpoint from elsewhere cannot run code.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from toolbox.files import write_json, written_whole
from toolbox.run_size import KEPT_CHECKPOINTS, RunSize, gigabytes
from training.errors import Refused, TrainingError

FREE_SPACE_FACTOR = 1.05  # of the one that is written; a whole run's room is looked at before it begins
BEST = "best"

State = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by name, and what belongs to them: step, scores, fingerprint of the run."""

    path: Path
    state: State
    facts: dict[str, Any]


class CheckpointFolder:
    """Owns one folder. `fingerprint` says which run a checkpoint belongs to: others are not resumed from."""

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self.folder = folder
        self._fingerprint = fingerprint
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob(".*.tmp"):
            leftover.unlink(missing_ok=True)

    def clear(self) -> None:
        """Forget every checkpoint: the run starts over."""
        for path in [*self.folder.glob("*.json"), *self.folder.glob("*.safetensors")]:
            path.unlink(missing_ok=True)

    def check_owner(self) -> None:
        """Refused when another run's checkpoints lie here: going on from them would mix two runs."""
        for manifest in [*self._manifests(), self.folder / f"{BEST}.json"]:
            facts = _facts(manifest)
            if facts is not None and facts.get("fingerprint") != self._fingerprint:
                raise Refused(
                    "foreign_checkpoints",
                    f"{self.folder} holds checkpoints of a run with another config, snapshot or base model, or begun "
                    "before an upgrade that changed the settings there are: choose another --out, or set resume to "
                    "false to start over.",
                )

    def write(self, name: str, state: State, facts: dict[str, Any]) -> Path:
        """Write name.safetensors, then name.json; TrainingError `disk_full` leaves the older ones as they were."""
        tensors = {key: value.detach().cpu().contiguous() for key, value in state.items()}
        self._check_space(sum(tensor.nbytes for tensor in tensors.values()))
        path = self.folder / f"{name}.safetensors"
        try:
            sha256 = replace_durably(path, lambda beside: _write_tensors(beside, tensors))
            manifest = {**facts, "sha256": sha256, "bytes": path.stat().st_size, "fingerprint": self._fingerprint}
            write_json(path.with_suffix(".json"), manifest, indent=1)
        except (OSError, SafetensorError) as error:
            raise TrainingError(
                "disk_full", f"A checkpoint could not be written ({error}); the one before is intact. Free some space."
            ) from error
        if name != BEST:
            self._drop_older()
        return path

    def newest(self) -> Checkpoint | None:
        """The newest whose SHA-256 holds; damaged ones are passed over."""
        for manifest in self._manifests():
            found = self._read(manifest)
            if found is not None:
                return found
        return None

    def named(self, name: str) -> Checkpoint | None:
        return self._read(self.folder / f"{name}.json")

    def best(self) -> Checkpoint | None:
        return self._read(self.folder / f"{BEST}.json")

    def _read(self, manifest: Path) -> Checkpoint | None:
        try:
            facts, path = _facts(manifest), manifest.with_suffix(".safetensors")
            if facts is None or facts.get("fingerprint") != self._fingerprint or _sha256(path) != facts.get("sha256"):
                return None
            return Checkpoint(path, load_file(path), facts)
        except (OSError, ValueError, SafetensorError):
            return None

    def _manifests(self) -> list[Path]:
        found = [path for path in self.folder.glob("step-*.json") if path.stem.removeprefix("step-").isdigit()]
        return sorted(found, key=lambda path: int(path.stem.removeprefix("step-")), reverse=True)

    def _drop_older(self) -> None:
        for manifest in self._manifests()[KEPT_CHECKPOINTS:]:
            manifest.unlink(missing_ok=True)
            manifest.with_suffix(".safetensors").unlink(missing_ok=True)

    def check_room(self, size: RunSize) -> None:
        """Refused where a whole run of this size would not fit; what lies here already counts."""
        needed = size.bytes - sum(path.stat().st_size for path in self.folder.glob("*.safetensors"))
        free = shutil.disk_usage(self.folder).free
        if needed > free:
            raise Refused(
                "disk_full",
                f"The run's checkpoints and its model take {gigabytes(needed)} of disk, {gigabytes(free)} are free in "
                f"{self.folder}: {gigabytes(needed - free)} are missing. Remove old runs or models, or choose another "
                "--out, and run the same command again.",
            )

    def _check_space(self, size: int) -> None:
        free = shutil.disk_usage(self.folder).free
        if free < FREE_SPACE_FACTOR * size:
            raise TrainingError(
                "disk_full",
                f"A checkpoint needs {FREE_SPACE_FACTOR * size / 2**20:.0f} MiB free, {free / 2**20:.0f} MiB are left; "
                "the one before is intact. Free some space and run the same command again.",
            )


def _facts(manifest: Path) -> dict[str, Any] | None:
    try:
        facts = json.loads(manifest.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return facts if isinstance(facts, dict) else None


def replace_durably(path: Path, write: Callable[[Path], None]) -> str:
    """Let write() fill a file beside path, then rename it over; the SHA-256 of what is on disk."""
    with written_whole(path) as beside:
        write(beside)
        return _sha256(beside)


def _write_tensors(path: Path, tensors: State) -> None:
    """Write, then read back tensor by tensor: a header that parses over short data would pass for a checkpoint."""
    save_file(tensors, path, metadata={"format": "pt"})
    with safe_open(path, framework="pt") as file:
        if set(file.keys()) != set(tensors):
            raise OSError("what was written does not read back")
        for key, tensor in tensors.items():
            if not torch.equal(file.get_tensor(key), tensor):
                raise OSError(f"{key} does not read back as written")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
