"""What a person looks for among a project's images, out of an address and back into one; and what that asks of a row.

Truth is only ever what this person may know (queue/visibility.py); how others answered is for reviewers.
"""

from dataclasses import dataclass, fields, replace
from datetime import date, datetime, time, timedelta
from urllib.parse import urlencode

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import QueryDict
from django.utils import timezone

from annotator.common.access import REVIEWER, Person, has_role
from annotator.common.forms import fraction_in
from annotator.common.shell import whole_number
from annotator.models import Image, Pair, Prediction, Project, Task
from annotator.queue.candidates import PRESENCE_SCORE
from annotator.queue.model_errors import SURE_OF_INSTANCE, SURE_OF_NONE
from annotator.queue.selectors import double_awaited, reasons_shown
from annotator.queue.visibility import may_be_tested, pairs_with_visible_truth

PARTIAL = "partial"
TRUTHS = [
    (Pair.Truth.UNSEEN.value, "Not looked at"),
    (Pair.Truth.ABSENT.value, "Verified absent"),
    (Pair.Truth.PRESENT.value, "Present"),
    (PARTIAL, "Present, not every one drawn"),
]
ORIGINS = [("annotated", "By a person"), ("imported", "By an import"), ("drawn", "Known from the drawing")]
STATES = [
    ("queued", "Waiting"),
    ("claimed", "In hand"),
    ("submitted", "To review"),
    ("returned", "Sent back"),
    ("approved", "Approved"),
]
DISAGREEMENTS = [
    ("answers", "Two answers differ"),
    ("corrected", "A reviewer corrected it"),
    ("suspected", "The model contradicts the label"),
]
FOR_REVIEWERS = ("person", "disagreement")
NAME_LENGTH = 100


@dataclass(frozen=True)
class ImageFilter:
    """Empty strings and None mean all; `before` is the id of the last image of the page before.

    What is said of a pair (concept, truth, origin, state, reason, presence, person, disagreement) is said of one pair.
    """

    split: str = ""
    source: str = ""
    concept: int | None = None
    truth: str = ""
    origin: str = ""
    state: str = ""
    reason: str = ""
    presence_low: float | None = None
    presence_high: float | None = None
    person: int | None = None
    disagreement: str = ""
    name: str = ""
    added_from: date | None = None
    added_to: date | None = None
    job: int | None = None
    before: int | None = None

    @property
    def is_narrowed(self) -> bool:
        return replace(self, before=None) != ImageFilter()

    @property
    def is_about_pairs(self) -> bool:
        return any(getattr(self, name) not in ("", None) for name in ABOUT_PAIRS)

    @property
    def has_more(self) -> bool:
        """Whether one of the filters that are folded away is set."""
        return any(getattr(self, name) not in ("", None) for name in FOLDED)

    @property
    def address(self) -> str:
        """The query of the page that shows this, without the place in the list."""
        kept = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "before"}
        return urlencode({name: value for name, value in kept.items() if value not in ("", None)})


ABOUT_PAIRS = ("concept", "truth", "origin", "state", "reason", "presence_low", "presence_high", *FOR_REVIEWERS)
FOLDED = ("origin", "state", "reason", "presence_low", "presence_high", *FOR_REVIEWERS, "added_from", "added_to", "job")


def filter_parsed(asked: QueryDict) -> ImageFilter:
    """What an address says; what it says wrongly counts as not said: filters_unheard names it."""
    return ImageFilter(
        split=_one_of(asked, "split", Image.Split.values),
        source=asked.get("source", "")[:80].replace("\x00", ""),
        concept=whole_number(asked.get("concept")),
        truth=_one_of(asked, "truth", dict(TRUTHS)),
        origin=_one_of(asked, "origin", dict(ORIGINS)),
        state=_one_of(asked, "state", dict(STATES)),
        reason=_one_of(asked, "reason", reasons_shown()),
        presence_low=fraction_in(asked.get("presence_low")),
        presence_high=fraction_in(asked.get("presence_high")),
        person=whole_number(asked.get("person")),
        disagreement=_one_of(asked, "disagreement", dict(DISAGREEMENTS)),
        name=asked.get("name", "")[:NAME_LENGTH].replace("\x00", "").strip(),
        added_from=_day(asked.get("added_from")),
        added_to=_day(asked.get("added_to")),
        job=whole_number(asked.get("job")),
        before=whole_number(asked.get("before")),
    )


