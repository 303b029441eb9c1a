"""One verified archive a version, out and in: weights, config, tokenizer, manifest, figures, decisions, lineage."""

import hashlib
import json
import os
import re
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import QuerySet

from annotator.common.audit import audit_record
from annotator.common.errors import ConflictError, RoostError
from annotator.data.sources import ImportSource, source_opened
from annotator.models import GateDecision, ModelVersion, Project
from toolbox.files import make_folder, written_whole
from toolbox.weights_hash import folder_weights_hash

from .model_weights import BASE_VERSION, DEMO_VERSION, model_folder, promised_hash, versions_usable
from .models_folder import model_folder_register, weights_lock
from .run_files import run_folder
from .version_calibration import read_calibration
from .version_facts import run_of_version, version_lineage
from .version_keeping import version_check

FORMAT, EDITION = "roost-model", 1
INDEX_FILE = "archive.json"
INDEX_BYTES = 64 * 1024 * 1024
CHUNK_BYTES = 1 << 22
MEMBER = re.compile(r"(model|run)/[A-Za-z0-9_][A-Za-z0-9._-]{0,120}")
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
# Of archive.json, by where they lie there.
KINDS: dict[str, dict[str, type]] = {
    "": {"name": str, "weights_hash": str, "backbone_hash": str, "notes": str, "made": str}
    | {"metrics": dict, "lineage": dict, "decisions": list},
    "metrics.": {"config": dict, "recipe": str},
    "lineage.": {"parent": str, "base_hash": str, "code_revision": str, "packages": dict},
}
RUN_FILES = ("config.yaml", "manifest.json")


class ArchiveError(RoostError):
    """The archive is not what it says it is, or can't be taken in; nothing was."""

    code = "bad_archive"


@dataclass(frozen=True)
class Packed:
    version: str
    weights_hash: str
    files: int
    bytes: int


def version_pack(*, version: ModelVersion, file: Path) -> Packed:
    """Write the archive, whole or not at all, and read it again. Refused where the weights are not its own."""
    if file.exists():
        raise RoostError(f"{file} is there already; name another file.")
    found = version_check(version=version)
    if not found.is_sound:
        raise RoostError(f"{version.name} is not packed. {found.words}", code="other_weights")
    members = dict(_members(version))
    with written_whole(file) as beside:
        _write(beside, version, found.found, members)
        _verify(beside)
    return Packed(version.name, found.found, len(members), file.stat().st_size)


def _members(version: ModelVersion) -> Iterator[tuple[str, Path]]:
    run = run_of_version(version)
    for path in sorted(model_folder(version).iterdir()):
        if path.is_file():
            yield f"model/{path.name}", path
    if run is None:
        return
    for name in RUN_FILES:
        path = run_folder(run) / name
        if path.is_file():
            yield f"run/{name}", path


def _write(target: Path, version: ModelVersion, weights_hash: str, members: dict[str, Path]) -> None:
    """Weights hardly pack: they are stored, so that a large model is written at the disk's speed."""
    files = {}
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for name, path in members.items():
            with path.open("rb") as source, archive.open(name, "w", force_zip64=True) as copy:
                files[name] = _copied(source, copy)
        told = _told(version) | {"weights_hash": weights_hash, "files": files}
        archive.writestr(INDEX_FILE, json.dumps(told, indent=1, default=str))


def _copied(source: Any, target: IO[bytes]) -> dict[str, Any]:
    """{sha256, bytes} of what went through."""
    digest, size = hashlib.sha256(), 0
    while piece := source.read(CHUNK_BYTES):
        digest.update(piece)
        size += len(piece)
        target.write(piece)
    return {"sha256": digest.hexdigest(), "bytes": size}


def _told(version: ModelVersion) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "edition": EDITION,
        "name": version.name,
        "backbone_hash": version.backbone_hash,
        "metrics": version.metrics,
        "notes": version.notes,
        "made": version.created_at.isoformat(),
        "lineage": asdict(version_lineage(project=version.project, version=version)),
        "decisions": [_decision(gate) for gate in _decisions(version)],
    }


