"""One image with all that is known about it, as far as the person who looks may know it."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from django.db.models import Q

from annotator.common.access import Person, role_of
from annotator.common.masks import rle_to_wire
from annotator.models import Annotation, Image, Membership, Pair, Prediction, Project, Review, SecondLabel, Task
from annotator.queue.selectors import proposed_instances, reason_words
from annotator.queue.visibility import answers_visible, pairs_with_visible_truth

from .image_filter import ImageFilter
from .image_walk import Walk
from .learnt import Reader, versions_of_pairs

EVENTS = 40


@dataclass(frozen=True)
class Event:
    """One line of a pair's history. `annotation`, `task`: what it may be opened by, where it may."""

    at: datetime
    who: str
    words: str
    annotation: int | None = None
    task: int | None = None


@dataclass
class Known:
    """A pair as it is shown; `truth` is what this person may know of it, `settled_by` nobody for an import."""

    pair: Pair
    truth: str
    settled_by: str = ""
    presence: float | None = None
    predicted: list[dict] = field(default_factory=list)
    open_task: Task | None = None
    history: list[Event] = field(default_factory=list)
    readers: list[Reader] = field(default_factory=list)

    @property
    def learnt_by(self) -> list[str]:
        """Versions that learnt from the pair, whatever answer it had then, each once."""
        return list(dict.fromkeys(reader.version for reader in self.readers if reader.role == "learnt"))

    @property
    def judged(self) -> list[str]:
        """Versions that were chosen or judged by it."""
        roles = ("chosen by", "judged by")
        return list(dict.fromkeys(reader.version for reader in self.readers if reader.role in roles))

    @property
    def words(self) -> str:
        return str(Pair.Truth(self.truth).label)

    @property
    def instances(self) -> list[dict]:
        return self.pair.instances if self.truth == Pair.Truth.PRESENT else []


def image_known(*, image: Image, project: Project, user: Person) -> list[Known]:
    """Its pairs by category; of a retired concept only what was settled."""
    pairs = pairs_with_visible_truth(image.pairs.all(), project=project, user=user).select_related("concept")
    pairs = pairs.exclude(concept__retired_at__isnull=False, visible_truth=Pair.Truth.UNSEEN)
    known = {pair.pk: Known(pair, pair.visible_truth) for pair in pairs.order_by("concept__category_id")}
    _add_predictions(known, image, project)
    _add_history(known, image, project, user)
    _add_readers(known)
    return list(known.values())


def image_layers(known: Sequence[Known]) -> list[dict[str, Any]]:
    """What the page's script draws: wire masks by concept, of people and of the model."""
    return [
        {
            "concept": one.pair.concept.name,
            "colour": one.pair.concept.colour,
            "truth": [rle_to_wire(instance["mask"]) for instance in one.instances],
            "predicted": [rle_to_wire(instance["mask"]) for instance in one.predicted],
        }
        for one in known
    ]


def neighbours(*, image: Image, project: Project, wanted: ImageFilter, user: Person) -> tuple[str | None, str | None]:
    """SHA-256 of the one before and the one after in the list that the filter makes, newest first; None also where it
    lies too far away to be found in time."""
    sides = [Walk(project=project, wanted=wanted, user=user, newer=newer) for newer in (True, False)]
    found = [walk.found(at=image.pk, most=1, seconds=0.04).ids for walk in sides]
    known = project.images.in_bulk([pk for ids in found for pk in ids])
    before, after = (known[ids[0]].sha256 if ids and ids[0] in known else None for ids in found)
    return before, after


def _add_predictions(known: dict[int, Known], image: Image, project: Project) -> None:
    """The serving model's, but for the holdout: nobody shall judge or label that by what a model thinks."""
    if image.split == Image.Split.HOLDOUT:
        return
    for row in Prediction.objects.filter(pair__in=known, model_version=project.serving_version_id).defer("feature"):
        known[row.pair_id].presence = row.presence
        known[row.pair_id].predicted = proposed_instances(row)


def _add_readers(known: dict[int, Known]) -> None:
    """Of a pair whose truth is kept back from this person nothing is told: that a model learnt it would tell."""
    open_pairs = [pk for pk, one in known.items() if one.truth == one.pair.truth and one.truth != Pair.Truth.UNSEEN]
    for pk, readers in versions_of_pairs(pairs=open_pairs).items():
        known[pk].readers = readers
        known[pk].history = [_with_readers(event, readers) for event in known[pk].history]


def _with_readers(event: Event, readers: Sequence[Reader]) -> Event:
    """Beside an answer, which versions learnt that very one."""
    if event.annotation is None:
        return event
    names = [one.version for one in readers if one.role == "learnt" and one.answer == event.annotation]
    return replace(event, words=f"{event.words}; learnt by {', '.join(names)}") if names else event


def _add_history(known: dict[int, Known], image: Image, project: Project, user: Person) -> None:
    events: dict[int, list[Event]] = defaultdict(list)
    for task in _tasks_visible(known, project, user):
        one = known[task.pair_id]
        one.open_task = task if task.state in Task.OPEN_STATES else one.open_task
        link = task.pk if task.state == Task.State.QUEUED else None
        events[task.pair_id].append(Event(task.created_at, "", f"Queued: {reason_words(task).lower()}", task=link))
    answers = answers_visible(pairs=image.pairs.filter(pk__in=known), project=project, user=user)
    for answer in answers.select_related("author", "review__reviewer", "task").order_by("pk"):
        events[answer.pair_id] += _answer_events(answer, known[answer.pair_id])
    for pair_id, one in known.items():
        one.history = sorted(events[pair_id], key=lambda event: event.at, reverse=True)[:EVENTS]


def _tasks_visible(known: dict[int, Known], project: Project, user: Person) -> list[Task]:
    """One answer of a double; of a pair whose truth is kept back the open one alone, as of one never looked at."""
    tasks = Task.objects.filter(pair__in=known, blind=0).select_related("holder").defer("reasons").order_by("pk")
    if role_of(user=user, project=project) == Membership.Role.ANNOTATOR:
        tasks = tasks.filter(Q(state__in=Task.OPEN_STATES) | Q(author_id=user.pk))
    secret = {pair_id for pair_id, one in known.items() if one.truth != one.pair.truth}
    return [task for task in tasks if task.state in Task.OPEN_STATES or task.pair_id not in secret]


def _says_no_more(task: Task) -> bool:
    """Whether what was answered left the pair's truth as it was."""
    second = SecondLabel.objects.filter(task=task, changed=False)
    return task.lane == Task.Reason.KNOWN_ANSWER or (task.lane == Task.Reason.SECOND_LABEL and second.exists())


def _answer_events(answer: Annotation, known: Known) -> list[Event]:
    author, count = answer.author.get_username(), len(answer.instances)
    masks = f" with {count} mask{'s' if count != 1 else ''}" if count else ""
    taken_over = ", confirmed as a frame of a settled scene" if answer.frame_of_id else ""
    words = f"Answered «{answer.get_verdict_display().lower()}»{masks}{taken_over}"
    events = [Event(answer.created_at, author, words, annotation=answer.pk)]
    review = getattr(answer, "review", None)
    if review is None:
        return events
    comment = f": {review.comment}" if review.comment else ""
    reviewer = review.reviewer.get_username() if review.reviewer else "by the project's policy"
    if review.decision != Review.Decision.SEND_BACK and not _says_no_more(answer.task):
        known.settled_by = author if review.decision == Review.Decision.APPROVE else reviewer
    return [*events, Event(review.created_at, reviewer, f"{review.get_decision_display()}{comment}")]
