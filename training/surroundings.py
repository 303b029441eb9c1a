"""What a run ran with, so that it can be said later what differs: code, packages, machine, threads."""

from __future__ import annotations

import hashlib
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from training.tracking.lineage import ROOT, code_revision

# Those whose arithmetic or reading a model's weights follow from.
PACKAGES = (
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "numpy",
    "scipy",
    "Pillow",
    "pycocotools",
    "omegaconf",
)
CODE = ("training", "mlbackend/model", "toolbox")
CODE_ENDS = {".py", ".yaml", ".json"}


def surroundings(*, device: torch.device) -> dict[str, Any]:
    return {
        "code_revision": code_revision(ROOT),
        "code_hash": code_hash(ROOT),
        "packages": {"python": platform.python_version(), **packages()},
        "machine": _machine(device),
        "threads": torch.get_num_threads(),
    }


def packages() -> dict[str, str]:
    """Those that are installed; what is absent is not listed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def code_hash(root: Path) -> str:
    """Of the code that trains, by its files' names and bytes: tells copies without a history, and changes, too."""
    digest = hashlib.sha256()
    for folder in CODE:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in CODE_ENDS and path.is_file():
                digest.update(f"{path.relative_to(root).as_posix()}\n".encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _machine(device: torch.device) -> str:
    """The card's name, or the kind of processor with what torch makes of it: other instructions round differently."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}"
