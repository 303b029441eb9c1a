"""A run made again from its resolved config, base and snapshot; are the weights the same, and if not, what differs."""

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings

from annotator.common.audit import audit_record
from annotator.common.errors import RoostError
from annotator.data.image_files import images_fetch
from annotator.data.snapshot_documents import PAIRS_FILE, file_sha256
from annotator.data.snapshot_folders import snapshot_folder
from annotator.data.snapshots import snapshot_images
from annotator.models import ModelVersion, Snapshot, TrainingRun
from toolbox.events import Event
from toolbox.files import make_folder
from toolbox.training_settings import TrainerConfig
from toolbox.weights_hash import folder_weights_hash

from .model_weights import model_folder
from .models_folder import model_folder_register, weights_lock
from .run_files import run_folder
from .trainer_data import trainer_data
from .trainer_process import run_trainer

# Of the resolved config: choices, and what of the machine the arithmetic depends on.
CHOICES = ("recipe", "micro_pairs", "judge_pairs", "recompute", "threads", "device", "checkpoint_every")
# Facts of the run's manifest, and what to call them.
COMPARED = (
    ("snapshot_hash", "the snapshot's content"),
    ("base_weights_hash", "the base's weights"),
    ("code_hash", "the code"),
    ("code_revision", "the code's revision"),
    ("machine", "the machine"),
    ("threads", "the number of threads"),
    ("processes", "the number of processes"),
    ("device", "the device"),
    ("fit", "how the batch was cut to fit the memory"),
    ("steps", "the steps that were made"),
)


@dataclass(frozen=True)
class Reproduction:
    """`differs`: sentences, empty where nothing that is known does. `kept`: the weights lie among the models again.

    `kept_step` 0: nothing that was learnt was better than the base, so that equal weights prove little; then the
    `losses` that were compared, step by step, tell whether the training itself went the same way.
    """

    run: int
    version: str
    expected: str
    found: str
    differs: list[str]
    seconds: float
    kept: bool
    kept_step: int
    losses: int

    @property
    def is_same(self) -> bool:
        return self.expected == self.found


def run_reproduce(
    *, run: TrainingRun, keep: bool = False, on_event: Callable[[dict], None] | None = None
) -> Reproduction:
    """Train again in a scratch folder that goes afterwards. RoostError names all that is missing before it begins.

    `keep`: where the hash is the same and the version's weights are gone, they come back.
    """
    version = _check_there(run)
    earlier = _earlier(run)
    if settings.IMAGES_BUCKET:
        images_fetch(sha256s=snapshot_images(run.snapshot), on_progress=lambda done, of: None)
    losses: dict[int, float] = {}

    def take(event: dict[str, Any]) -> None:
        if event["event"] == Event.LOSS:
            losses[event["step"]] = event["total"]
        if on_event is not None:
            on_event(event)

    with _scratch(run) as folder:
        manifest = run_trainer("train", _config(run, earlier), folder, take)
        same = manifest["weights_hash"] == version.weights_hash
        if same and keep:
            _keep(version, folder / "model")
        return Reproduction(
            run.number,
            version.name,
            version.weights_hash,
            manifest["weights_hash"],
            [*_differences(earlier, manifest), *_other_losses(run, losses)],
            manifest["seconds"],
            same and keep,
            manifest["metrics"]["best_step"],
            len(losses.keys() & _losses_then(run).keys()),
        )


def _check_there(run: TrainingRun) -> ModelVersion:
    version = run.version
    if version is None:
        raise RoostError(f"Run {run.number} made no version: there is nothing to compare with.", code="no_version")
    if missing := [*_lacking_snapshot(run.snapshot), *_lacking_base(run, version)]:
        words = f"Run {run.number} can't be made again: {'; '.join(missing)}."
        raise RoostError(words, code="irreproducible")
    return version


