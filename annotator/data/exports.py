"""Exports as jobs: settled pairs, verified negatives included, in one of the formats, with a manifest.

Images are read, written and forgotten one after the other: an export needs no more memory for more of them. What
nobody looked at is never background: a picture enters only where every exported concept is settled.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.utils import timezone

from annotator.common.errors import RoostError
from annotator.jobs.kinds import job_kind
from annotator.jobs.services import JobContext, job_enqueue
from annotator.models import Image, Job, Project

from .buckets import is_bucket
from .export_layouts import LAYOUTS
from .export_pictures import upright_bytes
from .export_rows import Settled, SettledNow, SettledThen
from .export_targets import MANIFEST, Target, target_check, target_opened
from .formats.records import UniqueNames
from .image_files import image_file
from .named_sources import source_allowed
from .writers.parts import ArraysDocument, Row, Wishes, Writer

FORMATS = tuple(LAYOUTS)
MASKS, BOXES = ("rle", "polygon"), ("norm", "px")
REPORTED = 50
IMAGES_A_WORD = 20
GONE = "The file of {} is gone; bring it back from a backup, or import it again. Or export without images."
OPEN = "Nobody settled {} in it, and whoever reads this format takes what is not there for background."
INCOMPLETE = "Not every object of {} is outlined, which this format can't tell."


@dataclass(frozen=True)
class ExportWishes:
    """`masks`: rle or polygon (COCO). `boxes`: norm or px (SA-Co). `include_unlooked`: pictures with open concepts too.

    `with_retired`: concepts that are asked for no more, too. `concepts`: these alone. `snapshot`: its number; None for
    what is settled now. `to`: a folder or s3://bucket/prefix; empty for a zip to download.
    """

    format: str = "coco"
    splits: Sequence[str] = ()
    with_images: bool = True
    with_retired: bool = False
    masks: str = "rle"
    boxes: str = "norm"
    include_unlooked: bool = False
    snapshot: int | None = None
    concepts: Sequence[str] = ()
    to: str = ""


def export_start(
    *, project: Project, user: AbstractBaseUser | None, named_by_person: bool = False, **wishes: Any
) -> Job:
    """Queue an export (ExportWishes); refused when nothing is settled yet.

    `named_by_person`: `to` comes from a page or with a token, and has to be a bucket that the server's owner opened.
    """
    asked = ExportWishes(**wishes)
    _check(asked)
    if named_by_person and asked.to:
        asked = ExportWishes(**{**wishes, "to": _bucket_allowed(asked.to)})
    target_check(asked.to)
    settled = _source(project, asked)
    if not settled.categories or not _any(project, asked):
        raise RoostError("Nothing is approved or imported here yet, so there is nothing to export.")
    params = {**asdict(asked), "splits": list(asked.splits), "concepts": list(asked.concepts)}
    if named_by_person and asked.to:
        params["named_by_person"] = True
    return job_enqueue(project=project, kind=Job.Kind.EXPORT, params=params, created_by=user)


def export_file(*, job: Job) -> Path:
    """Where a finished export lies; RoostError when there is none (any more)."""
    name = job.report.get("file") if job.kind == Job.Kind.EXPORT else None
    path = settings.EXPORTS_DIR / str(name)
    if not name or not path.is_file():
        raise RoostError("This job has no file to download; export again.", code="no_export", http_status=404)
    return path


@job_kind(Job.Kind.EXPORT)
def export_run(context: JobContext) -> dict[str, Any]:
    """The job's work; a second run replaces what the first one wrote."""
    job = context.job
    known = {key: value for key, value in job.params.items() if key != "named_by_person"}
    wishes = ExportWishes(**known)
    if job.params.get("named_by_person"):
        _bucket_allowed(wishes.to)  # what is open may have changed since
    name = f"{job.project.slug}-{job.pk}-{wishes.format}.zip"
    settings.EXPORTS_DIR.mkdir(parents=True, exist_ok=True)
    with target_opened(wishes.to, download=name, job=job.pk) as target:
        export = _Export(context, wishes, target)
        export.write()
    return {**({"to": wishes.to} if wishes.to else {"file": name}), "bytes": target.bytes, **export.report()}


