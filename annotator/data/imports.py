"""Imports as jobs: pictures, and what documents beside them say; every file that is refused is reported with why."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction

from annotator.common.active import concepts_active
from annotator.common.errors import ImportRefusedError, RoostError
from annotator.jobs.kinds import job_kind
from annotator.jobs.services import JobContext, job_enqueue
from annotator.models import Concept, Image, Job, Pair, Project

from .box_drawing import BOXES, boxes_draw_after
from .formats.documents import Document, Size
from .formats.records import ImageRecord, Problem
from .image_store import NewImage, StoredFile, image_batches_store, image_rows_add
from .import_documents import Gathered, Word, names_elsewhere
from .import_files import files_gathered
from .import_look import import_look
from .import_negatives import NegativeWishes, negatives_of
from .import_report import Tally, problems_path
from .import_truth import (
    ConceptMap,
    TruthOutcome,
    concept_map,
    counted,
    images_known,
    negatives_known,
    settled_columns,
    truth_write,
)
from .named_sources import source_name, source_of_job, source_shown
from .sources import ImportSource
from .split_plan import SplitPlan, strata_of
from .splits import DEFAULT, holdout_draw, most_protected, shares_named
from .uploads import upload_delete, upload_forget, upload_used
from .verdicts import Mention, Verdict, Vouch, below_of, disputed_words, verdicts_of

# auto: documents are read, every picture comes in. coco: only what documents list. images: no document is read.
KINDS = ("auto", "images", "coco")
# Images and pairs together; people's own writes wait for a commit, so it is kept to a fraction of a second.
ROWS_A_COMMIT = 600
ALREADY_HERE = "These bytes are here already."
LOOKED_AT_GONE = (
    "What was sent for this look is here no more: it was imported since, or waited too long. Send it again."
)


def import_start(
    *,
    project: Project,
    user: AbstractBaseUser | None,
    upload_path: Path | str,
    kind: str = "auto",
    split: str | None = None,
    source: str = "",
    complete: bool = False,
    exhaustive: bool = False,
    create_concepts: bool = False,
    classes: Mapping[str, str] | None = None,
    negative_of: Sequence[str] = (),
    negatives: Mapping[str, Sequence[str]] | None = None,
    holdout_share: float = 0.0,
    dry_run: bool = False,
    boxes: str = "sketch",
    shares: str = str(DEFAULT),
    named_by_person: bool = False,
) -> Job:
    """Queue an import of a folder, a zip or `s3://bucket/prefix`; who may name which is the caller's question.

    `split`: for all images; else the export's own, else by `shares` of train, val and test. What the importer vouches
    for: `complete`, that of what is outlined in a picture all is; `exhaustive`, that besides every picture was checked
    for every class of its document, so that what is not annotated is absent. Without either, what is there teaches,
    and the gate leaves it out.
    `create_concepts`: classes that no concept is called by become concepts; else they are reported. `classes`: what is
    decided about some, {class: concept, or "" for none of ours}. `negative_of`, `negatives`: what a person vouches not
    to be in the pictures, all of them or those of a folder or list (import_negatives.py). `dry_run`: only look, and
    report (import_look.py). An upload below UPLOADS_DIR is deleted afterwards, but for a dry run's, which waits for the
    import itself. `boxes`: of objects without outlines; sketch: the box waits for a person; draw: the model draws a
    mask in it, which waits for a person (box_drawing.py).
    `named_by_person`: the path comes from named_sources.source_allowed, and is looked at again by the job.
    """
    if kind not in KINDS:
        raise RoostError(f"An import is one of {', '.join(KINDS)}, not {kind!r}.", fields={"kind": ["Unknown."]})
    if split and split not in Image.Split.values:
        raise RoostError(f"There is no split {split!r}.", fields={"split": ["train, val, test or holdout."]})
    if boxes not in BOXES:
        raise RoostError(f"Boxes are one of {', '.join(BOXES)}, not {boxes!r}.", fields={"boxes": ["Unknown."]})
    holdout_draw(sha256s=(), share=holdout_share)
    shares_named(shares)
    if not dry_run:
        negatives_known(project=project, names=negative_of, decided=classes or {}, create=create_concepts)
    params = {
        "path": str(upload_path),
        "kind": kind,
        "split": split or None,
        "source": source or source_name(upload_path),
        "complete": complete or exhaustive,
        "exhaustive": exhaustive,
        "create_concepts": create_concepts,
        "classes": dict(classes or {}),
        "negative_of": list(negative_of),
        "negatives": {where: list(names) for where, names in (negatives or {}).items()},
        "holdout_share": holdout_share,
        "dry_run": dry_run,
        "boxes": boxes,
        "shares": shares,
    } | ({"named_by_person": True} if named_by_person else {})
    return job_enqueue(project=project, kind=Job.Kind.IMPORT, params=params, created_by=user)


def import_after_look(
    *,
    looked: Job,
    user: AbstractBaseUser | None,
    classes: Mapping[str, str],
    negatives: Mapping[str, Sequence[str]] | None = None,
) -> Job:
    """The import that a dry run looked at, with what was decided since about its classes and offered negatives."""
    if looked.kind != Job.Kind.IMPORT or not looked.params.get("dry_run") or looked.state != Job.State.SUCCEEDED:
        raise RoostError("Only what was looked at can be imported so; look first.", code="not_looked_at")
    if not upload_used(looked.params["path"]):
        raise RoostError(LOOKED_AT_GONE, code="upload_gone")
    decided = {**looked.params["classes"], **classes}
    said = {**looked.params.get("negatives", {}), **(negatives or {})}
    params = {**looked.params, "dry_run": False, "classes": decided, "negatives": said}
    with transaction.atomic():
        job = job_enqueue(project=looked.project, kind=Job.Kind.IMPORT, params=params, created_by=user)
        Job.objects.filter(pk=looked.pk).update(report={**looked.report, "imported_by": job.pk})
    return job


@job_kind(Job.Kind.IMPORT, forget=upload_forget)
def import_run(context: JobContext) -> dict[str, Any]:
    """The job's work; safe to run again: what is there already is counted and left as it is.

    The upload stays for another try until the job's row is closed.
    """
    where = context.job.params["path"]
    if context.job.params.get("dry_run"):
        with source_of_job(context.job.params) as source:
            return import_look(context, source)
    context.when_ended(lambda: upload_delete(where))
    path = problems_path(context.job)
    path.parent.mkdir(parents=True, exist_ok=True)
    with source_of_job(context.job.params) as source, path.open("w", encoding="utf-8") as file:
        report = _Import(context, source, Tally(file)).run()
    return report | boxes_draw_after(imported=context.job)


@dataclass
class _Pending:
    """A stored file that waits for its row: its name in the source, and what is true of it by the documents."""

    file: str
    new: NewImage
    verdicts: dict[Concept, Verdict]


class _Import:
    """One import at work. Batches of files are stored, then their rows and truth are written in one commit."""

    def __init__(self, context: JobContext, source: ImportSource, tally: Tally) -> None:
        self._context, self._source, self._tally = context, source, tally
        self._job, self._project = context.job, context.job.project
        self._params = {"complete": self._job.params.get("exhaustive", False), "classes": {}, **self._job.params}
        self._vouch = Vouch(self._params["complete"], self._params["exhaustive"])
        self._words: dict[str, list[Word]] = defaultdict(list)
        self._judged: dict[int, frozenset[str]] = {}
        self._brought: set[str] = set()
        shares = shares_named(self._params.get("shares", str(DEFAULT)))
        share = self._params["holdout_share"]
        self._plan = SplitPlan(project=self._project, shares=shares, holdout_share=share)

    def run(self) -> dict[str, Any]:
        self._tally.add_problems(self._source.problems)
        wishes = NegativeWishes.of(self._params)
        gathered, files, offers = files_gathered(self._source, self._params["kind"], wishes, self._tell_reading)
        self._tally.add_problems([*gathered.problems, *(offer.left_out for offer in offers)])
        here = images_known(project=self._project, documents=names_elsewhere(gathered))
        self._tell_absent(gathered, here)
        if not files and not here:
            name = source_shown(self._params["path"])
            raise ImportRefusedError(f"There is no image in {name}. {self._tally.first_reasons()}".strip())
        known = set(self._project.concepts.values_list("pk", flat=True))
        self._classes = classes_of(gathered.documents, self._job)
        self._tally.concepts_made = sorted({one.pk for one in self._classes.by_category.values()} - known)
        self._tally.unknown_categories = unknown_counts(gathered.documents, self._classes)
        self._tally.unknown_negatives = unknown_negatives(gathered, self._classes)
        self._import_files(files, gathered)
        self._annotate(gathered.elsewhere, here)
        return self._tally.as_report()

    def _tell_reading(self, done: int, total: int) -> None:
        self._context.progress(0.0, f"{done} of {total} annotation files read")

    def _tell_absent(self, gathered: Gathered, here: Mapping[str, Image]) -> None:
        absent = [word for word in gathered.elsewhere if word.listed.file_name not in here]
        self._tally.add_problems(Problem(word.listed.file_name, word.why) for word in absent)

    def _import_files(self, files: Sequence[str], gathered: Gathered) -> None:
        size = max(ROWS_A_COMMIT // (1 + max(self._project.concepts.count(), 1)), 1)
        batches = [files[start : start + size] for start in range(0, len(files), size)]
        openers = ([partial(self._source.open, file) for file in batch] for batch in batches)
        with closing(image_batches_store(batches=openers, on_read=partial(self._tell_stored, len(files)))) as stored:
            for batch, some in zip(batches, stored, strict=True):
                pending = [self._pending(*one, gathered.words) for one in zip(batch, some, strict=True)]
                self._write([one for one in pending if one])
                self._context.report(**self._tally.as_report())

    def _tell_stored(self, total: int, done: int) -> None:
        self._context.progress_of(done, total, "images")

    def _pending(
        self, file: str, stored: StoredFile | ImportRefusedError, words: Mapping[str, list[Word]]
    ) -> _Pending | None:
        if isinstance(stored, ImportRefusedError):
            self._tally.refused += 1
            self._tally.add_problems([Problem(file, str(stored))])
            return None
        said = words.get(file, [])
        self._words[stored.sha256] += said
        verdicts = self._verdicts(stored.sha256, (stored.width, stored.height), said)
        self._tell_disputed(file, verdicts)
        told = sorted((one.name, verdict.truth) for one, verdict in verdicts.items())
        source = self._params["source"]
        new = NewImage(
            stored=stored,
            name=next((word.listed.name for word in said if word.listed.name), file)
            .replace("\\", "/")
            .rsplit("/", 1)[-1],
            source=source,
            split=self._params["split"] or split_of(said),
            strata=strata_of(source=source, verdicts=told) if told else (),
        )
        return _Pending(file, new, verdicts)

    @transaction.atomic
    def _write(self, batch: Sequence[_Pending]) -> None:
        """One commit: rows of images and pairs, and what is known of them."""
        # Two files of the same bytes are one picture; the later one's verdicts are by the words about both.
        verdicts = {one.new.stored.sha256: one.verdicts for one in batch}
        settled = {sha256: settled_columns(verdicts=said, job=self._job) for sha256, said in verdicts.items()}
        news = [replace(one.new, settled=settled[one.new.stored.sha256], job=self._job) for one in batch]
        rows = image_rows_add(project=self._project, images=news, plan=self._plan)
        self._tally.add_problems(Problem(one.name, one.words) for one in self._plan.crossings())
        self._count(batch, rows)
        names = {rows[one.new.stored.sha256][0].pk: one.file for one in batch}
        self._write_truth(self._left_to_write(verdicts, rows), names)

    def _left_to_write(
        self, verdicts: Mapping[str, Mapping[Concept, Verdict]], rows: Mapping[str, tuple[Image, bool]]
    ) -> dict[int, dict[Concept, Verdict]]:
        """What is settled of an image that came in new, its pairs were made with; that is only counted here."""
        active = set(concepts_active(project=self._project).values_list("pk", flat=True))
        left: dict[int, dict[Concept, Verdict]] = {}
        for sha256, said in verdicts.items():
            image, is_new = rows[sha256]
            made = [one for one, verdict in said.items() if is_new and verdict.truth != Pair.Truth.UNSEEN]
            for concept in made:
                self._tally.truth.add(counted(said[concept]) if concept.pk in active else TruthOutcome())
            left[image.pk] = {one: verdict for one, verdict in said.items() if one not in made}
        return left

    def _write_truth(self, verdicts: Mapping[int, Mapping[Concept, Verdict]], names: Mapping[int, str]) -> None:
        outcome = truth_write(verdicts=verdicts, job=self._job)
        self._tally.truth.add(outcome)
        self._tally.add_problems(Problem(names[image_id], why) for image_id, why in outcome.contradicted)

    def _tell_disputed(self, file: str, verdicts: Mapping[Concept, Verdict]) -> None:
        disputed = [concept.name for concept, verdict in verdicts.items() if verdict.disputed]
        self._tally.disputed += len(disputed)
        self._tally.add_problems(Problem(file, disputed_words(name)) for name in disputed)

    def _count(self, batch: Sequence[_Pending], rows: Mapping[str, tuple[Image, bool]]) -> None:
        """A picture that an attempt before this one had brought in is this import's own, and told as new."""
        for one in batch:
            image, is_new = rows[one.new.stored.sha256]
            is_ours = is_new or image.added_by_import_id == self._job.pk
            if is_ours and image.sha256 not in self._brought:
                self._brought.add(image.sha256)
                self._tally.added += 1
                self._tally.by_split[image.split] = self._tally.by_split.get(image.split, 0) + 1
            else:
                self._tally.already_there += 1
                where = one.file if one.file.endswith(image.original_name) else f"{one.file} = {image.original_name}"
                self._tally.add_problems([Problem(where, ALREADY_HERE)])

    def _verdicts(self, sha256: str, size_px: Size, words: Sequence[Word]) -> dict[Concept, Verdict]:
        """By all that this import has met of these bytes so far; only what `words` say is told as a problem."""
        mentions = []
        for word in self._words[sha256]:
            record, problems = word.document.read(word.listed, size_px)
            if word in words:
                self._tally.add_problems(problems)
            if word.in_doubt:
                record = ImageRecord(record.file_name, *size_px, unsure=set(self._judges(word.document)))
            mentions.append(Mention(word.listed, record, self._judges(word.document)))
        return verdicts_of(mentions, self._classes, self._vouch) if mentions else {}

    def _judges(self, document: Document) -> frozenset[str]:
        if id(document) not in self._judged:
            self._judged[id(document)] = frozenset(category.name for category in document.categories)
        return self._judged[id(document)]

    def _annotate(self, words: Sequence[Word], here: Mapping[str, Image]) -> None:
        """What documents say of pictures that the project has and the source has not."""
        by_image: dict[int, list[Word]] = defaultdict(list)
        for word in words:
            if image := here.get(word.listed.file_name):
                by_image[image.pk].append(word)
        images = {image.pk: image for image in here.values()}
        for start in range(0, len(by_image), ROWS_A_COMMIT):
            self._context.progress_of(start, len(by_image), "images that were here already")
            batch = list(by_image)[start : start + ROWS_A_COMMIT]
            with transaction.atomic():
                verdicts = {}
                for pk in batch:
                    self._words[images[pk].sha256] += by_image[pk]
                    image = images[pk]
                    verdicts[pk] = self._verdicts(image.sha256, (image.width, image.height), by_image[pk])
                    self._tell_disputed(image.original_name, verdicts[pk])
                self._write_truth(verdicts, {pk: images[pk].original_name for pk in batch})
            self._tally.already_there += len(batch)


