"""What a run was made from: the snapshot's hash, the data's revision, the base model's hash and the code's revision."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from training.config import Config

ROOT = Path(__file__).resolve().parents[2]
UNKNOWN = "unknown"


def lineage(config: Config) -> dict[str, str]:
    return {
        "snapshot_hash": str(_manifest(config.snapshot).get("content_hash") or UNKNOWN),
        "data_revision": config.data_revision or "not published",
        "base_weights_hash": str(_manifest(config.base_model or "").get("weights_hash") or UNKNOWN),
        "code_revision": code_revision(ROOT),
    }


def _manifest(folder: str) -> dict[str, Any]:
    """Of a snapshot or a model, the shipped one's card in its place; whether it is sound is for the run to say."""
    names = [name for name in ("manifest.json", "card.json") if (Path(folder) / name).is_file()]
    try:
        found = json.loads((Path(folder) / names[0]).read_text(encoding="utf-8")) if names else {}
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def code_revision(root: Path) -> str:
    """The commit of this code, `+changes` where files differ from it; unknown for a copy without its history."""
    commit = _git(root, "rev-parse", "HEAD")
    if commit is None:
        return UNKNOWN
    changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    return f"{commit}+changes" if changed else commit


def _git(root: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