def filters_unheard(asked: QueryDict) -> list[str]:
    """What an address asks for and means nothing here, such as a concept's name where its number is wanted."""
    wanted = filter_parsed(asked)
    said = {one.name: asked.get(one.name, "").strip()[:NAME_LENGTH] for one in fields(ImageFilter)}
    return [f"{name}={text}" for name, text in said.items() if text and getattr(wanted, name) in ("", None)]


def _one_of(asked: QueryDict, name: str, known: object) -> str:
    value = asked.get(name, "")
    return value if value in known else ""  # type: ignore[operator]


def _day(text: str | None) -> date | None:
    try:
        return date.fromisoformat(text or "")
    except ValueError:
        return None


def filter_allowed(wanted: ImageFilter, *, project: Project, user: Person) -> ImageFilter:
    """Without what only reviewers may ask."""
    if has_role(user=user, project=project, role=REVIEWER):
        return wanted
    return replace(wanted, person=None, disagreement="")


def images_matching(*, project: Project, wanted: ImageFilter, user: Person) -> QuerySet[Image]:
    """All that the filter lets through, wherever the list is; walk it by image_walk.py where it may be long."""
    wanted = filter_allowed(wanted, project=project, user=user)
    images = project.images.all()
    images = images.filter(split=wanted.split) if wanted.split else images
    images = images.filter(source=wanted.source) if wanted.source else images
    images = images.filter(original_name__icontains=wanted.name) if wanted.name else images
    since, until = days_spanned(wanted)
    images = images.filter(added_at__gte=since) if since else images
    images = images.filter(added_at__lt=until) if until else images
    if wanted.job:
        settled = Pair.objects.filter(image_id=OuterRef("pk"), settled_by_import=wanted.job)
        images = images.filter(Q(added_by_import=wanted.job) | Q(Exists(settled)))
    if asks_presence(wanted):
        # Nobody shall choose from the holdout by what a model thinks of it.
        images = images.exclude(split=Image.Split.HOLDOUT)
    if wanted.is_about_pairs:
        images = images.filter(Exists(pairs_matching(project=project, wanted=wanted, user=user)))
    return images


def asks_presence(wanted: ImageFilter) -> bool:
    return (wanted.presence_low, wanted.presence_high) != (None, None) or wanted.disagreement == "suspected"


def days_spanned(wanted: ImageFilter) -> tuple[datetime | None, datetime | None]:
    """From the first moment of the first day to the one after the last day, where they are given."""

    def starts(day: date) -> datetime:
        return timezone.make_aware(datetime.combine(day, time.min))

    since = starts(wanted.added_from) if wanted.added_from else None
    return since, starts(wanted.added_to + timedelta(days=1)) if wanted.added_to else None


def pairs_matching(*, project: Project, wanted: ImageFilter, user: Person) -> QuerySet[Pair]:
    """Pairs of the outer image that the filter speaks of."""
    pairs = Pair.objects.filter(image_id=OuterRef("pk"))
    if wanted.concept:
        pairs = pairs.filter(concept_id=wanted.concept)
    elif retired := list(project.concepts.exclude(retired_at=None).values_list("pk", flat=True)):
        pairs = pairs.exclude(concept__in=retired, truth=Pair.Truth.UNSEEN)
    pairs = _of_truth(pairs, project, wanted, user)
    pairs = _of_task(pairs, project, wanted, user)
    pairs = _of_presence(pairs, project, wanted)
    return _disputed(pairs, project, wanted)


