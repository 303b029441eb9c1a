"""Projects, their concepts, their people and their tokens."""

import hashlib
import secrets
from collections.abc import Sequence

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import F
from django.utils.text import slugify

from annotator.common.audit import audit_record
from annotator.common.errors import RoostError
from annotator.concepts.services import concept_add
from annotator.models import ApiToken, Deployment, Membership, ModelVersion, Project, Task
from annotator.queue.leases import leases_lapsed_end
from annotator.registry.aliases import serving_aliases_refresh


@transaction.atomic
def project_create(*, name: str, concepts: Sequence[str], user: AbstractBaseUser, is_demo: bool = False) -> Project:
    """A project served by the default version, its creator as admin."""
    if not slugify(name):
        raise RoostError("A project needs a name with at least one letter or digit.", fields={"name": ["Empty."]})
    version, _ = ModelVersion.objects.get_or_create(
        name=settings.DEFAULT_VERSION, defaults={"stage": ModelVersion.Stage.PRODUCTION}
    )
    project = Project.objects.create(
        name=name.strip(), slug=_free_slug(name), created_by=user, serving_version=version, is_demo=is_demo
    )
    Membership.objects.create(project=project, user=user, role=Membership.Role.ADMIN)
    Deployment.objects.create(project=project, version=version, action=Deployment.Action.START, by=user)
    audit_record(project=project, actor=user, action="project.create", subject=project.name)
    for concept in concepts:
        concept_add(project=project, name=concept, user=user)
    serving_aliases_refresh()
    return project


def _free_slug(name: str) -> str:
    stem = slugify(name)[:40]
    taken = set(Project.objects.filter(slug__startswith=stem).values_list("slug", flat=True))
    return next(slug for n in range(1, len(taken) + 3) if (slug := stem if n == 1 else f"{stem}-{n}") not in taken)


@transaction.atomic
def member_set(*, project: Project, member: AbstractBaseUser, role: str | None, user: AbstractBaseUser | None) -> None:
    """Give a person a role, or none: then their leases are freed. The last admin stays."""
    if role not in {*Membership.Role.values, None}:
        raise RoostError(f"There is no role {role!r}.", fields={"role": ["annotator, reviewer or admin."]})
    admins = project.memberships.select_for_update().filter(role=Membership.Role.ADMIN, user__is_active=True)
    if role != Membership.Role.ADMIN and [row.user_id for row in admins] == [member.pk]:
        raise RoostError("A project needs an admin; make somebody else admin first.")
    if role is None:
        project.memberships.filter(user=member).delete()
        _leases_free(project=project, member=member)
    else:
        Membership.objects.update_or_create(project=project, user=member, defaults={"role": role})
    audit_record(project=project, actor=user, action="member.set", subject=member.get_username(), role=role)


def _leases_free(*, project: Project, member: AbstractBaseUser) -> None:
    held = project.tasks.filter(holder=member, state=Task.State.CLAIMED)
    held.update(lease_until=F("created_at"))
    project.tasks.filter(assignee=member).update(assignee=None)
    leases_lapsed_end(project=project)


@transaction.atomic
def token_create(*, user: AbstractBaseUser, name: str) -> str:
    """A new API token for this person's scripts; shown once, only its SHA-256 is kept."""
    token = secrets.token_urlsafe(32)
    row = ApiToken.objects.create(
        user=user, name=name[:80], prefix=token[:8], token_sha256=hashlib.sha256(token.encode()).hexdigest()
    )
    audit_record(project=None, actor=user, action="token.create", subject=row.name, prefix=row.prefix)
    return token