def classes_of(documents: Sequence[Document], job: Job) -> ConceptMap:
    """All documents' classes, each matched to the concept that it is."""
    params = job.params
    categories = {one.name: one for document in documents for one in document.categories}
    found = concept_map(
        project=job.project,
        categories=list(categories.values()),
        create=params["create_concepts"],
        user=job.created_by,
        classes=params.get("classes"),
    )
    found.below = below_of(one for document in documents for one in document.categories)
    return found


def unknown_counts(documents: Sequence[Document], classes: ConceptMap) -> dict[str, int]:
    """Annotations of each class that was left out, whether decided or for want of a concept."""
    left_out = [*classes.undecided, *sorted(classes.left_out)]
    annotated = {one.name for document in documents if document.format != "negatives" for one in document.categories}
    return {name: sum(document.counts[name] for document in documents) for name in left_out if name in annotated}


def unknown_negatives(gathered: Gathered, classes: ConceptMap) -> dict[str, int]:
    """Negatives of each class that was left out: how many pictures were said not to show it."""
    said = negatives_of(gathered)
    names = {name for document in said for name in document.statements} - set(classes.by_category)
    return {name: sum(document.statements[name] for document in said) for name in sorted(names)}


def shown_name(file: str, words: Sequence[Word]) -> str:
    """The last part of what a document calls it, else of the file's own name."""
    name = next((word.listed.name for word in words if word.listed.name), file)
    return name.replace("\\", "/").rsplit("/", 1)[-1]


def split_of(words: Sequence[Word]) -> str | None:
    """When two documents put one picture into two splits, it goes where it does the least harm."""
    said = {word.listed.split for word in words if word.listed.split}
    return most_protected(said) if said else None
