"""Proposals that settle themselves: pairs that the serving model is sure of teach the next one, if a project wants it.

Off by default. They enter the train split of a snapshot and nothing else: no pair's truth, no queue, no other split, no
export. Whether any may enter is bounded by the random audit: the serving model's sure answers that people have since
given must be wrong in no more than the project allows, by the upper end of an interval and not by the share seen.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from django.db.models import Exists, OuterRef, Q, QuerySet

from annotator.common.active import pairs_active
from annotator.common.agreement import clopper_upper, overlap
from annotator.models import Annotation, Image, Pair, Prediction, Project, Task
from annotator.queue.acquisition import Candidate, directions_of
from annotator.queue.likeness import SIMILAR
from annotator.queue.model_errors import audited_pairs

from .formats.records import PSEUDO
from .snapshot_documents import SettledPair

# Presence from or up to where the model is sure; a query in between says that an object may be there.
SURE_THERE, SURE_ABSENT = 0.98, 0.02
OBJECT_FROM, DOUBT_FROM = 0.7, 0.3
# An audited answer agrees with the model's masks from this mean overlap on, as a second label does.
SAME_MASKS = 0.8
ROWS_A_READ = 500


@dataclass(frozen=True)
class PseudoBound:
    """Of audited pairs that the serving model was sure of, how many it had wrong; `upper` with a chance of 5 %."""

    wrong: int
    total: int
    allowed: float

    @property
    def upper(self) -> float:
        return clopper_upper(self.wrong, self.total)

    @property
    def is_met(self) -> bool:
        return self.upper <= self.allowed

    @property
    def words(self) -> str:
        """What the data page says while the project wants pseudo-labels."""
        so_far = f"{self.wrong:,} of {self.total:,} sure answers of the audit were wrong"
        told = f"{so_far}, so at most {100 * self.upper:.3g} %; {100 * self.allowed:g} % is allowed"
        return f"{told}: the next snapshot may have them." if self.is_met else f"{told}: none enters before that."


@dataclass(frozen=True)
class _Audit:
    """A sure audited pair as its look, and whether the model was right."""

    look: Candidate
    is_right: bool


def pseudo_bound(*, project: Project) -> PseudoBound:
    return _bound(project, _audits(project))


def pseudo_pairs(*, project: Project) -> Iterator[SettledPair]:
    """By image hash; nothing where the project does not want them or the audit does not bear them out."""
    if not project.pseudo_labels:
        return
    audits = _audits(project)
    if not _bound(project, audits).is_met:
        return
    sure = _sure_predictions(project)
    looks = [_look(row) for row in sure.iterator(chunk_size=ROWS_A_READ) if _masks_are_sure(project, row)]
    alike = set(_like_audited(looks, audits))
    # Read again, so that no more masks than a few are held at once.
    for row in sure.order_by("pair__image__sha256").iterator(chunk_size=ROWS_A_READ):
        if row.pair_id in alike:
            yield _settled(row)


def _bound(project: Project, audits: Sequence[_Audit]) -> PseudoBound:
    return PseudoBound(sum(not one.is_right for one in audits), len(audits), project.pseudo_error)


def _sure() -> Q:
    return Q(presence__gte=SURE_THERE) | Q(presence__lte=SURE_ABSENT)


def _audits(project: Project) -> list[_Audit]:
    found = {one.pair_id: one for one in audited_pairs(project=project)}
    seen = Prediction.objects.filter(_sure(), pair__in=found, model_version=project.serving_version_id)
    said = _outlines_said(project, list(found))
    rows = seen.select_related("pair__concept").iterator(chunk_size=500)
    return [_Audit(_look(row), _is_right(row, found[row.pair_id].is_there, said[row.pair_id])) for row in rows]


def _outlines_said(project: Project, pairs: Sequence[int]) -> dict[int, list[dict]]:
    """What people outlined: of an answer that waits for its review, what it has."""
    said = dict(Pair.objects.filter(pk__in=pairs).values_list("pk", "instances"))
    waiting = Annotation.objects.filter(
        task__project=project,
        task__lane=Task.Reason.AUDIT,
        task__state__in=(Task.State.SUBMITTED, Task.State.RETURNED),
        pair__in=pairs,
    )
    return said | dict(waiting.order_by("task", "revision").values_list("pair_id", "instances"))


def _is_right(row: Prediction, is_there: bool, outlines: list[dict]) -> bool:
    if is_there != (row.presence >= SURE_THERE):
        return False
    return not is_there or overlap(_objects(row), outlines) >= SAME_MASKS


def _objects(row: Prediction) -> list[dict]:
    return [one for one in row.instances if one["query_score"] >= OBJECT_FROM]


def _sure_predictions(project: Project) -> QuerySet[Prediction]:
    """Of train pairs that nobody has looked at, and that nobody is asked about."""
    asked = Task.objects.filter(pair=OuterRef("pk"), state__in=Task.OPEN_STATES)
    unseen = pairs_active(project=project).filter(truth=Pair.Truth.UNSEEN, image__split=Image.Split.TRAIN)
    free = unseen.filter(~Exists(asked))
    rows = Prediction.objects.filter(_sure(), pair__in=free, model_version=project.serving_version_id)
    return rows.select_related("pair__concept", "pair__image", "model_version")


def _masks_are_sure(project: Project, row: Prediction) -> bool:
    """No object that may or may not be there, and no outline that the queue would call borderline."""
    if row.presence <= SURE_ABSENT:
        return True
    doubtful = any(DOUBT_FROM <= one["query_score"] < OBJECT_FROM for one in row.instances)
    is_stable = row.min_stability is not None and row.min_stability >= project.stability_below
    return bool(_objects(row)) and is_stable and not doubtful


def _look(row: Prediction) -> Candidate:
    feature = np.frombuffer(bytes(row.feature), dtype=np.float16) if len(row.feature) else None
    return Candidate(row.pair_id, row.pair.concept.name, row.presence, row.min_stability, feature)


def _like_audited(wanted: Sequence[Candidate], audits: Sequence[_Audit]) -> Iterator[int]:
    """Pairs whose nearest audited look of their concept and answer is one that the model had right, and near enough."""
    towards = directions_of([*wanted, *(one.look for one in audits)])
    known: dict[tuple[str, bool], list[tuple[np.ndarray, bool]]] = {}
    for audit in audits:
        if audit.look.pair_id in towards:
            known.setdefault(_kind(audit.look), []).append((towards[audit.look.pair_id], audit.is_right))
    stacked = {
        kind: (np.stack([look for look, _ in rows]), [right for _, right in rows]) for kind, rows in known.items()
    }
    for one in wanted:
        look, kind = towards.get(one.pair_id), _kind(one)
        if look is not None and kind in stacked and _is_like_right(look, *stacked[kind]):
            yield one.pair_id


def _kind(one: Candidate) -> tuple[str, bool]:
    return one.concept, one.presence >= SURE_THERE


def _is_like_right(look: np.ndarray, known: np.ndarray, is_right: Sequence[bool]) -> bool:
    alike = known @ look
    nearest = int(alike.argmax())
    return bool(alike[nearest] > SIMILAR) and is_right[nearest]


def _settled(row: Prediction) -> SettledPair:
    """Nobody vouches that a model's objects are all there are: such a pair teaches what it has, upwards alone."""
    pair = row.pair
    objects = _objects(row) if row.presence >= SURE_THERE else []
    ordered = sorted((one["mask"] for one in objects), key=lambda mask: (list(mask["size"]), str(mask["counts"])))
    made = {"origin": PSEUDO, "model_version": row.model_version.name, "edited": False}
    return SettledPair(
        sha256=pair.image.sha256,
        width=pair.image.width,
        height=pair.image.height,
        split=pair.image.split,
        phrase=pair.concept.name,
        category_id=pair.concept.category_id,
        truth=Pair.Truth.PRESENT if objects else Pair.Truth.ABSENT,
        masks=tuple(ordered),
        prompts=tuple([] for _ in ordered),
        is_exhaustive=not objects,
        source=pair.image.source,
        truth_source=PSEUDO,
        round=pair.round,
        scene=pair.image.scene,
        made=tuple(dict(made) for _ in ordered),
    )
