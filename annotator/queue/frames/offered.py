"""Which pairs may take over the answer of a settled frame: near-identical ones of its scene that the model sees alike.

Why so: docs/decisions/0026-frames-of-a-settled-scene.md.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from django.db.models import Count, Exists, OuterRef, Q, QuerySet

from annotator.common.access import Person
from annotator.common.active import pairs_active
from annotator.common.batches import batched
from annotator.common.masks import rle_box_xyxy
from annotator.models import Image, Pair, Prediction, Project, Task

from ..candidates import PRESENCE_SCORE, pairs_to_mine
from ..selectors import proposed_instances
from ..visibility import pairs_with_visible_truth
from .alike import boxes_match, features_alike, looks_alike

FRAMES_PAGE = 48
# So many waiting pairs are compared for one page at most; the next goes on where this one ended.
MOST_COMPARED = 600
# … unless nothing is found among them: then so many.
MOST_SEARCHED = 6000
COMPARED_AT_ONCE = 100
SCENES_AT_ONCE = 50
# A camera that stands still has one scene with hundreds of answers: the newest say how it looks now.
SETTLED_COMPARED = 20
# Tasks that doubt alone queued. An audit measures the model, and the others ask for a person's own look.
Reason = Task.Reason
LANES = (Reason.BAND, Reason.DISAGREEMENT, Reason.BORDERLINE, Reason.FILL, Reason.COMPANION)


@dataclass(frozen=True)
class Frame:
    """A pair that waits, what the serving model sees in it, and the settled pair whose answer is offered for it."""

    prediction: Prediction
    settled: Pair
    task: Task | None

    @property
    def pair(self) -> Pair:
        return self.prediction.pair

    @property
    def verdict(self) -> str:
        return self.settled.truth

    @property
    def proposals(self) -> list[dict]:
        return proposed_instances(self.prediction)

    @property
    def instances(self) -> list[dict]:
        """The answer's: the proposals in this frame, accepted as they are; none where the verdict is absent."""
        version = self.prediction.model_version.name
        accepted = {"origin": "proposal", "prompts": [], "model_version": version, "edited": False}
        present = self.proposals if self.verdict == Pair.Truth.PRESENT else []
        return [{"mask": one["mask"], **accepted, "score": one["score"]} for one in present]


def frames_offered(
    *, project: Project, user: Person, after: int | None = None, without: Sequence[int] = ()
) -> tuple[list[Frame], int | None]:
    """At most FRAMES_PAGE, scene by scene, and the prediction to go on after, None at the end; `without`: predictions
    that are left out."""
    found: list[Frame] = []
    last = None
    compared = 0
    for ids in _waiting_by_scene(project, user, after):
        rows = _predictions(project).in_bulk([pk for pk in ids if pk not in without])
        matched = _matched(project, user, list(rows.values()))
        for pk in ids:
            if len(found) == FRAMES_PAGE or compared >= (MOST_COMPARED if found else MOST_SEARCHED):
                return found, last
            found += [matched[pk]] if pk in matched else []
            compared, last = compared + 1, pk
    return found, None


def frames_offered_of(*, project: Project, user: Person, predictions: Sequence[int]) -> dict[int, Frame]:
    """Those of these predictions whose pairs may take over an answer now."""
    rows = list(_predictions(project).filter(pk__in=predictions))
    waiting = set(_waiting(project).filter(pk__in=[row.pair_id for row in rows]).values_list("pk", flat=True))
    return _matched(project, user, [row for row in rows if row.pair_id in waiting])


def _waiting_by_scene(project: Project, user: Person, after: int | None) -> Iterator[list[int]]:
    """Predictions of the waiting pairs where the scene has a settled one of the concept, by scene, COMPARED_AT_ONCE at
    most."""
    place = Prediction.objects.filter(pk=after).values_list("pair__image__scene", "pk").first() or ("", 0)
    scenes = [scene for scene in _scenes(project, user) if scene >= place[0]]
    for some in batched(scenes, SCENES_AT_ONCE):
        images = list(Image.objects.filter(project=project, scene__in=some).values_list("pk", flat=True))
        pairs = list(_waiting(project).filter(image__in=images).values_list("pk", flat=True))
        settled = _settled(project, user).order_by().filter(image__scene__in=some)
        places = set(settled.values_list("concept_id", "image__scene", "image__split").distinct())
        rows = _predictions(project).filter(pair__in=pairs)
        seen = rows.values_list("pair__image__scene", "pk", "pair__concept_id", "pair__image__split")
        wanted = sorted((scene, pk) for scene, pk, concept, split in seen if (concept, scene, split) in places)
        yield from batched([pk for scene, pk in wanted if (scene, pk) > place], COMPARED_AT_ONCE)


def _scenes(project: Project, user: Person) -> list[str]:
    """In order, those of more than one image that have a settled pair."""
    several = Image.with_trash.filter(project=project).exclude(scene="").order_by().values("scene")
    names = set(several.annotate(n=Count("pk")).filter(n__gt=1).values_list("scene", flat=True))
    return sorted(names & set(_settled(project, user).order_by().values_list("image__scene", flat=True).distinct()))


def _predictions(project: Project) -> QuerySet[Prediction]:
    """The serving model's."""
    rows = Prediction.objects.filter(model_version=project.serving_version_id, pair__project=project)
    return rows.select_related("pair__image", "pair__concept", "model_version").defer("feature", "pair__instances")


def _waiting(project: Project) -> QuerySet[Pair]:
    """Unseen pairs that nobody has in hand, as mining takes them: no holdout, nothing claimed, drafted or kept for
    somebody."""
    for_people = ~Q(lane__in=LANES) | Q(twin_of__isnull=False) | Q(twin__isnull=False)
    apart = Task.objects.filter(for_people, pair=OuterRef("pk"), state__in=Task.OPEN_STATES)
    return pairs_to_mine(project=project).filter(~Exists(apart))


def _settled(project: Project, user: Person) -> QuerySet[Pair]:
    """Pairs with an approved answer that this person may know, itself not taken over: a scene must not drift from frame
    to frame."""
    answered = pairs_active(project=project).filter(truth_source=Pair.TruthSource.ANNOTATED, is_exhaustive=True)
    answered = answered.filter(settled_by__isnull=False, settled_by__frame_of=None)
    answered = answered.exclude(image__split=Image.Split.HOLDOUT).exclude(image__scene="")
    visible = pairs_with_visible_truth(answered, project=project, user=user)
    return visible.exclude(visible_truth=Pair.Truth.UNSEEN)


def _matched(project: Project, user: Person, predictions: Sequence[Prediction]) -> dict[int, Frame]:
    """Of these predictions those whose pairs may take over an answer, by id."""
    settled = _settled_by_scene(project, user, [one.pair for one in predictions])
    features = _features([one.pair_id for one in predictions], [pair.pk for some in settled.values() for pair in some])
    tasks = Task.objects.filter(pair__in=[one.pair_id for one in predictions], state=Task.State.QUEUED)
    queued = {task.pair_id: task for task in tasks}
    found = {}
    for prediction in predictions:
        alike = [one for one in settled[_place(prediction.pair)] if _is_alike(prediction.pair, one, features)]
        source = _source(prediction, alike)
        if source is not None:
            found[prediction.pk] = Frame(prediction, source, queued.get(prediction.pair_id))
    return found


Place = tuple[int, str, str]
Features = dict[int, dict[int, bytes]]


def _place(pair: Pair) -> Place:
    return pair.concept_id, pair.image.scene, pair.image.split


def _settled_by_scene(project: Project, user: Person, pairs: Sequence[Pair]) -> dict[Place, list[Pair]]:
    """The newest settled pairs of each concept in each scene of these pairs."""
    places = {_place(pair) for pair in pairs}
    rows = _settled(project, user).filter(image__scene__in={scene for _, scene, _ in places})
    rows = rows.order_by("-settled_at", "-pk")
    kept: dict[Place, list[int]] = defaultdict(list)
    for pk, concept, scene, split in rows.values_list("pk", "concept_id", "image__scene", "image__split"):
        place = (concept, scene, split)
        if place in places and len(kept[place]) < SETTLED_COMPARED:
            kept[place].append(pk)
    chosen = Pair.objects.select_related("image", "settled_by")
    known = chosen.in_bulk([pk for some in kept.values() for pk in some])
    return defaultdict(list, {place: [known[pk] for pk in some] for place, some in kept.items()})


def _features(*pairs: Iterable[int]) -> Features:
    """pair -> version -> its pooled feature of the pair's image."""
    wanted = [pk for some in pairs for pk in some]
    found: Features = defaultdict(dict)
    rows = Prediction.objects.filter(pair__in=wanted).values_list("pair_id", "model_version_id", "feature")
    for pair_id, version, feature in rows:
        if len(feature):
            found[pair_id][version] = bytes(feature)
    return found


def _is_alike(pair: Pair, settled: Pair, features: Features) -> bool:
    """By the newest model version that has seen both; where none has, by the pictures' looks."""
    own, theirs = features[pair.pk], features[settled.pk]
    if shared := own.keys() & theirs.keys():
        return features_alike(own[max(shared)], theirs[max(shared)])
    return looks_alike(pair.image.look, settled.image.look)


def _source(prediction: Prediction, alike: Sequence[Pair]) -> Pair | None:
    """The newest of them whose answer holds here, too; none where frames that look the same were answered otherwise."""
    if len({pair.truth for pair in alike}) != 1:
        return None
    return next((pair for pair in alike if _holds(pair, prediction)), None)


def _holds(settled: Pair, prediction: Prediction) -> bool:
    """Absent must be predicted absent, too. Present: the proposals were accepted as they were, and lie alike here."""
    if settled.truth == Pair.Truth.ABSENT:
        return prediction.presence < PRESENCE_SCORE
    accepted = all(one.get("origin") == "proposal" and not one.get("edited") for one in settled.instances)
    answer = settled.settled_by
    if not accepted or answer is None or answer.rejected_proposals or _size(settled) != _size(prediction.pair):
        return False
    boxes = [rle_box_xyxy(one["mask"]) for one in settled.instances]
    return boxes_match(boxes, [one["box"] for one in proposed_instances(prediction)])


def _size(pair: Pair) -> tuple[int, int]:
    return pair.image.width, pair.image.height
