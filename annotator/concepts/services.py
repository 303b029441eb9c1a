"""Changing what a project looks for: how a concept is drawn and called, and whether it is asked for at all.

A concept's row, its category number and what people said about it stay for good.
"""

from collections.abc import Iterable, Sequence

from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Exists, Max, OuterRef, QuerySet
from django.db.models.functions import Now

from annotator.common.audit import audit_record
from annotator.common.batches import batched
from annotator.common.errors import ConflictError, RoostError
from annotator.models import Annotation, Concept, Image, Job, Pair, Prediction, Project, Task
from annotator.queue.candidates import tasks_withdrawable

PAIRS_A_WRITE = 500
NAME_LENGTH = 80


def concept_name(text: str) -> str:
    """As concepts are called: lower case, single spaces."""
    name = " ".join(text.split()).lower()
    if not name or len(name) > NAME_LENGTH:
        raise RoostError("A concept is a noun phrase of 1 to 80 characters.", fields={"name": ["Empty or too long."]})
    return name


@transaction.atomic
def concept_update(*, concept: Concept, user: AbstractBaseUser, colour: str, synonyms: Sequence[str]) -> Concept:
    """How it is drawn, and which category names imports map onto it."""
    concept.colour = colour.lower()
    concept.synonyms = _plain(synonyms)
    try:
        concept.full_clean()
    except ValidationError as error:
        raise RoostError("The concept can't be changed like that.", fields=error.message_dict) from error
    concept.save(update_fields=["colour", "synonyms"])
    details = {"colour": concept.colour, "synonyms": concept.synonyms}
    audit_record(project=concept.project, actor=user, action="concept.update", subject=concept.name, **details)
    return concept


@transaction.atomic
def concept_rename(
    *, concept: Concept, user: AbstractBaseUser, name: str, keep_synonym: bool = True, ask_again: bool = True
) -> int:
    """Another name for the same thing; how many scores were dropped.

    `keep_synonym`: imports go on mapping the old name onto it. `ask_again`: what the model said under the old name is
    dropped where nobody has worked with it, and the next mining asks under the new one. Open desks are told by 409
    `concept_changed`; snapshots keep the name they were taken with.
    """
    concept = concept_locked(concept)
    was, name = concept.name, concept_name(name)
    if name == was:
        raise RoostError(f"It is called «{name}» already.", fields={"name": ["No change."]})
    if other := Concept.objects.filter(project=concept.project, name=name).first():
        words = "is retired; bring it back" if other.retired_at else "is another concept here; merge the two"
        raise RoostError(f"«{name}» {words} instead.", fields={"name": ["Taken."]})
    concept.name = name
    synonyms = [*concept.synonyms, *([was] if keep_synonym else [])]
    concept.synonyms = [word for word in _plain(synonyms) if word != name]
    concept.save(update_fields=["name", "synonyms"])
    dropped = _scores_drop(concept) if ask_again else 0
    audit_record(
        project=concept.project, actor=user, action="concept.rename", subject=name, was=was, scores_dropped=dropped
    )
    return dropped


@transaction.atomic
def concept_retire(*, concept: Concept, user: AbstractBaseUser) -> int:
    """Ask for it no more; how many waiting tasks were withdrawn. What somebody has in hand goes its way."""
    concept = concept_locked(concept)
    if concept.retired_at:
        raise ConflictError(f"«{concept.name}» is retired already.", code="retired")
    waiting = Task.objects.filter(project=concept.project, pair__concept=concept, state=Task.State.QUEUED)
    withdrawn = tasks_withdraw(waiting)
    Concept.objects.filter(pk=concept.pk).update(retired_at=Now())
    audit_record(
        project=concept.project, actor=user, action="concept.retire", subject=concept.name, withdrawn=withdrawn
    )
    return withdrawn


@transaction.atomic
def concept_restore(*, concept: Concept, user: AbstractBaseUser) -> int:
    """Ask for a retired concept again, also in the images that came meanwhile; how many pairs were added."""
    concept = concept_locked(concept)
    if concept.retired_at is None:
        raise ConflictError(f"«{concept.name}» is not retired.", code="not_retired")
    if concept.merged_into:
        words = f"«{concept.name}» became «{concept.merged_into.name}»; add a concept of another name instead."
        raise ConflictError(words, code="merged")
    concept.retired_at = None
    concept.save(update_fields=["retired_at"])
    added = pairs_complete(concept)
    audit_record(project=concept.project, actor=user, action="concept.restore", subject=concept.name, pairs=added)
    return added


def concept_locked(concept: Concept) -> Concept:
    """The row afresh, nobody else changing the project's concepts meanwhile. Call it inside a transaction.

    409 while a job runs: mining, import and training have read the names and go on with them.
    """
    project = Project.objects.select_for_update().get(pk=concept.project_id)
    job = project.jobs.filter(state__in=Job.IN_FLIGHT).first()
    if job is not None:
        words = f"A job is under way (#{job.pk}, {job.get_kind_display().lower()}). Concepts change between jobs: wait "
        raise ConflictError(f"{words}for its end or cancel it.", code="job_running")
    return Concept.objects.select_related("project", "merged_into").get(pk=concept.pk)


def pairs_complete(concept: Concept) -> int:
    """An unseen pair for every image that has none of this concept yet."""
    own = Pair.objects.filter(image=OuterRef("pk"), concept=concept)
    images = Image.objects.filter(~Exists(own), project=concept.project).values_list("pk", flat=True)
    added = 0
    for some in batched(list(images), PAIRS_A_WRITE):
        pairs = [Pair(project_id=concept.project_id, image_id=image, concept=concept) for image in some]
        added += len(Pair.objects.bulk_create(pairs))
    return added


def tasks_withdraw(tasks: QuerySet[Task]) -> int:
    """Take these out of the queue, unless somebody was quicker and took them."""
    still = Task.objects.filter(pk__in=tasks.values("pk"), state=Task.State.QUEUED)
    return still.update(state=Task.State.WITHDRAWN, updated_at=Now())


def _scores_drop(concept: Concept) -> int:
    """What models said of pairs that nobody has answered or works on; what mining queued goes with it."""
    tasks_withdraw(tasks_withdrawable(project=concept.project).filter(pair__concept=concept))
    answered = Annotation.objects.filter(pair=OuterRef("pair"))
    worked_on = Task.objects.filter(pair=OuterRef("pair"), state__in=Task.OPEN_STATES)
    dropped, _ = Prediction.objects.filter(~Exists(answered), ~Exists(worked_on), pair__concept=concept).delete()
    return dropped


def _plain(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(" ".join(name.split()).lower() for name in names if name.strip()))


# Okabe and Ito's palette: told apart by the colour-blind too. Yellow comes last: the mask in hand is drawn in one.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#000000", "#f0e442")


@transaction.atomic
def concept_add(*, project: Project, name: str, user: AbstractBaseUser | None, synonyms: Sequence[str] = ()) -> Concept:
    """A noun phrase to look for, with an unseen pair for every image there is. The same name again is the same row."""
    name = concept_name(name)
    if existing := project.concepts.filter(name=name).first():
        if existing.retired_at:
            raise RoostError(f"«{name}» is retired: bring it back under Settings.", fields={"name": ["Retired."]})
        return existing
    highest = project.concepts.aggregate(highest=Max("category_id"))["highest"] or 0
    concept = Concept.objects.create(
        project=project,
        name=name,
        synonyms=list(synonyms),
        category_id=highest + 1,
        colour=COLOURS[highest % len(COLOURS)],
    )
    pairs_complete(concept)
    audit_record(project=project, actor=user, action="concept.add", subject=name)
    return concept
