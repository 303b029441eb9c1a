"""Masks in imported boxes: the serving model draws one in each, for a person to take or to correct. Never truth.

The box is kept beside its mask as `sketch`: a desk that still shows the box can't submit it, and where the model is
judged, in the holdout, people see the box and nothing that the model drew.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet, TextField
from django.db.models.functions import Cast, Now

from annotator import ml_client
from annotator.common.active import pairs_active
from annotator.common.batches import batched
from annotator.common.errors import BackendError, ConflictError, RoostError
from annotator.common.masks import Rle, rle_area, rle_box_xyxy
from annotator.common.patience import asked_patiently
from annotator.jobs.kinds import job_kind
from annotator.jobs.services import JobContext, job_enqueue
from annotator.ml_client import DrawnImage, DrawnMask
from annotator.models import Draft, Image, Job, Pair, Project, Task

# sketch: boxes wait for a person as they are. draw: besides, the model draws a mask in each.
BOXES = ("sketch", "draw")
IMAGES_A_CALL, BOXES_A_CALL = 8, 64
# People's boxes are loose, so a right mask may fill its box to 0.7 alone; one of another object falls far below.
FITTING_BOX_IOU = 0.5
FAILURES_LISTED = 200


def boxes_open(*, project: Project, imported: Job | None = None) -> QuerySet[Pair]:
    """Open pairs of which an object is a box alone; `imported`: those of this import."""
    found = pairs_active(project=project).filter(truth=Pair.Truth.UNSEEN)
    if imported is not None:
        found = found.filter(settled_by_import=imported)
    # As text, since SQLite can't look into lists; nothing else in an instance could spell it.
    return found.alias(spelt=Cast("instances", TextField())).filter(spelt__contains='"coarse": true')


def boxes_drawable(*, project: Project, imported: Job | None = None) -> QuerySet[Pair]:
    """Without the holdout: what judges the model is not drawn by it."""
    return boxes_open(project=project, imported=imported).exclude(image__split=Image.Split.HOLDOUT)


def boxes_draw_start(*, project: Project, user: AbstractBaseUser | None, imported: Job | None = None) -> Job:
    """Have the version that serves now draw in the boxes of one import, or of all; 409 while that is under way."""
    if imported is not None and (imported.kind != Job.Kind.IMPORT or imported.project_id != project.pk):
        raise RoostError(f"Job {imported.pk} is no import of this project.", code="no_import")
    if _under_way(project, imported).exists():
        raise ConflictError("The model draws masks in these boxes already: wait for it, or cancel it.", code="draws")
    if not boxes_drawable(project=project, imported=imported).exists():
        raise RoostError(_nothing_words(project, imported), code="no_boxes")
    params = {"import": _number(imported), "model_version": project.serving_version.name}
    return job_enqueue(project=project, kind=Job.Kind.BOXES, params=params, created_by=user)


def boxes_askable(*, imported: Job) -> bool:
    """Whether a page offers to draw in what is left of this import's boxes."""
    project = imported.project
    return not _under_way(project, imported).exists() and boxes_drawable(project=project, imported=imported).exists()


def boxes_draw_after(*, imported: Job) -> dict[str, int]:
    """What an import that asked for it does at its end, once however often it runs: {"drawing": the job that draws}."""
    project = imported.project
    if imported.params.get("boxes") != "draw":
        return {}
    if job := _under_way(project, imported).first():
        return {"drawing": job.pk}
    if not boxes_drawable(project=project, imported=imported).exists():
        return {}
    return {"drawing": boxes_draw_start(project=project, user=imported.created_by, imported=imported).pk}


def _number(imported: Job | None) -> int | None:
    return imported.pk if imported else None


def _under_way(project: Project, imported: Job | None) -> QuerySet[Job]:
    running = project.jobs.filter(kind=Job.Kind.BOXES, state__in=Job.IN_FLIGHT)
    return running.filter(params__import=_number(imported))


