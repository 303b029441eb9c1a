"""Imports as jobs: images, or images with a COCO document's truth; every file that is refused is reported with why."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction

from annotator.common.errors import ImportRefusedError, RoostError
from annotator.jobs.kinds import job_kind
from annotator.jobs.services import JobContext, job_enqueue
from annotator.models import Image, Job, Pair, Project

from .formats.records import Dataset, ImageRecord, Problem
from .image_store import NewImage, image_file_store, image_rows_add
from .import_documents import documents_read
from .import_truth import ConceptMap, concept_map, truth_write, verdicts_of
from .named_sources import source_name, source_of_job, upload_delete, upload_forget
from .sources import ImportSource
from .split_plan import SplitPlan, strata_of
from .splits import DEFAULT, holdout_draw, shares_named

KINDS = ("images", "coco")
ROWS_A_COMMIT = 200
REPORTED_PROBLEMS = 500
IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")


def import_start(
    *,
    project: Project,
    user: AbstractBaseUser | None,
    upload_path: Path | str,
    kind: str = "images",
    split: str | None = None,
    source: str = "",
    exhaustive: bool = False,
    create_concepts: bool = False,
    holdout_share: float = 0.0,
    shares: str = str(DEFAULT),
    named_by_person: bool = False,
) -> Job:
    """Queue an import of a folder, a zip or `s3://bucket/prefix`; who may name which is the caller's question.

    `split`: for all images; else the export's own, else by `shares` of train, val and test. `exhaustive`: the importer
    vouches that every image was fully checked for every category, so that what is not annotated is absent.
    `create_concepts`: categories that no concept is called by become concepts; else they are reported.
    An upload below UPLOADS_DIR is deleted afterwards.
    `named_by_person`: the path comes from services.named_sources.source_allowed, and is looked at again by the job.
    """
    if kind not in KINDS:
        raise RoostError(f"An import is one of {', '.join(KINDS)}, not {kind!r}.", fields={"kind": ["Unknown."]})
    if split and split not in Image.Split.values:
        raise RoostError(f"There is no split {split!r}.", fields={"split": ["train, val, test or holdout."]})
    holdout_draw(sha256s=(), share=holdout_share)
    shares_named(shares)
    params = {
        "path": str(upload_path),
        "kind": kind,
        "split": split or None,
        "source": source or source_name(upload_path),
        "exhaustive": exhaustive,
        "create_concepts": create_concepts,
        "holdout_share": holdout_share,
        "shares": shares,
    } | ({"named_by_person": True} if named_by_person else {})
    return job_enqueue(project=project, kind=Job.Kind.IMPORT, params=params, created_by=user)


@job_kind(Job.Kind.IMPORT, forget=upload_forget)
def import_run(context: JobContext) -> dict[str, Any]:
    """The job's work; safe to run again: what is there already is counted and left as it is.

    The upload stays for another try until the job's row is closed.
    """
    where = context.job.params["path"]
    context.when_ended(lambda: upload_delete(where))
    return _import(context, where)


def _import(context: JobContext, where: str) -> dict[str, Any]:
    with source_of_job(context.job.params) as source:
        tally = _Tally()
        tally.add_problems(source.problems)
        dataset = _dataset(source, context.job.params["kind"])
        tally.add_problems(dataset.problems)
        if not dataset.images:
            raise ImportRefusedError(f"There is no image in {source_name(where)}. {tally.first_reasons()}".strip())
        concepts = concept_map(
            project=context.job.project,
            categories=dataset.categories,
            create=context.job.params["create_concepts"],
            user=context.job.created_by,
        )
        tally.unknown_categories = concepts.unknown
        _import_all(context, source, dataset, concepts, tally)
    return tally.as_report()


@dataclass
class _Tally:
    """What came of an import, as its report shows it."""

    added: int = 0
    already_there: int = 0
    refused: int = 0
    instances: int = 0
    settled: int = 0
    kept: int = 0
    by_split: dict[str, int] = field(default_factory=dict)
    unknown_categories: dict[str, int] = field(default_factory=dict)
    problems: list[dict] = field(default_factory=list)
    more_problems: int = 0

    def add_problems(self, problems: Sequence[Problem]) -> None:
        room = max(REPORTED_PROBLEMS - len(self.problems), 0)
        self.problems += [{"file": one.where[:300], "why": one.why} for one in problems[:room]]
        self.more_problems += len(problems) - len(problems[:room])

    def first_reasons(self) -> str:
        return " ".join(f"{problem['file']}: {problem['why']}" for problem in self.problems[:3])

    def as_report(self) -> dict[str, Any]:
        return {
            "images_added": self.added,
            "images_already_there": self.already_there,
            "images_refused": self.refused,
            "instances": self.instances,
            "pairs_settled": self.settled,
            "pairs_kept": self.kept,
            "by_split": self.by_split,
            "unknown_categories": self.unknown_categories,
            "problems": self.problems,
            "more_problems": self.more_problems,
        }


def _dataset(source: ImportSource, kind: str) -> Dataset:
    if kind == "coco":
        return documents_read(source)
    named = [name for name in source.names if name.lower().endswith(IMAGE_ENDINGS)]
    # A file with no image's ending may be one all the same; those that plainly are not would only fill the report.
    others = [name for name in source.names if not name.lower().endswith(IMAGE_ENDINGS)]
    problems = [Problem(name, "It is not named like an image (.jpg, .png, .webp, .bmp, .tif).") for name in others]
    return Dataset(images=[ImageRecord(name, 0, 0) for name in named], problems=problems)


def _import_all(
    context: JobContext, source: ImportSource, dataset: Dataset, concepts: ConceptMap, tally: _Tally
) -> None:
    done, total = 0, len(dataset.images)
    params = context.job.params
    plan = SplitPlan(
        project=context.job.project,
        shares=shares_named(params.get("shares", str(DEFAULT))),
        holdout_share=params["holdout_share"],
    )
    concept_count = max(context.job.project.concepts.count(), 1)
    for batch in _batches(dataset.images, max(ROWS_A_COMMIT // (1 + concept_count), 1)):
        stored = []
        for record in batch:
            context.progress_of(done, total, "images")
            done += 1
            if new := _stored(params, source, record, concepts, tally):
                stored.append((record, new))
        _write(context.job, stored, concepts, plan, tally)
        context.report(**tally.as_report())


def _batches(records: Sequence[ImageRecord], size: int) -> Iterator[Sequence[ImageRecord]]:
    return (records[start : start + size] for start in range(0, len(records), size))


def _stored(
    params: dict, source: ImportSource, record: ImageRecord, concepts: ConceptMap, tally: _Tally
) -> NewImage | None:
    try:
        with source.open(record.file_name) as stream:
            stored = image_file_store(stream=stream)
    except (ImportRefusedError, KeyError, OSError) as error:
        why = str(error) if isinstance(error, ImportRefusedError) else "It is not there, or can't be read."
        tally.refused += 1
        tally.add_problems([Problem(record.file_name, why)])
        return None
    return NewImage(
        stored=stored,
        name=record.name or record.file_name.rsplit("/", 1)[-1],
        source=params["source"],
        split=params["split"] or record.split,
        strata=_strata(params, record, concepts),
    )


def _strata(params: dict, record: ImageRecord, concepts: ConceptMap) -> tuple[str, ...]:
    """What the document says is on it, so that the splits share that evenly; nothing for images without labels."""
    if not concepts.by_category:
        return ()
    present, absent = verdicts_of(record, concepts, params["exhaustive"])
    verdicts = [(one.name, Pair.Truth.PRESENT) for one in present] + [(one.name, Pair.Truth.ABSENT) for one in absent]
    return strata_of(source=params["source"], verdicts=sorted(verdicts))


@transaction.atomic
def _write(
    job: Job, stored: Sequence[tuple[ImageRecord, NewImage]], concepts: ConceptMap, plan: SplitPlan, tally: _Tally
) -> None:
    """One commit: rows of images and pairs, and what is known of them."""
    rows = image_rows_add(project=job.project, images=[new for _, new in stored], plan=plan)
    tally.add_problems([Problem(one.name, one.words) for one in plan.crossings()])
    counted: set[str] = set()
    for record, new in stored:
        image, is_new = rows[new.stored.sha256]
        if is_new and image.sha256 not in counted:
            counted.add(image.sha256)
            tally.added += 1
            tally.by_split[image.split] = tally.by_split.get(image.split, 0) + 1
        else:
            tally.already_there += 1
            tally.add_problems([Problem(record.file_name, f"These bytes are here already, as {image.original_name}.")])
        if concepts.by_category:
            _write_truth(job, record, image, concepts, tally)


def _write_truth(job: Job, record: ImageRecord, image: Image, concepts: ConceptMap, tally: _Tally) -> None:
    if (record.width_px, record.height_px) != (image.width, image.height):
        said, found = f"{record.width_px} x {record.height_px}", f"{image.width} x {image.height}"
        why = f"The document says {said} px, the image has {found}. Its masks were left out."
        tally.add_problems([Problem(record.file_name, why)])
        return
    outcome = truth_write(record=record, image=image, concepts=concepts, exhaustive=job.params["exhaustive"])
    tally.instances += outcome.instances
    tally.settled += outcome.settled
    tally.kept += outcome.kept
