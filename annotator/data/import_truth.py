"""What an import knows of its images -> the truth of their pairs. A person's own verdict is never overwritten."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from django.contrib.auth.models import AbstractBaseUser
from django.db.models.functions import Now

from annotator.common.masks import Rle
from annotator.concepts.selectors import concepts_by_name, plain_name
from annotator.concepts.services import concept_add
from annotator.models import Concept, Image, Pair, Project, Task

from .formats.records import Category, ImageRecord


@dataclass
class ConceptMap:
    """Categories by name -> the project's concepts; `unknown` counts the annotations of those that have none."""

    by_category: dict[str, Concept] = field(default_factory=dict)
    unknown: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class TruthOutcome:
    """How many instances and pairs were settled, and how many pairs were left as people had settled them."""

    instances: int = 0
    settled: int = 0
    kept: int = 0


def concept_map(
    *, project: Project, categories: Sequence[Category], create: bool, user: AbstractBaseUser | None
) -> ConceptMap:
    """Match by name or synonym, whatever the case and the joints (`Fuse_Neutrals` is `fuse neutrals`).

    A retired concept is unknown, also where categories become concepts: who retired it meant it.
    """
    known = concepts_by_name(project=project)
    retired = {plain_name(row.name) for row in project.concepts.exclude(retired_at=None)} - set(known)
    found = ConceptMap()
    for category in categories:
        concept = known.get(plain_name(category.name))
        if concept is None and create and plain_name(category.name) not in retired:
            concept = concept_add(project=project, name=plain_name(category.name)[:80], user=user)
        if concept is None:
            found.unknown[category.name] = 0
        else:
            found.by_category[category.name] = concept
    return found


def truth_write(*, record: ImageRecord, image: Image, concepts: ConceptMap, exhaustive: bool) -> TruthOutcome:
    """Settle the image's pairs that the record speaks of and nobody has looked at. Call it in a transaction."""
    present, absent = verdicts_of(record, concepts, exhaustive)
    concepts.unknown.update(Counter(concepts.unknown) + Counter(unknown_in(record, concepts)))
    instances = settled = kept = 0
    for concept, masks in present.items():
        rows = [_instance(mask) for mask in masks]
        if _settle(image, concept, Pair.Truth.PRESENT, rows):
            settled, instances = settled + 1, instances + len(rows)
        else:
            kept += 1
    for concept in absent:
        if _settle(image, concept, Pair.Truth.ABSENT, []):
            settled += 1
        else:
            kept += 1
    return TruthOutcome(instances, settled, kept)


def verdicts_of(
    record: ImageRecord, concepts: ConceptMap, exhaustive: bool
) -> tuple[dict[Concept, list[Rle]], set[Concept]]:
    """Two categories may be one concept. One unreadable instance leaves its whole pair open: it is not exhaustive."""
    present: dict[Concept, list[Rle]] = {}
    for category, concept in concepts.by_category.items():
        if masks := record.masks_of(category):
            present.setdefault(concept, []).extend(masks)
    unsure = {concepts.by_category[name] for name in record.unsure if name in concepts.by_category}
    vouched = concepts.by_category if exhaustive else record.absent
    absent = {concepts.by_category[name] for name in vouched if name in concepts.by_category}
    absent -= set(present) | unsure
    return {concept: masks for concept, masks in present.items() if concept not in unsure}, absent


def _settle(image: Image, concept: Concept, truth: str, instances: list[dict]) -> int:
    untouched = Pair.objects.filter(image=image, concept=concept, truth=Pair.Truth.UNSEEN)
    return untouched.exclude(tasks__state__in=Task.OPEN_STATES).update(
        truth=truth, truth_source=Pair.TruthSource.IMPORTED, instances=instances, settled_at=Now()
    )


def unknown_in(record: ImageRecord, concepts: ConceptMap) -> list[str]:
    return [one.category for one in record.instances if one.category in concepts.unknown]


def _instance(mask: Rle) -> dict:
    return {
        "mask": dict(mask),
        "origin": "imported",
        "prompts": [],
        "model_version": None,
        "score": None,
        "edited": False,
    }
