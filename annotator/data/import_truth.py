"""What an import knows of its images -> the truth of their pairs. A person's own verdict is never overwritten."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db.models import Exists, OuterRef
from django.db.models.functions import Now

from annotator.common.errors import RoostError
from annotator.common.masks import Rle
from annotator.common.rounds import round_current
from annotator.concepts.selectors import concepts_by_name, plain_name, plain_singular
from annotator.concepts.services import NAME_LENGTH, concept_add
from annotator.models import Concept, Image, Job, Pair, Project, Task

from .formats.documents import Listed
from .formats.records import Category, ImageRecord, Instance
from .verdicts import UNDECIDED, Classes, Mention, Verdict, Vouch, verdicts_of

LEAVE_OUT = ""
NO_NEGATIVE = "It is no negative, though these files say so:"
PERSON_BEFORE = f"{NO_NEGATIVE} a person found the thing in it. That stays."
IMPORTED_BEFORE = (
    f"{NO_NEGATIVE} an earlier import outlines the thing in it. That stays; undo that import to change it."
)
BOXED_BEFORE = f"{NO_NEGATIVE} an earlier import knows of something in it that a person has to look at."

# Classes of the documents by name -> the project's concepts.
ConceptMap = Classes[Concept]


@dataclass
class TruthOutcome:
    """Counts of what an import did to pairs, and of those that it left as they were.

    `contradicted`: negatives that were not taken, since the thing was found there before: (image's id, why).
    """

    instances: int = 0
    settled: int = 0
    negatives: int = 0
    withheld: int = 0
    not_exhaustive: int = 0
    sketched: int = 0
    boxes: int = 0
    left_open: int = 0
    kept: int = 0
    as_before: int = 0
    completed: int = 0
    differ: int = 0
    contradicted: list[tuple[int, str]] = field(default_factory=list)

    def add(self, other: "TruthOutcome") -> None:
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))


def concept_map(
    *,
    project: Project,
    categories: Sequence[Category],
    create: bool,
    user: AbstractBaseUser | None,
    classes: Mapping[str, str] | None = None,
) -> ConceptMap:
    """Match by name or synonym, whatever the case and the joints (`Fuse_Neutrals` is `fuse neutrals`).

    `classes`: what somebody decided: {class: concept's name, or LEAVE_OUT for "none of ours"}; a concept that is not
    there yet is made. A retired concept is unknown, also where categories become concepts: who retired it meant it.
    """
    decided = classes or {}
    known = concepts_by_name(project=project)
    retired = {plain_name(row.name) for row in project.concepts.exclude(retired_at=None)} - set(known)
    found = ConceptMap({})
    for category in categories:
        wanted = decided.get(category.name, category.name)
        concept = known.get(plain_name(wanted)) if wanted != LEAVE_OUT else None
        may_create = (create or category.name in decided) and plain_name(wanted) not in retired
        if concept is None and may_create and wanted != LEAVE_OUT and len(plain_name(wanted)) <= NAME_LENGTH:
            concept = known[plain_name(wanted)] = concept_add(project=project, name=plain_name(wanted), user=user)
        if wanted == LEAVE_OUT:
            found.left_out.add(category.name)
        elif concept is None:
            found.undecided.append(category.name)
        else:
            found.by_category[category.name] = concept
    return found


def negatives_known(*, project: Project, names: Iterable[str], decided: Mapping[str, str], create: bool) -> None:
    """RoostError where a concept that pictures are said not to show is none here; with the one that is called alike."""
    known = concepts_by_name(project=project)
    for name in names:
        if plain_name(decided.get(name, name)) in known or create or name in decided:
            continue
        alike = concept_alike(name, known)
        words = f"No concept or synonym here is called «{name}»."
        words += f" Did you mean «{alike.name}»?" if alike else " Add it to the project first, or have concepts made."
        raise RoostError(words, code="unknown_concept", fields={"negative_of": [words]})


def concept_alike(name: str, known: Mapping[str, Concept]) -> Concept | None:
    """One that is called so in another number; good enough to propose, never to assume."""
    wanted = plain_singular(plain_name(name))
    return next((one for plain, one in known.items() if plain_singular(plain) == wanted), None)


def truth_write(*, verdicts: Mapping[int, Mapping[Concept, Verdict]], job: Job) -> TruthOutcome:
    """Settle the pairs of images, {image's id: verdicts}, that nobody has looked at. Call it in a transaction."""
    outcome = TruthOutcome()
    pairs = _pairs(verdicts)
    sketched = []
    for image_id, of_image in verdicts.items():
        for concept, verdict in of_image.items():
            pair = pairs.get((image_id, concept.pk))
            if pair is None:
                continue
            if verdict.truth == Pair.Truth.UNSEEN:
                sketched += _sketch(pair, verdict, job, outcome)
            else:
                _settle(pair, verdict, job, outcome)
    _queue(sketched, job.project)
    return outcome


def settled_columns(*, verdicts: Mapping[Concept, Verdict], job: Job) -> dict[int, dict[str, Any]]:
    """What is settled of an image that comes in new, by concept, for its pairs as they are made: nobody has seen them
    yet, so nothing is asked of each. What stays open is truth_write's."""
    settled = {one: verdict for one, verdict in verdicts.items() if verdict.truth != Pair.Truth.UNSEEN}
    return {concept.pk: _columns(verdict, job) for concept, verdict in settled.items()}


def _pairs(verdicts: Mapping[int, Mapping[Concept, Verdict]]) -> dict[tuple[int, int], Any]:
    """The pairs spoken of, by image and concept, each with `.in_hand`: whether it has an open task."""
    concepts = {concept.pk for of_image in verdicts.values() for concept in of_image}
    open_task = Task.objects.filter(pair=OuterRef("pk"), state__in=Task.OPEN_STATES)
    rows = Pair.objects.filter(image__in=list(verdicts), concept__in=concepts).annotate(in_hand=Exists(open_task))
    return {(row.image_id, row.concept_id): row for row in rows}


def _settle(pair: Any, verdict: Verdict, job: Job, outcome: TruthOutcome) -> None:
    """`in_hand` and `truth` are looked at again by the update itself: somebody may have come between."""
    own = pair.settled_by_import_id == job.pk
    against = "" if own or verdict.truth != Pair.Truth.ABSENT else found_before(pair)
    if against:
        outcome.contradicted.append((pair.image_id, against))
    if against == BOXED_BEFORE:
        outcome.kept += 1
    elif pair.truth == Pair.Truth.UNSEEN or own:
        outcome.add(_written(pair, verdict, job) if own or not pair.in_hand else TruthOutcome(kept=1))
    elif pair.truth_source == Pair.TruthSource.IMPORTED and _is_same(pair, verdict):
        if verdict.is_exhaustive and (not pair.is_exhaustive or pair.vouched_by_import_id == job.pk):
            same = Pair.objects.filter(pk=pair.pk, truth_source=pair.truth_source)
            outcome.completed += same.update(is_exhaustive=True, vouched_by_import=job)
        else:
            outcome.as_before += 1
    elif pair.truth_source == Pair.TruthSource.IMPORTED:
        outcome.differ += 1
    else:
        outcome.kept += 1


def found_before(pair: Pair) -> str:
    """Why a negative of this pair is contradicted by what was known before; "" where it is not."""
    if pair.truth == Pair.Truth.PRESENT:
        by_import = pair.truth_source == Pair.TruthSource.IMPORTED
        return IMPORTED_BEFORE if by_import else PERSON_BEFORE
    return BOXED_BEFORE if pair.truth == Pair.Truth.UNSEEN and pair.instances else ""


def _written(pair: Pair, verdict: Verdict, job: Job) -> TruthOutcome:
    untouched = Pair.objects.filter(pk=pair.pk, truth=pair.truth, settled_by_import=pair.settled_by_import_id)
    changed = untouched.exclude(tasks__state__in=Task.OPEN_STATES).update(**_columns(verdict, job))
    return counted(verdict) if changed else TruthOutcome(kept=1)


def _columns(verdict: Verdict, job: Job) -> dict[str, Any]:
    return {
        "truth": verdict.truth,
        "truth_source": Pair.TruthSource.IMPORTED,
        "instances": [instance_row(one) for one in verdict.instances],
        "is_exhaustive": verdict.is_exhaustive,
        "settled_by_import": job,
        "settled_by": None,
        "vouched_by_import": None,
        "settled_at": Now(),
    }


def counted(verdict: Verdict) -> TruthOutcome:
    """Of a pair that it has settled."""
    present = verdict.truth == Pair.Truth.PRESENT
    return TruthOutcome(
        instances=len(verdict.instances),
        settled=1,
        negatives=int(not present),
        not_exhaustive=int(present and not verdict.is_exhaustive),
    )


def _is_same(pair: Pair, verdict: Verdict) -> bool:
    said = sorted(one.mask["counts"] for one in verdict.instances)
    return pair.truth == verdict.truth and sorted(one["mask"]["counts"] for one in pair.instances) == said


def _sketch(pair: Any, verdict: Verdict, job: Job, outcome: TruthOutcome) -> list[tuple[Pair, str]]:
    """What is known of a pair that stays open is kept for the person who settles it; the pair and why to ask."""
    if pair.settled_by_import_id == job.pk and pair.truth == Pair.Truth.ABSENT:
        _reopen(pair, job, outcome)
    if verdict.why == UNDECIDED:
        outcome.withheld += 1
        return []
    if pair.truth != Pair.Truth.UNSEEN or pair.in_hand:
        outcome.kept += 1
        return []
    outcome.left_open += 1
    if not verdict.instances:
        return []
    rows = [instance_row(one) for one in verdict.instances]
    open_still = Pair.objects.filter(pk=pair.pk, truth=Pair.Truth.UNSEEN)
    if not open_still.update(instances=rows, settled_by_import=job):
        return []
    outcome.sketched += 1
    outcome.boxes += sum(one.coarse for one in verdict.instances)
    return [(pair, verdict.why)]


def _reopen(pair: Any, job: Job, outcome: TruthOutcome) -> None:
    """A second file of the same bytes showed that this import's own negative was none."""
    mine = Pair.objects.filter(pk=pair.pk, truth=Pair.Truth.ABSENT, settled_by_import=job)
    mine = mine.filter(truth_source=Pair.TruthSource.IMPORTED)
    if mine.update(truth=Pair.Truth.UNSEEN, truth_source="", settled_at=None, settled_by_import=None):
        pair.truth = Pair.Truth.UNSEEN
        outcome.add(TruthOutcome(settled=-1, negatives=-1))


def _queue(sketched: Iterable[tuple[Pair, str]], project: Project) -> None:
    """By hand, so that mining leaves it; the model's proposals would stand beside the ones that the import brought."""
    number = round_current(project=project)
    tasks = [
        Task(
            project=project,
            pair=pair,
            lane=Task.Reason.MANUAL,
            reasons=[{"kind": "import", "value": 0.0, "words": f"Imported, and open: {why}"}],
            priority=1.0,
            round=number,
        )
        for pair, why in sketched
    ]
    Task.objects.bulk_create(tasks)


def verdicts_of_record(
    record: ImageRecord, concepts: ConceptMap, exhaustive: bool
) -> tuple[dict[Concept, list[Rle]], set[Concept]]:
    """(present with masks, absent) of one record that stands for itself: what came from Label Studio."""
    listed = Listed(record.file_name, record.file_name)
    mention = Mention(listed, record, frozenset({*concepts.by_category, *concepts.undecided}))
    found = verdicts_of([mention], concepts, Vouch(complete=True, exhaustive=exhaustive))
    present = {one: verdict.masks for one, verdict in found.items() if verdict.truth == Pair.Truth.PRESENT}
    return present, {one for one, verdict in found.items() if verdict.truth == Pair.Truth.ABSENT}


def unknown_in(record: ImageRecord, concepts: ConceptMap) -> list[str]:
    return [one.category for one in record.instances if one.category in concepts.undecided]


def instance_row(instance: Instance) -> dict:
    """As pairs keep it. `coarse`: a box that stands for a mask until somebody draws one."""
    row: dict[str, Any] = {
        "mask": dict(instance.mask),
        "origin": "imported",
        "prompts": [],
        "model_version": None,
        "score": None,
        "edited": False,
    }
    return row | {"coarse": True} if instance.coarse else row


def images_known(*, project: Project, documents: Iterable[Iterable[str]]) -> dict[str, Image]:
    """Pictures that are here already, by the names that each document gives them: the SHA-256, or a name only one has.

    Of a picture's name only the last part was kept. Where one document has two names that end alike, they are two
    pictures, and neither is known; names of several documents that end alike are one picture.
    """
    wanted = _by_last_part(documents)
    by_hash = {last.partition(".")[0].lower(): last for last in wanted}
    found = {by_hash[row.sha256]: row for row in project.images.filter(sha256__in=by_hash)}
    twice: set[str] = set()
    for row in project.images.filter(original_name__in=wanted):
        last = row.original_name
        if last in found and found[last].pk != row.pk:
            twice.add(last)
        found.setdefault(last, row)
    return {name: row for last, row in found.items() if last not in twice for name in wanted[last]}


def _by_last_part(documents: Iterable[Iterable[str]]) -> dict[str, set[str]]:
    wanted: dict[str, set[str]] = defaultdict(set)
    unclear: set[str] = set()
    for names in documents:
        own: dict[str, str] = {}
        for name in names:
            last = name.replace("\\", "/").rsplit("/", 1)[-1]
            wanted[last].add(name)
            if own.setdefault(last, name) != name:
                unclear.add(last)
    return {last: names for last, names in wanted.items() if last not in unclear}
