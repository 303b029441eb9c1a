"""What an export is made of, image by image in the order of their hashes: what is settled now, or a snapshot."""

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Any

from django.db.models import QuerySet

from annotator.common.active import concepts_active, images_removed
from annotator.common.errors import RoostError
from annotator.common.masks import Rle, rle_area
from annotator.models import Concept, Image, Pair, Project, Snapshot

from .formats.json_rows import json_rows
from .formats.records import PSEUDO, Category, ImageRecord, Instance
from .snapshots_page import snapshot_folder

IMAGES_A_READ = 200
OnImage = Callable[[int, int], object]


@dataclass(frozen=True)
class Settled:
    """One image with its settled pairs. `settled`: names of the concepts that somebody judged in it.

    `outlineless`: how many instances were left out because their mask has no pixel.
    """

    sha256: str
    record: ImageRecord
    settled: set[str] = field(default_factory=set)
    outlineless: int = 0


@dataclass(frozen=True)
class _Judged:
    category: Category
    is_present: bool
    is_exhaustive: bool
    masks: Sequence[Rle]


class SettledNow:
    """The project as it is. Concepts of which nothing is settled are no part of an export: there is nothing to say."""

    def __init__(self, project: Project, *, with_retired: bool, concepts: Sequence[str] = ()) -> None:
        self._project = project
        asked = concepts_asked(project, with_retired=with_retired, concepts=concepts)
        settled = project.pairs.filter(concept__in=asked).exclude(truth=Pair.Truth.UNSEEN)
        settled = settled.exclude(image__in=images_removed(project=project).values("pk"))
        used = set(settled.order_by().values_list("concept_id", flat=True).distinct())
        rows = [row for row in asked.order_by("category_id") if row.pk in used]
        self._by_concept = {row.pk: Category(row.category_id, row.name) for row in rows}
        self.categories = list(self._by_concept.values())
        self.unsettled = sorted(row.name for row in asked if row.pk not in used)
        self.pseudo = 0  # they are in snapshots alone
        self._settled = settled

    def images(self, on_image: OnImage) -> Iterator[Settled]:
        """`on_image(done, of)` may raise to stop."""
        ids = list(self._settled.order_by("image__sha256").values_list("image_id", flat=True).distinct())
        for start in range(0, len(ids), IMAGES_A_READ):
            some = ids[start : start + IMAGES_A_READ]
            pairs = self._pairs(some)
            columns = ("pk", "sha256", "width", "height", "split", "original_name")
            for place, row in enumerate(Image.objects.filter(pk__in=some).order_by("sha256").values_list(*columns)):
                on_image(start + place, len(ids))
                image, sha256, width, height, split, name = row
                yield _settled(sha256, width, height, split, name, pairs[image])

    def _pairs(self, images: Sequence[int]) -> dict[int, list[_Judged]]:
        found: dict[int, list[_Judged]] = {image: [] for image in images}
        columns = ("image_id", "concept_id", "truth", "is_exhaustive", "instances")
        rows = self._settled.filter(image_id__in=images).order_by("concept__category_id").values_list(*columns)
        for image, concept, truth, whole, instances in rows.iterator():
            masks = [one["mask"] for one in instances]
            found[image].append(_Judged(self._by_concept[concept], truth == Pair.Truth.PRESENT, whole, masks))
        return found