def _decisions(version: ModelVersion) -> QuerySet[GateDecision]:
    """Its own project's: what others found of a shipped version is theirs, and does not leave with it."""
    return GateDecision.objects.filter(challenger=version, project=version.project_id).order_by("pk")


def _decision(gate: GateDecision) -> dict[str, Any]:
    return {
        "decision": gate.decision,
        "reasons": gate.reasons,
        "champion": gate.champion.name,
        "champion_hash": gate.champion.weights_hash,
        "snapshot_hash": gate.snapshot.content_hash,
        "report": gate.report,
        "at": gate.created_at.isoformat(),
    }


def _verify(file: Path) -> None:
    with _opened(file) as (source, told), open(os.devnull, "wb") as nowhere:
        for name, promised in told["files"].items():
            with source.open(name) as stream:
                _must_be(name, promised, _copied(stream, nowhere))


def version_unpack(*, project: Project, file: Path, user: AbstractBaseUser, name: str = "") -> ModelVersion:
    """Take a version in under its own name or another, as a candidate: the gate has still to judge it here."""
    with _opened(file) as (source, told):
        name = name or str(told.get("name"))
        _check_name(name)
        _check_new(project, name, str(told.get("weights_hash")))
        make_folder(settings.MODELS_DIR)
        with tempfile.TemporaryDirectory(prefix=".unpack-", dir=settings.MODELS_DIR) as scratch:
            folder = _taken_out(source, told, Path(scratch))
            with weights_lock():
                model_folder_register(name=name, source=folder)
                return _row(project, name, told, user)


@contextmanager
def _opened(file: Path) -> Iterator[tuple[ImportSource, dict[str, Any]]]:
    """The members by name and what the archive tells; ArchiveError for odd names, links, or a list that differs."""
    if not file.is_file():
        raise ArchiveError(f"There is no file {file}.")
    with source_opened(file) as source:
        if source.problems:
            problem = source.problems[0]
            raise ArchiveError(f"{file.name} is refused: {problem.where}: {problem.why}")
        told = _index(source, file)
        listed, there = set(told["files"]), set(source.names) - {INDEX_FILE}
        if odd := sorted(listed ^ there):
            where = "is not listed in archive.json" if odd[0] in there else "is listed and not there"
            raise ArchiveError(f"{file.name} is refused: {odd[0]} {where}.")
        if wild := sorted(name for name in listed if not MEMBER.fullmatch(name)):
            raise ArchiveError(f"{file.name} is refused: {wild[0]} is no name of a model's or a run's file.")
        yield source, told


def _index(source: ImportSource, file: Path) -> dict[str, Any]:
    if INDEX_FILE not in source.names:
        raise ArchiveError(f"{file.name} is no archive of a model version: it has no {INDEX_FILE}.")
    with source.open(INDEX_FILE) as stream:
        content = stream.read(INDEX_BYTES)
    try:
        told = json.loads(content)
        is_ours = told["format"] == FORMAT and isinstance(told["files"], dict)
    except (ValueError, TypeError, KeyError) as error:
        raise ArchiveError(f"{file.name} is no archive of a model version: its {INDEX_FILE} is damaged.") from error
    if not is_ours or told.get("edition") != EDITION:
        raise ArchiveError(f"{file.name} is of another kind or edition than {FORMAT} {EDITION}.")
    if wrong := next(_of_other_type(told), ""):
        raise ArchiveError(f"{file.name} is refused: {wrong} of its {INDEX_FILE} is not of the kind that it should be.")
    return told


def _of_other_type(told: dict[str, Any]) -> Iterator[str]:
    """Names of entries that pages or the row could not take; what is not there, or null, is not known."""
    places: dict[str, dict[str, Any]] = {"": told}
    for name in ("metrics", "lineage"):
        value = told.get(name)
        places[f"{name}."] = value if isinstance(value, dict) else {}
    for place, kinds in KINDS.items():
        for name, kind in kinds.items():
            value = places[place].get(name)
            if value is not None and not isinstance(value, kind):
                yield place + name
    if not _is_calibration(places["metrics."].get("presence_calibration")):
        yield "metrics.presence_calibration"
    if not all(isinstance(one, dict) for one in told.get("decisions") or []):
        yield "decisions"
    if not all(isinstance(one, str) for one in (places["lineage."].get("packages") or {}).values()):
        yield "lineage.packages"


