"""The one door to rows of a project: everybody else's project does not exist, one's own may still be out of role."""

from collections.abc import Collection
from typing import TypeAlias

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404

from annotator.models import Annotation, Image, Job, Membership, Project, Task

from .errors import RoostError

Person: TypeAlias = "AbstractBaseUser | AnonymousUser"

ANNOTATOR, REVIEWER, ADMIN = Membership.Role.ANNOTATOR, Membership.Role.REVIEWER, Membership.Role.ADMIN
RANK: dict[str, int] = {ANNOTATOR: 1, REVIEWER: 2, ADMIN: 3}


def projects_of(*, user: Person) -> QuerySet[Project]:
    """The projects that this person is a member of."""
    if not user.is_authenticated or not user.is_active:
        return Project.objects.none()
    return Project.objects.filter(memberships__user=user).select_related("serving_version")


def role_of(*, user: Person, project: Project) -> str | None:
    """annotator, reviewer, admin; None for an outsider."""
    if not user.is_authenticated or not user.is_active:
        return None
    return Membership.objects.filter(project=project, user=user).values_list("role", flat=True).first()


def has_role(*, user: Person, project: Project, role: str) -> bool:
    """Whether the person may do what `role` may do here."""
    own = role_of(user=user, project=project)
    return own is not None and RANK[own] >= RANK[role]


def project_for(user: Person, slug: str, role: str = Membership.Role.ANNOTATOR) -> Project:
    """The project, for a member whose role suffices; Http404 for outsiders, PermissionDenied for the others."""
    project = projects_of(user=user).filter(slug=slug).first()
    if project is None:
        raise Http404
    _require(user, project, role)
    return project


def member_named(*, project: Project, name: str) -> AbstractBaseUser:
    """A member by account name; RoostError for anybody else, whether they exist or not."""
    row = Membership.objects.filter(project=project, user__username=name).select_related("user").first()
    if row is None:
        raise RoostError(f"{name} is not a member here.", fields={"member": ["No member."]})
    return row.user


def task_for(user: Person, task_id: int, role: str = Membership.Role.ANNOTATOR) -> Task:
    """A task of one of the person's projects, whoever holds it."""
    tasks = Task.objects.select_related("project__serving_version", "pair__image", "pair__concept", "model_version")
    tasks = tasks.defer("pair__instances")
    task = tasks.filter(pk=task_id, project__in=projects_of(user=user)).first()
    if task is None:
        raise Http404
    _require(user, task.project, role)
    return task


def task_seen_by(user: Person, task_id: int) -> Task:
    """A task that concerns this person: its holder, its author, who has a draft on it, or a reviewer."""
    task = task_for(user, task_id)
    if user.pk in (task.holder_id, task.author_id) or task.drafts.filter(user_id=user.pk).exists():
        return task
    _require(user, task.project, Membership.Role.REVIEWER)
    return task


def annotation_for(user: Person, annotation_id: int) -> Annotation:
    """An annotation, for its author, for reviewers, and for whoever has it to correct in the author's place."""
    annotation = (
        Annotation.objects.select_related("author", "task__author", "task__model_version")
        .select_related("task__project__serving_version", "task__pair__image", "task__pair__concept")
        .filter(pk=annotation_id, task__project__in=projects_of(user=user))
        .first()
    )
    if annotation is None:
        raise Http404
    if user.pk not in (annotation.author_id, annotation.task.author_id, annotation.task.holder_id):
        _require(user, annotation.task.project, Membership.Role.REVIEWER)
    return annotation


def annotation_to_review(user: Person, annotation_id: int) -> Annotation:
    """An annotation, for reviewers alone; whether it is their own is the review's question."""
    annotation = annotation_for(user, annotation_id)
    _require(user, annotation.task.project, Membership.Role.REVIEWER)
    return annotation


def job_for(user: Person, job_id: int, role: str = Membership.Role.ANNOTATOR) -> Job:
    """A job of one of the person's projects."""
    jobs = Job.objects.select_related("project", "created_by", "training_run")
    job = jobs.filter(pk=job_id, project__in=projects_of(user=user)).first()
    if job is None:
        raise Http404
    _require(user, job.project, role)
    return job


def image_for(user: Person, slug: str, sha256: str) -> Image:
    """An image of the project, for its members."""
    project = project_for(user, slug)
    image = project.images.filter(sha256=sha256).first()
    if image is None:
        raise Http404
    return image


def image_file_for(user: Person, slug: str, sha256: str) -> Image:
    """The same for its pixels: an admin sees those of the trash, too."""
    project = project_for(user, slug)
    if not has_role(user=user, project=project, role=ADMIN):
        return image_for(user, slug, sha256)
    image = Image.with_trash.filter(project=project, sha256=sha256).first()
    if image is None:
        raise Http404
    return image


def _require(user: Person, project: Project, role: str) -> None:
    if not has_role(user=user, project=project, role=role):
        raise PermissionDenied(f"This needs the role {role} in {project}.")


def memberships_of(*, user: Person) -> QuerySet[Membership]:
    """This person's projects by name, each with the role there."""
    if not user.is_authenticated:
        return Membership.objects.none()
    rows = Membership.objects.filter(user_id=user.pk).select_related("project").order_by("project__name")
    return rows.only("role", "project__name", "project__slug")


def may_create_project(*, user: Person, roles: Collection[str]) -> bool:
    """An admin of any project, or a superuser: whoever makes a project may make accounts for it."""
    return Membership.Role.ADMIN in roles or bool(getattr(user, "is_superuser", False))


def members_active(*, project: Project) -> list[AbstractBaseUser]:
    """Whom a task can be given to, by name."""
    memberships = project.memberships.filter(user__is_active=True).select_related("user")
    return [row.user for row in memberships.order_by("user__username")]