def _of_truth(pairs: QuerySet[Pair], project: Project, wanted: ImageFilter, user: Person) -> QuerySet[Pair]:
    if not (wanted.truth or wanted.origin):
        return pairs
    pairs = pairs_with_visible_truth(pairs, project=project, user=user)
    if wanted.truth == PARTIAL:
        pairs = pairs.filter(truth=Pair.Truth.PRESENT, visible_truth=Pair.Truth.PRESENT, is_exhaustive=False)
    elif wanted.truth == Pair.Truth.UNSEEN:
        pairs = pairs.filter(visible_truth=wanted.truth)
    elif wanted.truth:  # said twice, so that the index finds it before anything is asked of each row
        pairs = pairs.filter(truth=wanted.truth, visible_truth=wanted.truth)
    if wanted.origin:
        pairs = pairs.filter(truth_source=wanted.origin).exclude(visible_truth=Pair.Truth.UNSEEN)
    return pairs


def tasks_asked(*, project: Project, wanted: ImageFilter) -> QuerySet[Task]:
    """Tasks of the filter's state, reason and person. A task with a known answer passes for an audit."""
    tasks = Task.objects.filter(project=project)
    tasks = tasks.filter(state=wanted.state) if wanted.state else tasks
    tasks = tasks.filter(lane__in=lanes_of(wanted.reason)) if wanted.reason else tasks
    return tasks.filter(author_id=wanted.person) if wanted.person else tasks


def lanes_of(reason: str) -> tuple[str, ...]:
    return (reason, Task.Reason.KNOWN_ANSWER) if reason == Task.Reason.AUDIT else (reason,)


def _of_task(pairs: QuerySet[Pair], project: Project, wanted: ImageFilter, user: Person) -> QuerySet[Pair]:
    if not (wanted.state or wanted.reason or wanted.person):
        return pairs
    tasks = tasks_asked(project=project, wanted=wanted)
    # The image is said as well, although the pair says it: by it the index of states, lanes and authors finds the row.
    tasks = tasks.filter(pair=OuterRef("pk"), image=OuterRef("image_id"))
    if wanted.state in ("", Task.State.APPROVED) and not has_role(user=user, project=project, role=REVIEWER):
        # What is decided shows an annotator nothing but their own work.
        tasks = tasks.filter(Q(state__in=Task.OPEN_STATES) | Q(author_id=user.pk))
    if wanted.state in ("", Task.State.APPROVED):
        # While a pair is asked for blind it passes for one that nobody has answered.
        tasks = tasks.filter(Q(state__in=Task.OPEN_STATES) | ~_tested(OuterRef("pair")))
    if wanted.person:
        tasks = tasks.filter(~_tested(OuterRef("pair")), ~Q(double_awaited()) | ~Q(state=Task.State.SUBMITTED))
    return pairs.filter(Exists(tasks))


def _tested(pair: OuterRef) -> Exists:
    return Exists(Task.objects.filter(pair=pair, lane__in=Task.BLIND_REASONS, state__in=Task.OPEN_STATES))


def _of_presence(pairs: QuerySet[Pair], project: Project, wanted: ImageFilter) -> QuerySet[Pair]:
    low, high = wanted.presence_low, wanted.presence_high
    if low is None and high is None:
        return pairs
    seen = Prediction.objects.filter(model_version_id=project.serving_version_id, image_id=OuterRef("image_id"))
    seen = seen.filter(pair_id=OuterRef("pk"), presence__gte=low or 0.0, presence__lte=1.0 if high is None else high)
    return pairs.filter(Exists(seen))


