"""What `manage.py doctor` looks at: each check says how it is and, if that is bad, what to do."""

import hashlib
import importlib.util
import json
import re
import shutil
import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from annotator import buckets, ml_client
from annotator.errors import RoostError
from annotator.trainer_process import jemalloc_path

from .workers import workers_alive

FREE_GB = 5
EXTRAS = {
    "psycopg": "Postgres",
    "redis": "the Redis broker",
    "boto3": "S3 buckets",
    "mlflow": "runs mirrored to MLflow",
    "tensorboard": "losses in TensorBoard",
    "onnxruntime": "faster clicks on a CPU",
    "dvc": "snapshots versioned with DVC",
    "submitit": "training on SLURM",
}


@dataclass(frozen=True)
class Finding:
    """`good` None: nothing is wrong, something optional is just not there."""

    name: str
    good: bool | None
    words: str


def diagnose(*, running: bool = True) -> Iterator[Finding]:
    """All findings, in the order of what depends on what; without `running`, the installation alone."""
    checks: list[Callable[[], Finding]] = [_python, _packages, _weights, _database, _folder, _bucket, _broker]
    if running:
        checks += [_workers, _backend]
    for check in [*checks, _gpu, _jemalloc]:
        try:
            yield check()
        except Exception as error:  # one sick organ must not hide the others
            yield Finding(check.__name__.strip("_"), False, f"{type(error).__name__}: {error}")
    for module, purpose in EXTRAS.items():
        there = importlib.util.find_spec(module) is not None
        yield Finding(f"extra {module}", True if there else None, purpose if there else f"not installed ({purpose})")


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
    """The shipped model: whole, as its own header says, and which one it is."""
    path = settings.SHIPPED_MODEL_DIR / "model.safetensors"
    if not path.exists():
        return Finding("weights", False, f"{path} is missing: git checkout -- mlbackend/weights")
    header, size = _safetensors_header(path)
    if size != path.stat().st_size:
        return Finding("weights", False, f"{path.name} is cut off: git checkout -- mlbackend/weights")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Finding("weights", True, f"demo, {len(header)} tensors, {size / 1e6:.1f} MB, sha256 {digest[:12]}…")


def _safetensors_header(path: Path) -> tuple[dict, int]:
    """The tensors that the file promises and the size it must then have. Source: the safetensors format."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(min(length, 100_000_000)))
    header.pop("__metadata__", None)
    return header, 8 + length + max((row["data_offsets"][1] for row in header.values()), default=0)


def _database() -> Finding:
    try:
        executor = MigrationExecutor(connection)
        waiting = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError as error:
        return Finding("database", False, f"{connection.vendor}: {error}")
    if waiting:
        return Finding("database", False, f"{len(waiting)} migrations wait: python manage.py migrate")
    return Finding("database", True, f"{connection.vendor}, migrated")


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


def _broker() -> Finding:
    from annotator.celery import app

    scheme = settings.CELERY_BROKER_URL.partition("://")[0]
    with app.connection_for_write() as broker:
        broker.ensure_connection(max_retries=1, timeout=2)
    return Finding("broker", True, scheme)


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


def _gpu() -> Finding:
    if shutil.which("nvidia-smi"):
        return Finding("gpu", True, "nvidia-smi is there")
    return Finding("gpu", None, "none; the demo model needs none, SAM 3 at full size takes a minute an image without")


def _jemalloc() -> Finding:
    if path := jemalloc_path():
        return Finding("jemalloc", True, path)
    return Finding("jemalloc", None, "not installed; training is several times slower (Debian: libjemalloc2)")
