"""What `manage.py doctor` looks at: each check says how it is and, if that is bad, what to do."""

import importlib.util
import json
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from annotator import ml_client
from annotator.celery import app
from annotator.common.errors import RoostError
from annotator.data import buckets
from annotator.data.data_repository import remote_of
from annotator.data.dvc import dvc_program, dvc_version
from annotator.data.uploads import KEPT, uploads_waiting
from annotator.jobs.workers import workers_alive
from annotator.label_studio.client import LabelStudioClient
from annotator.label_studio.links import link_check
from annotator.models import LabelStudioLink, Project, TrainingRun
from annotator.registry.run_files import features_folder, folder_bytes, runs_kept
from toolbox.processes import jemalloc_path
from toolbox.run_size import gigabytes
from toolbox.weights import weights_header
from toolbox.weights_hash import weights_hash

FREE_GB = 5
EXTRAS = {
    "psycopg": "Postgres",
    "redis": "the Redis broker",
    "boto3": "S3 buckets",
    "onnxruntime": "faster clicks on a CPU",
    "mlflow-skinny": "runs in MLflow",
    "wandb": "runs in Weights & Biases",
    "tensorboard": "runs in TensorBoard",
    "nvidia-ml-py": "a GPU's figures",
    "peft": "training adapters in the ViT",
}
# Of the packages whose module has another name.
MODULES = {"mlflow-skinny": "mlflow", "nvidia-ml-py": "pynvml"}


@dataclass(frozen=True)
class Finding:
    """`good` None: nothing is wrong, something optional is just not there."""

    name: str
    good: bool | None
    words: str


def diagnose(*, running: bool = True) -> Iterator[Finding]:
    """All findings, in the order of what depends on what; without `running`, the installation alone."""
    checks: list[Callable[[], Finding]] = [_python, _packages, _weights, _database, _folder, _bucket, _sources]
    checks += [_uploads, _run_files, _data_versions, _broker]
    if running:
        checks += [_served_weights, _workers, _backend, _label_studio]
    for check in [*checks, _gpu, _jemalloc]:
        try:
            yield check()
        except Exception as error:  # one sick organ must not hide the others
            yield Finding(check.__name__.strip("_"), False, f"{type(error).__name__}: {error}")
    for package, purpose in EXTRAS.items():
        there = importlib.util.find_spec(MODULES.get(package, package)) is not None
        yield Finding(f"extra {package}", True if there else None, purpose if there else f"not installed ({purpose})")


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    good = sys.version_info[:2] == (3, 11)
    return Finding("python", good, version if good else f"{version}; Roost needs 3.11: make clean, make run")


def _packages() -> Finding:
    """requirements.txt pins exactly; a local build (torch 2.13.0+cpu) counts as its version."""
    wanted = re.findall(r"^([A-Za-z0-9._-]+)==([^\s#]+)", (settings.BASE_DIR / "requirements.txt").read_text(), re.M)
    wrong = [f"{name} {found} instead of {version}" for name, version in wanted if (found := _version(name)) != version]
    if wrong:
        return Finding("packages", False, f"{', '.join(wrong)}: pip install -r requirements.txt -c constraints.txt")
    return Finding("packages", True, f"{len(wanted)} as pinned")


def _version(name: str) -> str:
    try:
        return metadata.version(name).partition("+")[0]
    except metadata.PackageNotFoundError:
        return "none"


def _weights() -> Finding:
    """The shipped model: whole, and the one that its card tells of."""
    path = settings.SHIPPED_MODEL_DIR / "model.safetensors"
    fix = "git checkout -- mlbackend/weights"
    if not path.exists():
        return Finding("weights", False, f"{path} is missing: {fix}")
    if trouble := _weights_trouble(path, path.with_name("card.json")):
        return Finding("weights", False, f"{trouble}: {fix}")
    tensors, size = weights_header(path)
    return Finding("weights", True, f"demo, {len(tensors)} tensors, {size / 1e6:.1f} MB, as its card says")


def _served_weights() -> Finding:
    """Trained versions that projects serve, against what was written down when they were registered."""
    names = set(Project.objects.values_list("serving_version__name", flat=True))
    paths = [settings.MODELS_DIR / name / "model.safetensors" for name in sorted(names)]
    here = [path for path in paths if path.exists()]
    troubles = [
        f"{path.parent.name}: {trouble}; roll back, or copy it here again"
        for path in here
        if (trouble := _weights_trouble(path, path.with_name("manifest.json")))
    ]
    if troubles:
        return Finding("served weights", False, "; ".join(troubles))
    words = ", ".join(path.parent.name for path in here)
    return Finding("served weights", True, words or "no trained version is served from this machine's folder")


def _weights_trouble(path: Path, promise: Path) -> str:
    """What is wrong with the file: cut off, or not what the manifest or card beside it promises; "" when nothing is."""
    if weights_header(path)[1] != path.stat().st_size:
        return f"{path.name} is cut off"
    promised = json.loads(promise.read_text()).get("weights_hash") if promise.exists() else None
    if promised not in (None, weights_hash(path)):
        return f"{path.name} is not what {promise.name} promises (weights_hash differs)"
    return ""


def _database() -> Finding:
    try:
        executor = MigrationExecutor(connection)
        waiting = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError as error:
        return Finding("database", False, _database_away(error))
    if waiting:
        return Finding("database", False, f"{len(waiting)} migrations wait: python manage.py migrate")
    return Finding("database", True, f"{connection.vendor}, migrated")


def _database_away(error: DatabaseError) -> str:
    said = " ".join(str(error).split())
    if connection.vendor == "sqlite":
        return f"sqlite: {said}"
    words = "Is Postgres running, does ROOST_POSTGRES name it rightly, and is the database made (createdb)?"
    return f"{connection.vendor} does not answer. {words} It says: {said}"


