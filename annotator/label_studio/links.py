"""Bind a project to one of Label Studio's, undo it, and ask for all that is there."""

from datetime import timedelta

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from annotator.common.audit import audit_record
from annotator.common.errors import ConflictError, RoostError
from annotator.jobs.services import job_enqueue
from annotator.models import Job, LabelStudioBell, LabelStudioLink, Project

from .client import LabelStudioClient, LabelStudioUnknown, StudioProject

ALL_TASKS = 0  # the bell's number
RETRY_AFTER = timedelta(minutes=2)
MOST_RETRY_DOUBLINGS = 5
ANOTHER = (
    "Label Studio's project {} is not the one that was linked: it was made anew, or ROOST_LS_URL leads to another "
    "server. Remove the link in this project's settings and link again."
)


def link_create(
    *, project: Project, user: AbstractBaseUser, number: int, author: AbstractBaseUser, exhaustive: bool = False
) -> LabelStudioLink:
    """Ask Label Studio whether there is such a project with masks to pull; nothing is pulled yet."""
    if not project.memberships.filter(user=author, user__is_active=True).exists():
        raise RoostError("Answers can only be booked on a member of this project.", fields={"author": ["No member."]})
    try:
        found = LabelStudioClient().project(number)
    except LabelStudioUnknown as error:
        words = f"Label Studio has no project {number}, or ROOST_LS_TOKEN may not see it; look at its address there."
        raise RoostError(words, fields={"number": ["Not found there."]}) from error
    return _store(project, user, found, author, exhaustive)


@transaction.atomic
def _store(
    project: Project, user: AbstractBaseUser, found: StudioProject, author: AbstractBaseUser, exhaustive: bool
) -> LabelStudioLink:
    link = LabelStudioLink(project=project, author=author, exhaustive=exhaustive, linked_by=user)
    _take_over(link, found)
    try:
        with transaction.atomic():
            link.save(force_insert=True)
    except IntegrityError as error:
        raise ConflictError(
            f"This project is linked already, or Label Studio's project {found.number} is linked to another one here: "
            "remove that link first.",
            code="already_linked",
        ) from error
    audit_record(project=project, actor=user, action="label_studio.link", subject=found.title, number=found.number)
    return link


def _take_over(link: LabelStudioLink, found: StudioProject) -> None:
    link.number, link.made_at, link.title = found.number, found.made_at, found.title
    link.image_key, link.labels = found.image_key, list(found.labels)


def link_check(*, link: LabelStudioLink, client: LabelStudioClient) -> StudioProject:
    """The linked project as Label Studio knows it today; RoostError when it is gone or is another one."""
    try:
        found = client.project(link.number)
    except LabelStudioUnknown as error:
        raise RoostError(ANOTHER.format(link.number)) from error
    if found.made_at != link.made_at:
        raise RoostError(ANOTHER.format(link.number))
    return found


def link_refresh(*, link: LabelStudioLink, client: LabelStudioClient) -> StudioProject:
    """Take over what Label Studio's project is called and can draw today."""
    found = link_check(link=link, client=client)
    _take_over(link, found)
    link.save(update_fields=["title", "image_key", "labels"])
    return found


@transaction.atomic
def link_remove(*, project: Project, user: AbstractBaseUser) -> None:
    """Nothing is pulled any more, and which answer came from where is forgotten; the answers stay."""
    link = link_of(project)
    running = project.jobs.filter(kind=Job.Kind.LABEL_STUDIO, state=Job.State.RUNNING)
    if running.exists():
        raise ConflictError("A pull from Label Studio is under way; wait for it or cancel it.", code="already_running")
    audit_record(project=project, actor=user, action="label_studio.unlink", subject=link.title, number=link.number)
    link.delete()


def link_of(project: Project) -> LabelStudioLink:
    link = LabelStudioLink.objects.filter(project=project).first()
    if link is None:
        raise RoostError("This project is not linked to Label Studio; link it in its settings.", code="not_linked")
    return link


@transaction.atomic
def pull_start(*, project: Project, user: AbstractBaseUser | None) -> Job:
    """Look at every task of the linked Label Studio project; what is here already is not doubled."""
    link = link_of(project)
    LabelStudioClient()  # refuses where nothing is set up
    job = job_enqueue(project=project, kind=Job.Kind.LABEL_STUDIO, created_by=user)
    pull_request_add(link=link, numbers=[ALL_TASKS])
    return job


def pull_request_add(*, link: LabelStudioLink, numbers: list[int]) -> None:
    """These tasks are to be looked at, again if a pull is looking at them just now. Call it in a transaction."""
    for number in numbers:
        again = LabelStudioBell.objects.filter(link=link, number=number)
        if not again.update(rings=F("rings") + 1, rung_at=Now(), after=0):
            LabelStudioBell.objects.create(link=link, number=number, rung_at=Now())


def links_due() -> list[LabelStudioLink]:
    """Links with something to do that no job is doing, and that has not just failed or been cancelled."""
    asked = Q(training_asked_at__lte=Now() - timedelta(seconds=settings.LABEL_STUDIO_TRAIN_SECONDS))
    links = LabelStudioLink.objects.select_related("project").filter(Q(bells__isnull=False) | asked).distinct()
    return [link for link in links if _may_begin(link)]


def _may_begin(link: LabelStudioLink) -> bool:
    """After failures ever later; after a cancellation only when something new has come."""
    jobs = list(link.project.jobs.filter(kind=Job.Kind.LABEL_STUDIO)[: MOST_RETRY_DOUBLINGS + 1])
    state = jobs[0].state if jobs else Job.State.SUCCEEDED
    if state == Job.State.SUCCEEDED:
        return True
    if state == Job.State.CANCELLED:
        ended = jobs[0].finished_at
        new = Q(bells__rung_at__gt=ended) | Q(training_asked_at__gt=ended)
        return LabelStudioLink.objects.filter(new, pk=link.pk).exists()
    failures = next((n for n, job in enumerate(jobs) if job.state != Job.State.FAILED), len(jobs))
    lapsed = Now() - RETRY_AFTER * 2 ** (failures - 1) if failures else None
    return lapsed is not None and Job.objects.filter(pk=jobs[0].pk, finished_at__lte=lapsed).exists()