def _nothing_words(project: Project, imported: Job | None) -> str:
    if boxes_open(project=project, imported=imported).exists():
        return "The boxes that are left lie in the holdout, which judges the model: people outline those by themselves."
    return "No box waits here any more: each has a mask, or was decided."


@job_kind(Job.Kind.BOXES, queue="inference")
def boxes_draw_run(context: JobContext) -> dict[str, Any]:
    """The job's work; run again it goes on with the boxes that still have no mask."""
    params, project = context.job.params, context.job.project
    imported = project.jobs.filter(pk=params["import"]).first() if params["import"] else None
    held_out = boxes_open(project=project, imported=imported).filter(image__split=Image.Split.HOLDOUT).count()
    before = context.job.report.get("drawn", 0)  # of an attempt whose worker died
    tally = BoxTally(params["import"], params["model_version"], drawn=before, pairs_in_holdout=held_out)
    rows = boxes_drawable(project=project, imported=imported).order_by("image_id", "pk").values_list("image_id", "pk")
    images = [[pk for _, pk in pairs] for _, pairs in groupby(rows, key=itemgetter(0))]
    drawing, done = _Drawing(context, tally), 0
    context.report(**asdict(tally))
    for batch in batched(images, IMAGES_A_CALL):
        drawing.draw([pk for pairs in batch for pk in pairs], done / len(images))
        done += len(batch)
        context.report(**asdict(tally))
        context.progress_of(done, len(images), "images with boxes")
    return asdict(tally)


