"""Projects, their concepts, their people and their tokens."""

from collections.abc import Sequence

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.utils.text import slugify

from annotator.common.audit import audit_record
from annotator.common.errors import RoostError
from annotator.concepts.services import concept_add
from annotator.models import Deployment, Membership, ModelVersion, Project
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