def _lacking_snapshot(snapshot: Snapshot) -> Iterator[str]:
    folder, name = snapshot_folder(snapshot), f"snapshot {snapshot.number}"
    if not folder.is_dir():
        yield f"the files of {name} are gone from {folder}"
        return
    listed = folder / PAIRS_FILE
    if listed.is_file() and file_sha256(listed) != snapshot.content_hash:
        yield f"{name} is not what its hash says: {listed} was changed"
    if settings.IMAGES_BUCKET:
        return
    gone = [one for one in snapshot_images(snapshot) if not (settings.IMAGES_DIR / one[:2] / one).is_file()]
    if gone:
        yield f"{len(gone)} of its images are gone, the first is {gone[0]}"


def _lacking_base(run: TrainingRun, version: ModelVersion) -> Iterator[str]:
    try:
        folder = model_folder(run.base_version)
        found = folder_weights_hash(folder)
    except (RoostError, ValueError, OSError) as error:
        yield f"its base can't be read: {str(error).rstrip('.')}"
        return
    if version.base_hash and found != version.base_hash:
        yield f"{folder} holds other weights ({found[:12]}…) than it was trained from ({version.base_hash[:12]}…)"


def _earlier(run: TrainingRun) -> dict[str, Any]:
    """The run's own manifest; where its folder was cleaned away, what the version's row kept of it."""
    path = run_folder(run) / "manifest.json"
    if path.is_file():
        return json.loads(path.read_text(encoding="utf-8"))
    version = run.version
    assert version is not None
    kept = {"config": version.metrics.get("config", {}), "packages": version.packages}
    facts = {"code_revision": version.code_revision, "base_weights_hash": version.base_hash}
    return kept | {name: value for name, value in facts.items() if value}


def _config(run: TrainingRun, earlier: dict[str, Any]) -> dict[str, Any]:
    """The settings as they counted, whatever their defaults are by now; folders as they lie today; no trackers."""
    config = earlier["config"]
    names = {*TrainerConfig.decisive_names(), *CHOICES} & set(config)
    asked = {name: config[name] for name in names}
    if asked.get("minutes") is not None and "steps" in earlier:
        asked |= {"minutes": None, "steps": earlier["steps"]}  # the clock is no part of what it came to
    groups = {
        name: choice for name, choice in (config.get("groups") or {}).items() if name not in ("launch", "tracking")
    }
    folders = trainer_data(run.snapshot) | {"base_model": str(model_folder(run.base_version))}
    return folders | asked | ({"groups": groups} if groups else {})


@contextmanager
def _scratch(run: TrainingRun) -> Iterator[Path]:
    make_folder(settings.RUNS_DIR)
    with tempfile.TemporaryDirectory(prefix=f".reproduce-{run.number}-", dir=settings.RUNS_DIR) as folder:
        yield Path(folder)


def _keep(version: ModelVersion, source: Path) -> None:
    with weights_lock():
        model_folder_register(name=version.name, source=source)
        ModelVersion.objects.filter(pk=version.pk).update(weights_removed_at=None, archived_at=None)
    audit_record(project=version.project, actor=None, action="version.reproduce", subject=version.name)


def _differences(earlier: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """By name, what is known of both; and what was not written down then."""
    told = [
        f"{words}: {_short(earlier[key])} then, {_short(now.get(key))} now"
        for key, words in COMPARED
        if key in earlier and earlier[key] != now.get(key)
    ]
    then, today = earlier.get("packages") or {}, now.get("packages") or {}
    told += [
        f"{name}: {then.get(name, 'absent')} then, {today.get(name, 'absent')} now"
        for name in sorted({*then, *today})
        if then and then.get(name) != today.get(name)
    ]
    unknown = [words for key, words in COMPARED if key not in earlier] + ([] if then else ["the packages"])
    return [*told, *([f"not written down at the time: {', '.join(unknown)}"] if unknown else [])]


def _losses_then(run: TrainingRun) -> dict[int, float]:
    return {row["step"]: row["total"] for row in run.series.get(Event.LOSS) or []}


def _other_losses(run: TrainingRun, now: dict[int, float]) -> list[str]:
    """The first step at which the training went another way."""
    then = _losses_then(run)
    step = next((step for step in sorted(then.keys() & now.keys()) if then[step] != now[step]), None)
    return [] if step is None else [f"the loss at step {step}: {then[step]} then, {now[step]} now"]


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