@dataclass
class BoxTally:
    """What came of it. `misfits`: the mask was empty, or of something else than the box; `failed`: images with why.

    `pairs_left_alone`: in somebody's hands, or decided or removed meanwhile.
    """

    imported: int | None
    model_version: str
    drawn: int = 0
    misfits: int = 0
    pairs_left_alone: int = 0
    pairs_in_holdout: int = 0
    failed_count: int = 0
    failed: list[dict[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class _Box:
    """An instance of a pair that is a box alone; `sketch` is the mask that stands for it."""

    pair_id: int
    sketch: Rle

    @property
    def xyxy(self) -> tuple[int, int, int, int]:
        return rle_box_xyxy(self.sketch)


class _Drawing:
    def __init__(self, context: JobContext, tally: BoxTally) -> None:
        self._context, self._tally = context, tally
        self._version = tally.model_version

    def draw(self, pairs: Sequence[int], progress: float) -> None:
        """Ask for masks in these pairs' boxes, and keep those that fit."""
        for asked in batched(_asked(pairs), IMAGES_A_CALL):
            answers = self._answers([(image, [box.xyxy for box in boxes]) for image, boxes in asked], progress)
            drawn: dict[tuple[int, str], DrawnMask] = {}
            for (image, boxes), answer in zip(asked, answers, strict=True):
                drawn |= self._fitting(image, boxes, answer)
            self._store(drawn)

    def _answers(self, boxed: Sequence[tuple[Image, Sequence[Sequence[float]]]], progress: float) -> list[DrawnImage]:
        def wait(seconds: float, reason: BackendError) -> None:
            words = f"Waiting for the ML backend: {_plain(reason)}"
            self._context.pause(seconds, lambda: self._context.progress(progress, words))

        try:
            return asked_patiently(lambda: ml_client.boxes(model_version=self._version, boxed=boxed), wait=wait)
        except BackendError as error:
            words = "What has no mask yet waits in the queue as a box. Ask again once the model answers."
            raise BackendError(f"{_plain(error)} {words}", code=error.code) from error

    def _fitting(self, image: Image, boxes: Sequence[_Box], answer: DrawnImage) -> dict[tuple[int, str], DrawnMask]:
        """By pair and sketch."""
        if answer.failure:
            self._tally.failed_count += 1
            if len(self._tally.failed) < FAILURES_LISTED:
                self._tally.failed.append({"image": image.original_name, "reason": answer.failure})
            return {}
        found = [(box, one) for box, one in zip(boxes, answer.masks, strict=True) if mask_fits(one.mask, box.xyxy)]
        self._tally.misfits += len(boxes) - len(found)
        return {(box.pair_id, box.sketch["counts"]): one for box, one in found}

    @transaction.atomic
    def _store(self, drawn: Mapping[tuple[int, str], DrawnMask]) -> None:
        """Into pairs that are still open and in nobody's hands: who took one goes on with the box."""
        wanted = {pair_id for pair_id, _ in drawn}
        rows = _free(Pair.objects.select_for_update().filter(pk__in=wanted))
        changed = [row for row in rows if self._put_in(row, drawn)]
        Pair.objects.bulk_update(changed, ["instances"])
        for still_boxes in (False, True):
            self._tell(still_boxes, [row.pk for row in changed if any(map(_is_box, row.instances)) == still_boxes])
        self._tally.pairs_left_alone += len(wanted) - len(changed)

    def _put_in(self, pair: Pair, drawn: Mapping[tuple[int, str], DrawnMask]) -> int:
        count = 0
        for place, one in enumerate(pair.instances):
            found = drawn.get((pair.pk, one["mask"]["counts"])) if _is_box(one) else None
            if found:
                pair.instances[place] = _drawn_row(one["mask"], found, self._version)
                count += 1
        self._tally.drawn += count
        return count

    def _tell(self, still_boxes: bool, pairs: Sequence[int]) -> None:
        """The waiting task says what is to be done now; it stays the import's, so that an undo finds it."""
        ending = "drew masks in some of its boxes: outline the others" if still_boxes else "drew the mask"
        words = f"Imported as a box, and {self._version} {ending}: take it, or correct it."
        tasks = Task.objects.filter(pair__in=pairs, state=Task.State.QUEUED, reasons__0__kind="import")
        tasks.update(reasons=[{"kind": "import", "value": 0.0, "words": words}], updated_at=Now())


def mask_fits(mask: Rle, box_xyxy: tuple[int, int, int, int]) -> bool:
    """Whether a mask is that of the object that the box frames: its own box overlaps enough, and it is not empty."""
    if not rle_area(mask):
        return False
    return _box_iou(rle_box_xyxy(mask), box_xyxy) >= FITTING_BOX_IOU


def _box_iou(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0) * max(height, 0)
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return shared / (areas - shared)


def _is_box(instance: Mapping[str, Any]) -> bool:
    return bool(instance.get("coarse"))


def _asked(pairs: Sequence[int]) -> list[tuple[Image, list[_Box]]]:
    """The boxes by image, at most so many of one at a time."""
    rows = Pair.objects.filter(pk__in=pairs).select_related("image").order_by("image_id", "pk")
    asked: list[tuple[Image, list[_Box]]] = []
    for _, of_image in groupby(rows, key=lambda row: row.image_id):
        together = list(of_image)
        boxes = [_Box(row.pk, one["mask"]) for row in together for one in row.instances if _is_box(one)]
        asked += [(together[0].image, some) for some in batched(boxes, BOXES_A_CALL)]
    return asked


def _free(pairs: QuerySet[Pair]) -> QuerySet[Pair]:
    """Open still, and nobody has the task or has begun with it."""
    tasks = Task.objects.filter(pair=OuterRef("pk"), state__in=Task.OPEN_STATES)
    begun = Draft.objects.filter(task__pair=OuterRef("pk"), task__state=Task.State.QUEUED)
    return pairs.filter(~Exists(tasks.exclude(state=Task.State.QUEUED)), ~Exists(begun), truth=Pair.Truth.UNSEEN)


def _drawn_row(sketch: Rle, found: DrawnMask, version: str) -> dict[str, Any]:
    """As pairs keep an instance; the box is its prompt, so that a click at the desk goes on from there."""
    return {
        "mask": found.mask,
        "origin": "box",
        "prompts": [{"box": [float(value) for value in rle_box_xyxy(sketch)]}],
        "model_version": version,
        "score": found.score,
        "edited": False,
        "sketch": sketch,
    }


def _plain(error: BackendError) -> str:
    """Nobody sits at a desk here."""
    return str(error).removesuffix(ml_client.BY_HAND).strip()
