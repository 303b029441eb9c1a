"""Images that move to another split: by scene, and never in silence once training or the gate has used them."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import Count, Q, QuerySet

from annotator.common.audit import audit_record
from annotator.common.batches import batched
from annotator.common.errors import ConflictError, RoostError
from annotator.models import Evaluation, Image, Project, Snapshot

from .snapshots import snapshot_images
from .splits import most_protected

log = logging.getLogger(__name__)

IMAGES_AUDITED = 50
HASHES_A_QUERY = 500


@dataclass(frozen=True)
class Moved:
    """`images` that have another split now; `used`: what had read some of them, as «run 3», «evaluation of v2»."""

    images: int
    scenes: int
    used: tuple[str, ...] = ()


@transaction.atomic
def image_split_move(
    *,
    project: Project,
    images: QuerySet[Image] | Sequence[Image],
    split: str,
    user: AbstractBaseUser | None,
    force: bool = False,
) -> Moved:
    """Move these images, and whatever shows the same scenes, to a split.

    ConflictError (`split_used`) where a training run or an evaluation has read one of them, unless `force`d, which is
    written down with what had read it.
    """
    if split not in Image.Split.values:
        raise RoostError(f"There is no split {split!r}.", fields={"split": ["train, val, test or holdout."]})
    rows = scene_mates(project=project, images=images)
    moving = [(pk, sha256, was) for pk, sha256, was in rows.values_list("pk", "sha256", "split") if was != split]
    used = uses_of(project=project, sha256s=[sha256 for _, sha256, _ in moving])
    if used and not force:
        words = (
            f"{_images(len(used))} of {len(moving)} {'was' if len(used) == 1 else 'were'} read by "
            f"{', '.join(_names(used))} as {', '.join(sorted({was for _, sha, was in moving if sha in used}))}. "
            "Figures measured before and after such a move can't be compared; confirm it to move them all the same."
        )
        raise ConflictError(words, code="split_used")
    scenes = rows.values("scene").distinct().count()
    _write(project, user, split, moving, used)
    return Moved(len(moving), scenes, _names(used))


def _write(
    project: Project,
    user: AbstractBaseUser | None,
    split: str,
    moving: Sequence[tuple[int, str, str]],
    used: dict[str, tuple[str, ...]],
) -> None:
    for some in batched(moving, HASHES_A_QUERY):
        project.images.filter(pk__in=[pk for pk, _, _ in some]).update(split=split)
    if moving:
        _audit(project, user, split, moving, used)


def scene_mates(*, project: Project, images: QuerySet[Image] | Sequence[Image]) -> QuerySet[Image]:
    """The images and all others of their scenes; an image without a scene is alone."""
    pks = images.values("pk") if isinstance(images, QuerySet) else [image.pk for image in images]
    chosen = project.images.filter(pk__in=pks)
    return project.images.filter(Q(pk__in=pks) | Q(scene__in=chosen.exclude(scene="").values("scene")))


def uses_of(*, project: Project, sha256s: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """{hash: what has read the image's split}, for those that something has."""
    wanted = set(sha256s)
    found: dict[str, tuple[str, ...]] = {}
    if not wanted:
        return {}
    for names, hashes in _reads(project):
        for sha256 in wanted & hashes if hashes is not None else wanted & _older_than(project, names):
            found[sha256] = (*found.get(sha256, ()), *names.words)
    return found


@dataclass(frozen=True)
class _Reader:
    snapshot: Snapshot
    words: tuple[str, ...]


def _reads(project: Project) -> Iterable[tuple[_Reader, frozenset[str] | None]]:
    """Every snapshot that a run or an evaluation has read; None where its documents are gone."""
    for snapshot in project.snapshots.prefetch_related("training_runs"):
        runs = [f"run {run.number}" for run in snapshot.training_runs.all()]
        judged = Evaluation.objects.filter(snapshot=snapshot).values_list("version__name", flat=True).distinct()
        words = (*sorted(runs), *(f"the evaluation of {name}" for name in sorted(judged)))
        if words:
            yield _Reader(snapshot, words), _hashes(snapshot)


def _hashes(snapshot: Snapshot) -> frozenset[str] | None:
    try:
        return _hashes_kept(snapshot.content_hash, snapshot.pk)
    except (RoostError, OSError, ValueError, KeyError):
        log.warning("The documents of snapshot %s can't be read; older images count as used.", snapshot.number)
        return None


@lru_cache(maxsize=4)
def _hashes_kept(content_hash: str, pk: int) -> frozenset[str]:
    """A snapshot never changes."""
    return frozenset(snapshot_images(Snapshot.objects.get(pk=pk)))


def _older_than(project: Project, reader: _Reader) -> set[str]:
    """Nobody can tell which of them it held, so each counts."""
    return set(project.images.filter(added_at__lte=reader.snapshot.created_at).values_list("sha256", flat=True))


def _names(used: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(sorted({name for names in used.values() for name in names}))


def _images(count: int) -> str:
    return f"{count:,} image{'' if count == 1 else 's'}"


def _audit(
    project: Project,
    user: AbstractBaseUser | None,
    split: str,
    moving: Sequence[tuple[int, str, str]],
    used: dict[str, tuple[str, ...]],
) -> None:
    audit_record(
        project=project,
        actor=user,
        action="split.move",
        subject=f"{_images(len(moving))} to {split}",
        split=split,
        was=sorted({was for _, _, was in moving}),
        images=[sha256 for _, sha256, _ in moving][:IMAGES_AUDITED],
        count=len(moving),
        used=len(used),
        used_by=list(_names(used)),
    )


def scenes_crossing(*, project: Project) -> QuerySet[Image, Any]:
    """{scene, splits} of the scenes that lie in more than one split, by name."""
    grouped = project.images.exclude(scene="").order_by().values("scene")
    return grouped.annotate(splits=Count("split", distinct=True)).filter(splits__gt=1).order_by("scene")


@dataclass(frozen=True)
class Crossing:
    """A scene in several splits, and the one of them that it should lie in: the one that judges most.

    `used`: {hash: what has read it} of the images that would move.
    """

    scene: str
    images: list[Image]
    target: str
    used: dict[str, tuple[str, ...]]

    @property
    def moving(self) -> list[Image]:
        return [image for image in self.images if image.split != self.target]

    @property
    def target_words(self) -> str:
        return str(Image.Split(self.target).label)

    @property
    def used_by(self) -> tuple[str, ...]:
        return _names(self.used)


def crossings_of(*, project: Project, scenes: Sequence[str]) -> list[Crossing]:
    """What would become of these scenes."""
    by_scene: dict[str, list[Image]] = {scene: [] for scene in scenes}
    for image in project.images.filter(scene__in=scenes).order_by("pk"):
        by_scene[image.scene].append(image)
    goals = {scene: most_protected(image.split for image in images) for scene, images in by_scene.items() if images}
    moving = [image.sha256 for scene, goal in goals.items() for image in by_scene[scene] if image.split != goal]
    used = uses_of(project=project, sha256s=moving)
    return [
        Crossing(scene, by_scene[scene], goal, {i.sha256: used[i.sha256] for i in by_scene[scene] if i.sha256 in used})
        for scene, goal in goals.items()
    ]


@dataclass(frozen=True)
class Mended:
    """`left`: scenes that something has read, and that stay as they are until that is confirmed."""

    images: int = 0
    scenes: int = 0
    left: int = 0


def splits_mend(
    *, project: Project, user: AbstractBaseUser | None, scenes: Sequence[str] = (), force: bool = False
) -> Mended:
    """Move each crossing scene, or these of them, wholly to the split of its most protected image.

    One that training or the gate has read moves only with `force`, and each is written down by itself.
    """
    wanted = set(scenes)
    crossing = [row["scene"] for row in scenes_crossing(project=project) if not wanted or row["scene"] in wanted]
    images = mended = left = 0
    for some in batched(crossing, HASHES_A_QUERY):
        with transaction.atomic():
            for one in crossings_of(project=project, scenes=some):
                if one.used and not force:
                    left += 1
                    continue
                moving = [(image.pk, image.sha256, image.split) for image in one.moving]
                _write(project, user, one.target, moving, one.used)
                images, mended = images + len(moving), mended + 1
    return Mended(images, mended, left)