class SettledThen:
    """A snapshot, read from its documents; of its images only the names are asked for in the database.

    Pseudo-labels are passed over, `pseudo` of them: who takes an export elsewhere takes its pairs for people's.
    """

    def __init__(self, snapshot: Snapshot, *, concepts: Sequence[str] = ()) -> None:
        self._snapshot = snapshot
        self.unsettled: list[str] = []
        self.pseudo = 0
        found: dict[str, int] = {}
        for row in self._rows():
            found[str(row["text_input"])] = int(row["queried_category"])
        wanted = set(concepts) or set(found)
        if unknown := sorted(wanted - set(found)):
            raise RoostError(f"Snapshot {snapshot.number} has no pair of {unknown[0]!r}.")
        ordered = sorted((number, name) for name, number in found.items() if name in wanted)
        self.categories = [Category(number, name) for number, name in ordered]
        self._by_name = {one.name: one for one in self.categories}
        self._count = len({row["file_name"] for row in self._rows() if row["text_input"] in wanted})

    def images(self, on_image: OnImage) -> Iterator[Settled]:
        each = (self._images_of(split) for split in Image.Split.values)
        merged = heapq.merge(*each, key=itemgetter(0))
        for done, (sha256, split, judged, row) in enumerate(merged):
            on_image(done, self._count)
            name = self._snapshot.project.images.filter(sha256=sha256).values_list("original_name", flat=True).first()
            yield _settled(sha256, row["width"], row["height"], split, name or sha256, judged)

    def _images_of(self, split: str) -> Iterator[tuple[str, str, list[_Judged], dict]]:
        """Both arrays of the document have the order of its pairs."""
        path = snapshot_folder(self._snapshot) / f"{split}.json"
        masks = groupby(json_rows(path, "annotations"), key=itemgetter("image_id"))
        ahead = next(masks, None)
        for sha256, rows in groupby(json_rows(path, "images"), key=itemgetter("file_name")):
            judged, row = [], {}
            for row in rows:
                own = []
                if ahead is not None and ahead[0] == row["id"]:
                    own = [one["segmentation"] for one in ahead[1]]
                    ahead = next(masks, None)
                if row.get("truth") == PSEUDO:
                    self.pseudo += 1
                elif category := self._by_name.get(row["text_input"]):
                    judged.append(_judged(row, category, own))
            if judged:
                yield sha256, split, sorted(judged, key=lambda one: one.category.id), row
        if ahead is not None:
            raise RoostError(f"{path} is damaged: it has masks of a pair that it does not list. Take a new snapshot.")

    def _rows(self) -> Iterator[dict]:
        for split in Image.Split.values:
            rows = json_rows(snapshot_folder(self._snapshot) / f"{split}.json", "images")
            yield from (row for row in rows if row.get("truth") != PSEUDO)


def settled_of(*, project: Project, snapshot: int | None) -> SettledNow | SettledThen:
    """What is settled now, or in the snapshot of this number."""
    if snapshot is None:
        return SettledNow(project, with_retired=False)
    found = project.snapshots.filter(number=snapshot).first()
    if found is None:
        raise RoostError(f"There is no snapshot {snapshot} here.", fields={"snapshot": ["Unknown."]})
    return SettledThen(found)


def concepts_asked(project: Project, *, with_retired: bool, concepts: Sequence[str] = ()) -> QuerySet[Concept]:
    """Never one that became another, whose truth is there. RoostError for a name that is none."""
    known = project.concepts.filter(merged_into=None) if with_retired else concepts_active(project=project)
    if unknown := sorted(set(concepts) - set(known.values_list("name", flat=True))):
        raise RoostError(f"There is no concept {unknown[0]!r} here.", fields={"concepts": ["Unknown."]})
    return known.filter(name__in=concepts) if concepts else known


def _judged(row: dict[str, Any], category: Category, masks: list[Rle]) -> _Judged:
    """In a snapshot a pair without masks is a negative, unless it says that not every object is outlined."""
    whole = bool(row.get("is_instance_exhaustive", 1))
    return _Judged(category, bool(masks) or not whole, whole, masks)


def _settled(sha256: str, width: int, height: int, split: str, name: str, pairs: Sequence[_Judged]) -> Settled:
    record, outlineless = ImageRecord(sha256, width, height, split, name), 0
    for pair in pairs:
        name = pair.category.name
        if not pair.is_present:
            record.absent.append(name)
            continue
        masks = [mask for mask in pair.masks if rle_area(mask)]
        outlineless += len(pair.masks) - len(masks)
        record.instances += [Instance(name, mask) for mask in masks]
        # Present without any outline: no format may take that for a negative.
        if not pair.is_exhaustive or not masks or len(masks) < len(pair.masks):
            record.incomplete.add(name)
    return Settled(sha256, record, {pair.category.name for pair in pairs}, outlineless)
