"""What lies in a sweep's folder, and whether it is this sweep's.

runs/NAME/asked.json        the run's config; beside it all that `train` leaves
judged/SPLIT/NAME/          what `evaluate` leaves: predictions and counts, made once
sweep_of.json               the snapshot and the base model
sweep.json table.csv table.md plot.svg best.yaml
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from toolbox.files import write_json
from toolbox.run_size import RunSize, gigabytes, run_size
from toolbox.weights import weights_files
from training.config import ALL_VERBS, FOR_VERBS, Config
from training.dataset import Snapshot
from training.errors import Refused
from training.sweep.asked import Point, Run, Sweep

BASE = "base"
CHECKED = "checked.json"
# What a model's answers follow from, beside its weights and the pairs.
JUDGING = ("split", "precision", "vit_dtype", "max_pixels")


class SweepFolder:
    """One sweep's files; nothing is computed here."""

    def __init__(self, out: Path, sweep: Sweep) -> None:
        self.out = out
        self.sweep = replace(sweep, points=tuple(self._placed(point) for point in sweep.points))

    def _placed(self, point: Point) -> Point:
        """Features are encoded once for all runs, and trackers keep them side by side."""
        return replace(point, runs=tuple(replace(run, config=self._shared(run.config)) for run in point.runs))

    def _shared(self, config: Config) -> Config:
        tracking = str(self.out / "tracking") if config.trackers else None
        return replace(
            config,
            features=config.features or str(self.out / "features"),
            tracking_folder=config.tracking_folder or tracking,
        )

    def of(self, run: Run) -> Path:
        return self.out / "runs" / run.name

    def judged(self, name: str) -> Path:
        return self.out / "judged" / self.sweep.split / name

    def claim(self) -> None:
        """Refused where another sweep's results lie here; else the runs' configs are written."""
        self._check_origin()
        for run in self.sweep.runs:
            self._check_asked(run)
        self._check_room()
        for run in self.sweep.runs:
            if _read(self.of(run) / "asked.json") != run.config.plain():
                write_json(self.of(run) / "asked.json", run.config.plain(), indent=1, alone=True)

    def _check_origin(self) -> None:
        base = self.sweep.base
        assert base.base_model is not None
        origin = {"snapshot": Snapshot(base.snapshot).hash, "base_model": _hash_of_model(Path(base.base_model))}
        known = _read(self.out / "sweep_of.json")
        changed = [name for name, value in origin.items() if known.get(name, value) != value]
        if changed:
            raise Refused(
                "foreign_sweep",
                f"{self.out} holds a sweep with another {' and '.join(changed)}: choose another --out.",
            )
        write_json(self.out / "sweep_of.json", origin, indent=1, alone=True)

    def _check_asked(self, run: Run) -> None:
        known, wanted = _read(self.of(run) / "asked.json"), run.config.decisive()
        changed = [key for key, value in wanted.items() if known and known.get(key, "not there") != value]
        if changed:
            words = ", ".join(f"{key} was {known.get(key, 'not there')}, is {wanted[key]}" for key in changed[:3])
            raise Refused(
                "foreign_sweep",
                f"{self.of(run)} holds a run of that name with other settings ({words}): choose another --out.",
            )

    def _check_room(self) -> None:
        """For one run's checkpoints and every model that is kept; what lies here already counts."""
        base, runs = self.sweep.base, self.sweep.runs
        size = run_size(Path(str(base.base_model)), with_text=any(run.config.text_rate > 0 for run in runs))
        models = len(runs) if self.sweep.keep_models == "all" else min(len(runs), 2 * len(self.sweep.seeds))
        there = sum(path.stat().st_size for path in (self.out / "runs").glob("*/*/*.safetensors"))
        needed = RunSize(size.checkpoint_bytes, size.model_bytes * models).bytes - there
        free = shutil.disk_usage(self.out).free
        if needed > free:
            less = ", set keep_models to best" if self.sweep.keep_models == "all" else ""
            raise Refused(
                "disk_full",
                f"The sweep's {models} models and one run's checkpoints take {gigabytes(needed)} of disk, "
                f"{gigabytes(free)} are free in {self.out}: {gigabytes(needed - free)} are missing. Remove old runs or "
                f"models{less}, or choose another --out.",
            )

    def trained(self, run: Run) -> dict[str, Any]:
        """The run's manifest, which the trainer writes last; empty before."""
        return _read(self.of(run) / "manifest.json")

    def judging(self, model: str) -> dict[str, Any]:
        """The config of `evaluate`: whatever the runs have in common that it knows."""
        plain = self.sweep.base.plain()
        common = {key: plain[key] for key, verbs in FOR_VERBS.items() if verbs == ALL_VERBS}
        return {**common, "model": model, "split": self.sweep.split}

    def is_judged(self, name: str, weights_hash: str | None) -> bool:
        """Whether these weights' answers lie here, made as they would be made now."""
        folder = self.judged(name)
        found, made = _read(folder / "manifest.json"), _read(folder / "asked.json")
        wanted = self.judging("")
        is_alike = all(made.get(key) == wanted[key] for key in JUDGING)
        return bool(found) and is_alike and weights_hash in (None, found.get("weights_hash"))

    def weights_of_base(self) -> str:
        return str(_read(self.judged(BASE) / "manifest.json")["weights_hash"])

    def forget_checkpoints(self, run: Run) -> None:
        """A finished run goes on from nothing any more."""
        shutil.rmtree(self.of(run) / "checkpoints", ignore_errors=True)

    def forget_models(self, points: list[Point]) -> None:
        for point in points:
            for run in point.runs:
                shutil.rmtree(self.of(run) / "model", ignore_errors=True)


def _hash_of_model(folder: Path) -> str:
    """Over its files' bytes: 2 s for SAM 3."""
    files = weights_files(folder)
    if not files or not (folder / "config.json").is_file():
        raise Refused("bad_model", f"There is no model folder {folder} with config.json and weights: see `base_model`.")
    whole = hashlib.sha256()
    for path in (folder / "config.json", *files):
        with path.open("rb") as file:
            whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise Refused(
            "foreign_sweep", f"{path} cannot be read ({error}): remove its folder or choose another --out."
        ) from None
    return found if isinstance(found, dict) else {}