def _is_calibration(told: Any) -> bool:
    try:
        read_calibration(told)
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError):
        return False
    return True


def _must_be(name: str, promised: Any, found: dict[str, Any]) -> None:
    if promised != found:
        raise ArchiveError(f"{name} is not what the archive promises: it was changed or damaged on its way.")


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name) or name in (DEMO_VERSION, BASE_VERSION):
        raise ArchiveError(f"{name!r} can't be a version's name here; give another with --as.")


def _check_new(project: Project, name: str, weights_hash: str) -> None:
    """A row of that name means other weights, or these already. So does a folder that somebody put there by hand."""
    there = ModelVersion.objects.filter(name=name).first()
    if there is None:
        _check_folder(settings.MODELS_DIR / name, weights_hash)
        return
    own = there.project_id == project.pk
    if own and there.weights_hash == weights_hash and there.weights_removed_at is not None:
        return
    same = "with the same weights" if there.weights_hash == weights_hash else "with other weights"
    raise ConflictError(f"There is a version {name} already, {same}; give another name with --as.", code="name_taken")


def _check_folder(folder: Path, weights_hash: str) -> None:
    """Its weights are read, whatever its manifest says; where they can't be, they are not known to be the same."""
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    try:
        found = folder_weights_hash(folder)
    except (OSError, ValueError):
        found = ""
    if found != weights_hash:
        words = f"{folder} is there already, with other weights than the archive's and of no version that Roost knows"
        raise ConflictError(f"{words}: move it away, or give another name with --as.", code="name_taken")


def _taken_out(source: ImportSource, told: dict[str, Any], scratch: Path) -> Path:
    """The model's folder, each file as promised and the weights hashed as a whole."""
    for name, promised in told["files"].items():
        target = scratch / name
        target.parent.mkdir(exist_ok=True)
        with source.open(name) as stream, target.open("wb") as copy:
            _must_be(name, promised, _copied(stream, copy))
    folder = scratch / "model"
    try:
        found = folder_weights_hash(folder)
    except (OSError, ValueError) as error:
        raise ArchiveError(f"The archive's weights can't be read: {error}") from error
    promised_too = promised_hash(folder)
    if found != told.get("weights_hash") or promised_too not in ("", found):
        raise ArchiveError(f"The archive's weights have the hash {found}, which is not the promised one.")
    return folder


@transaction.atomic
def _row(project: Project, name: str, told: dict[str, Any], user: AbstractBaseUser) -> ModelVersion:
    """Its history elsewhere is kept as it was told, under `brought`: no decision of another place promotes it here,
    and no figure of another place's data stands beside figures of this one's."""
    lineage = told.get("lineage") or {}
    base = str(lineage.get("base_hash") or "")
    here = versions_usable(project=project).filter(weights_hash=base).order_by("project", "pk")
    brought = {key: told.get(key) for key in ("name", "made", "lineage", "decisions", "metrics")}
    told_too = {key: value for key, value in (told.get("metrics") or {}).items() if key in ("config", "recipe")}
    fields = {
        "parent": (here.filter(name=lineage.get("parent")).first() or here.first()) if base else None,
        "weights_hash": told["weights_hash"],
        "backbone_hash": (told.get("backbone_hash") or "")[:64],
        "base_hash": base[:64],
        "code_revision": str(lineage.get("code_revision") or "")[:64],
        "packages": lineage.get("packages") or {},
        "metrics": told_too | {"brought": brought},
        "notes": str(told.get("notes") or ""),
    }
    version, is_new = ModelVersion.objects.get_or_create(name=name, defaults=fields | {"project": project})
    if not is_new:  # it was here before its weights went: its own row knows more than the archive
        ModelVersion.objects.filter(pk=version.pk).update(weights_removed_at=None, archived_at=None)
    audit_record(project=project, actor=user, action="version.unpack", subject=name, weights_hash=told["weights_hash"])
    return version