def _check(asked: ExportWishes) -> None:
    if asked.format not in LAYOUTS:
        words = f"An export is one of {', '.join(LAYOUTS)}, not {asked.format!r}."
        raise RoostError(words, fields={"format": ["Unknown."]})
    if unknown := sorted(set(asked.splits) - set(Image.Split.values)):
        raise RoostError(f"There is no split {unknown[0]!r}.", fields={"splits": ["Unknown."]})
    for name, value, known, of in (("masks", asked.masks, MASKS, "coco"), ("boxes", asked.boxes, BOXES, "saco")):
        if value not in known or (value != known[0] and asked.format != of):
            words = (
                f"{name} is {' or '.join(known)}, and only {LAYOUTS[of].words} has a choice; {value!r} is none here."
            )
            raise RoostError(words, fields={name: ["Not for this format."]})
    if asked.include_unlooked and not LAYOUTS[asked.format].tells_open:
        words = (
            f"{LAYOUTS[asked.format].words}: what is not labelled counts as background there, so pictures that nobody "
            "looked through can't be included. Take COCO, SA-Co, LabelMe or Label Studio, or name settled concepts."
        )
        raise RoostError(words, fields={"include_unlooked": ["Not for this format."]})


def _bucket_allowed(to: str) -> str:
    if not is_bucket(to):
        raise RoostError("Name a bucket, s3://bucket/prefix; folders are written by the command alone.")
    return source_allowed(to)


def _source(project: Project, asked: ExportWishes) -> SettledNow | SettledThen:
    if asked.snapshot is None:
        return SettledNow(project, with_retired=asked.with_retired, concepts=asked.concepts)
    snapshot = project.snapshots.filter(number=asked.snapshot).first()
    if snapshot is None:
        raise RoostError(f"There is no snapshot {asked.snapshot} here.", fields={"snapshot": ["Unknown."]})
    return SettledThen(snapshot, concepts=asked.concepts)


def _any(project: Project, asked: ExportWishes) -> bool:
    if asked.snapshot is not None or not asked.splits:
        return True
    pairs = project.pairs.filter(image__split__in=asked.splits).exclude(truth="unseen")
    return pairs.filter(concept__merged_into=None).exists()


@dataclass
class _Tally:
    """What the manifest and the report say; lists are spooled, for they may be long."""

    by_split: dict[str, Counter[str]] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    examples: list[dict[str, str]] = field(default_factory=list)
    turned: int = 0
    outlineless: int = 0

    def add(self, row: Row, found: Settled) -> None:
        counts = self.by_split.setdefault(row.split, Counter(images=0, instances=0, verified_negatives=0))
        counts.update(images=1, instances=len(row.record.instances), verified_negatives=len(row.record.absent))
        self.outlineless += found.outlineless

    def leave_out(self, row: Row, why: str) -> dict[str, str]:
        entry = {"name": row.record.name, "sha256": row.sha256, "split": row.split, "why": why}
        self.left_out[why] += 1
        if len(self.examples) < REPORTED:
            self.examples.append(entry)
        return entry