def _folder() -> Finding:
    settings.VAR_DIR.mkdir(parents=True, exist_ok=True)
    probe = settings.VAR_DIR / ".doctor"
    probe.write_text("x")
    probe.unlink()
    free_gb = shutil.disk_usage(settings.VAR_DIR).free / 1e9
    words = f"{settings.VAR_DIR}, {free_gb:.0f} GB free"
    good = free_gb >= FREE_GB
    return Finding("disk", good, words if good else f"{words}; images and checkpoints want {FREE_GB} GB or more")


def _bucket() -> Finding:
    """Whether the image store's bucket lets itself be read; writing is tried by the first import."""
    if not settings.IMAGES_BUCKET:
        return Finding("image bucket", None, "none; images lie on this machine alone (ROOST_IMAGES_BUCKET)")
    try:
        next(buckets.keys_listed(buckets.place_named(settings.IMAGES_BUCKET)), None)
    except RoostError as error:
        return Finding("image bucket", False, str(error))
    return Finding("image bucket", True, settings.IMAGES_BUCKET)


def _sources() -> Finding:
    """A folder that is misspelt refuses whatever people name."""
    if absent := [root for root in settings.SOURCES if not Path(root).is_dir()]:
        return Finding("open sources", False, f"ROOST_SOURCES names no folder: {', '.join(absent)}")
    opened = ", ".join([*settings.SOURCES, *settings.BUCKETS])
    return Finding("open sources", True if opened else None, opened or "none; what people import, they upload")


def _uploads() -> Finding:
    """What was sent to be looked at and not imported yet, or broke off while it came."""
    try:
        waiting = uploads_waiting()
    except DatabaseError:
        return Finding("uploads", None, "not counted: the database does not answer")
    if not waiting:
        return Finding("uploads", True, "none waits for its import")
    days = (time.time() - min(came_at for _, came_at in waiting)) / 86400
    words = f"{len(waiting)} looked at and not imported, the oldest {days:.1f} days old"
    return Finding("uploads", True, f"{words}; a worker removes them after {KEPT.days} days")


def _run_files() -> Finding:
    """What training keeps on the disk, and what of it goes by itself."""
    try:
        kept = runs_kept()
        numbers = TrainingRun.objects.values_list("project__slug", "number")
        known = {f"{slug}-{number}" for slug, number in numbers}
    except DatabaseError:
        return Finding("training files", None, "not counted: the database does not answer")
    features = folder_bytes(features_folder())
    words = (
        f"{gigabytes(sum(one.bytes for _, one in kept))} of checkpoints of runs that broke off ({len(kept)}), kept for "
        f"{settings.CHECKPOINT_DAYS:g} days; {gigabytes(features)} of cached features"
    )
    folders = settings.RUNS_DIR.glob("*-[0-9]*") if settings.RUNS_DIR.is_dir() else ()
    if lost := sorted(path.name for path in folders if path.is_dir() and path.name not in known):
        words += f"; of no run here: {', '.join(lost[:5])} (remove them by hand if nothing else needs them)"
    return Finding("training files", True, words)


def _data_versions() -> Finding:
    """Whether they can be published, and where to."""
    if dvc_program() is None:
        absent = "DVC is not installed; snapshots work, but are not published (requirements-extras.txt, ROOST_DVC)"
        return Finding("data versions", None, absent)
    try:
        remote, version = remote_of(""), dvc_version()
    except RoostError as error:
        return Finding("data versions", False, str(error))
    where = f"pushed to {settings.DATA_REMOTE}" if remote else "kept on this machine (ROOST_DATA_REMOTE)"
    return Finding("data versions", True, f"DVC {version}, {where}")


def _broker() -> Finding:
    address = urlsplit(app.conf.broker_url)
    name = address.scheme if address.scheme == "fsatomic" else f"{address.scheme}://{address.hostname}:{address.port}"
    try:
        with app.connection_for_write() as broker:
            broker.ensure_connection(max_retries=1, timeout=2)
    except ImportError as error:
        return Finding("broker", False, f"{error}: pip install -r requirements-scale.txt -c constraints.txt")
    except Exception as error:  # whatever a broker's client raises
        words = "Is it running, and is ROOST_BROKER_URL right? Jobs wait until it is back."
        return Finding("broker", False, f"{name} does not answer. {words} ({type(error).__name__}: {error})")
    return Finding("broker", True, name)


def _workers() -> Finding:
    names = workers_alive()
    if not names:
        return Finding("workers", False, "none on this machine: python manage.py up")
    return Finding("workers", True, ", ".join(names))


def _backend() -> Finding:
    status = ml_client.backend_status()
    if status.state == "ready":
        return Finding("ml backend", True, f"ready at {settings.MLBACKEND_URL}, versions {', '.join(status.versions)}")
    return Finding("ml backend", False, f"{status.state}: {status.reason}")


def _label_studio() -> Finding:
    links = list(LabelStudioLink.objects.all())
    if not links:
        return Finding("label studio", None, "no project is linked to one there")
    try:
        client = LabelStudioClient()
        titles = [link_check(link=link, client=client).title for link in links]
    except RoostError as error:
        return Finding("label studio", False, str(error))
    return Finding("label studio", True, f"answers, linked: {', '.join(titles)}")


def _gpu() -> Finding:
    if shutil.which("nvidia-smi"):
        return Finding("gpu", True, "nvidia-smi is there")
    return Finding("gpu", None, "none; the demo model needs none, SAM 3 at full size takes a minute an image without")


def _jemalloc() -> Finding:
    if path := jemalloc_path():
        return Finding("jemalloc", True, path)
    return Finding("jemalloc", None, "not installed; training is several times slower (Debian: libjemalloc2)")