def _disputed(pairs: QuerySet[Pair], project: Project, wanted: ImageFilter) -> QuerySet[Pair]:
    if not wanted.disagreement:
        return pairs
    if wanted.disagreement == "answers":
        return pairs.filter(~_tested(OuterRef("pk")), answers_differ=True)
    if wanted.disagreement == "corrected":
        return pairs.filter(~_tested(OuterRef("pk")), was_corrected=True)
    seen = Prediction.objects.filter(model_version_id=project.serving_version_id, image_id=OuterRef("image_id"))
    seen = seen.filter(pair_id=OuterRef("pk"))
    fired = seen.filter(presence__gte=PRESENCE_SCORE, instances__0__score__gte=SURE_OF_INSTANCE)
    denied = seen.filter(presence__lte=SURE_OF_NONE)
    absent = Q(Exists(fired), truth=Pair.Truth.ABSENT)
    present = Q(Exists(denied), truth=Pair.Truth.PRESENT)
    known = pairs.filter(~_tested(OuterRef("pk"))).exclude(truth_source=Pair.TruthSource.DRAWN)
    return known.exclude(truth=Pair.Truth.UNSEEN).filter(absent | present)


def ordered_sides(*, project: Project, wanted: ImageFilter, user: Person) -> list[list[QuerySet]]:
    """For each part of the filter that an index knows: what its images are among, as rows that are indexed by image.

    An image that fits is in one of every list; so a walk may go on at the first image that all of them allow.
    """
    wanted = filter_allowed(wanted, project=project, user=user)
    sides: list[list[QuerySet]] = [_truth_side(project, wanted, user)]
    pairs, tasks = Pair.objects.filter(project=project), Task.objects.filter(project=project)
    if wanted.origin:
        sides.append([pairs.filter(truth_source=wanted.origin)])
    if wanted.state:
        sides.append([tasks.filter(state=wanted.state)])
    if wanted.reason:
        sides.append([tasks.filter(lane=lane) for lane in lanes_of(wanted.reason)])
    if wanted.person:
        sides.append([tasks.filter(author_id=wanted.person)])
    if asks_presence(wanted):
        sides.append([Prediction.objects.filter(model_version_id=project.serving_version_id)])
    if wanted.job:
        brought = Image.with_trash.filter(added_by_import=wanted.job)
        sides.append([brought, Pair.objects.filter(settled_by_import=wanted.job)])
    sides.append(_disputed_side(pairs, wanted))
    images = project.images
    sides += [[images.filter(split=wanted.split)]] if wanted.split else []
    sides += [[images.filter(source=wanted.source)]] if wanted.source else []
    return [side for side in sides if side]


def _truth_side(project: Project, wanted: ImageFilter, user: Person) -> list[QuerySet]:
    pairs = Pair.objects.filter(project=project)
    if wanted.truth == PARTIAL:
        return [pairs.filter(is_exhaustive=False)]
    truths = [wanted.truth] if wanted.truth else list(Pair.Truth.values)
    if wanted.truth == Pair.Truth.UNSEEN:
        # One that is asked for blind passes for unseen, and to who may be tested nearly all do.
        truths = list(Pair.Truth.values) if may_be_tested(project=project, user=user) else truths
        tested = Task.objects.filter(project=project, lane__in=Task.BLIND_REASONS)
    own = [pairs.filter(truth=truth) for truth in truths] if wanted.truth else []
    if wanted.concept:
        own = [Pair.objects.filter(concept_id=wanted.concept, truth=truth) for truth in truths]
    return [*own, tested] if wanted.truth == Pair.Truth.UNSEEN else own


def _disputed_side(pairs: QuerySet[Pair], wanted: ImageFilter) -> list[QuerySet]:
    settled = [pairs.filter(truth=truth) for truth in (Pair.Truth.ABSENT, Pair.Truth.PRESENT)]
    sides: dict[str, list[QuerySet]] = {
        "answers": [pairs.filter(answers_differ=True)],
        "corrected": [pairs.filter(was_corrected=True)],
        "suspected": settled,
    }
    return sides.get(wanted.disagreement, [])