class _Export:
    """One run: reads the settled images, writes those that may enter, and tells of the others."""

    def __init__(self, context: JobContext, wishes: ExportWishes, target: Target) -> None:
        self._context, self._wishes, self._target = context, wishes, target
        self._source = _source(context.job.project, wishes)
        self._layout = LAYOUTS[wishes.format]
        how = Wishes(masks=wishes.masks, boxes=wishes.boxes)
        self._writer: Writer = self._layout.writer(self._source.categories, target, settings.EXPORTS_DIR, how)
        self._lists = ArraysDocument(settings.EXPORTS_DIR, {}, ["images_sha256", "left_out", "written_upright"])
        self._names = UniqueNames()
        self._tally = _Tally()
        self._notes: list[str] = []

    def write(self) -> None:
        number, instance = 0, 1
        for number, found in enumerate(self._source.images(self._shown), start=1):
            record = found.record
            row = Row(number, instance, found.sha256, self._names.taken(record.name), record)
            instance += len(record.instances)
            if not self._wishes.splits or record.split in self._wishes.splits:
                self._take(row, found)
        self._notes = [*self._writer.finish(), *self._told()]
        self._write_manifest()

    def report(self) -> dict[str, Any]:
        counts = {split: dict(self._tally.by_split[split]) for split in self._splits()}
        return {
            "counts": counts,
            "notes": " ".join(self._notes),
            "left_out": self._tally.examples,
            "left_out_count": self._tally.left_out.total(),
        }

    def _shown(self, done: int, of: int) -> None:
        if done % IMAGES_A_WORD == 0:
            self._context.progress_of(done, of, "images read and packed")

    def _take(self, row: Row, found: Settled) -> None:
        if why := self._reason_against(found):
            self._lists.add("left_out", self._tally.leave_out(row, why))
            return
        self._writer.add(row)
        self._lists.add("images_sha256", row.sha256)
        self._tally.add(row, found)
        if self._wishes.with_images:
            self._picture(row)

    def _reason_against(self, found: Settled) -> str:
        names = (one.name for one in self._source.categories)
        open_names = [name for name in names if name not in found.settled]
        if open_names and not self._layout.by_pair and not self._wishes.include_unlooked:
            return OPEN.format(_listed(open_names))
        if found.record.incomplete and not self._layout.tells_incomplete:
            return INCOMPLETE.format(_listed(sorted(found.record.incomplete)))
        return ""

    def _picture(self, row: Row) -> None:
        try:
            file = image_file(row.sha256)
        except FileNotFoundError:
            raise RoostError(GONE.format(row.record.name)) from None
        upright = upright_bytes(file)
        path = self._writer.picture_path(row)
        if upright is not None:
            self._tally.turned += 1
            self._lists.add("written_upright", {"path": path, "sha256": row.sha256})
        self._target.picture(path, file, upright)

    def _told(self) -> list[str]:
        tally, source = self._tally, self._source
        told = []
        if left := tally.left_out.total():
            words = "; add include_unlooked to take them in" if self._layout.tells_open else ""
            told.append(f"{left} pictures were left out; left_out says which, and why{words}.")
        if tally.turned:
            told.append(
                f"{tally.turned} pictures were turned by their EXIF flag; they were written anew, upright and without "
                "the flag (written_upright), as their masks are."
            )
        if tally.outlineless:
            told.append(f"{tally.outlineless} objects have a mask without a pixel and were left out.")
        if source.pseudo:
            told.append(f"{source.pseudo} pseudo-labels of the snapshot were left out: no person settled them.")
        if source.unsettled:
            told.append(f"Nothing is settled of {_listed(source.unsettled)}, so the export does not have it.")
        return told

    def _splits(self) -> list[str]:
        return sorted(self._tally.by_split)

    def _write_manifest(self) -> None:
        wishes, job = self._wishes, self._context.job
        head = {
            "made_by": "Roost",
            "project": job.project.slug,
            "job": job.pk,
            "format": wishes.format,
            "options": {key: value for key, value in asdict(wishes).items() if key not in ("format", "to")},
            "made_at": timezone.now().isoformat(timespec="seconds"),
            "categories": {one.name: one.id for one in self._source.categories},
            "counts": self.report()["counts"],
            "left_out_counts": dict(self._tally.left_out),
            "notes": " ".join(self._notes),
            "annotation_files_sha256": dict(self._target.sums),
        }
        self._lists.head = json.loads(json.dumps(head))
        self._target.pieces(MANIFEST, self._lists.pieces())


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:5])
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown
