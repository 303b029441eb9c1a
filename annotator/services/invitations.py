"""Links with which people join a project and set their own password. Sign-up is closed otherwise."""

import hashlib
import secrets
from datetime import timedelta

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from annotator.errors import RoostError
from annotator.models import Invitation, Membership, Project

from .audit import audit_record
from .projects import member_set

DAYS = range(1, 91)
GONE = "This link has been used, has expired or was withdrawn. Ask whoever sent it for a new one."


@transaction.atomic
def invitation_create(*, project: Project, role: str, note: str, days: int, user: AbstractBaseUser) -> str:
    """The link's token, to be shown once."""
    if role not in Membership.Role.values:
        raise RoostError(f"There is no role {role!r}.", fields={"role": ["annotator, reviewer or admin."]})
    if days not in DAYS:
        raise RoostError("An invitation lasts 1 to 90 days.", fields={"days": ["Out of range."]})
    token = secrets.token_urlsafe(32)
    until = timezone.now() + timedelta(days=days)
    Invitation.objects.create(
        project=project, role=role, note=note[:80], token_sha256=_hash(token), created_by=user, expires_at=until
    )
    audit_record(project=project, actor=user, action="invitation.create", subject=note, role=role, days=days)
    return token


def invitations_open() -> QuerySet[Invitation]:
    """Unused, in time, and of somebody who may still invite."""
    inviting = Membership.objects.filter(project=OuterRef("project"), user=OuterRef("created_by"))
    inviting = inviting.filter(role=Membership.Role.ADMIN, user__is_active=True)
    return Invitation.objects.filter(Exists(inviting), used_at=None, expires_at__gt=Now()).select_related("project")


def invitation_find(*, token: str) -> Invitation:
    """The open invitation behind a link; RoostError says that there is none."""
    row = invitations_open().filter(token_sha256=_hash(token)).first()
    if row is None:
        raise RoostError(GONE, code="invitation_gone", http_status=410)
    return row


@transaction.atomic
def invitation_accept(
    *, token: str, user: AbstractBaseUser | None = None, username: str = "", password: str = ""
) -> AbstractBaseUser:
    """Join with the account that is logged in, or with a new one; the link is spent by that and nothing else."""
    row = invitation_find(token=token)
    if user is not None and row.project.memberships.filter(user=user).exists():
        raise RoostError(f"You are a member of {row.project.name} already; the link is still good for somebody else.")
    member = user or _account(username, password)
    # One filtered UPDATE decides between two people with the same link.
    if not invitations_open().filter(pk=row.pk).update(used_at=Now(), used_by=member):
        raise RoostError(GONE, code="invitation_gone", http_status=410)
    member_set(project=row.project, member=member, role=row.role, user=row.created_by)
    audit_record(
        project=row.project, actor=member, action="invitation.accept", subject=row.note, is_new_account=user is None
    )
    return member


@transaction.atomic
def invitation_revoke(*, invitation: Invitation, user: AbstractBaseUser) -> None:
    """The link is no good any more."""
    invitation.delete()
    audit_record(project=invitation.project, actor=user, action="invitation.revoke", subject=invitation.note)


def _account(username: str, password: str) -> AbstractBaseUser:
    try:
        with transaction.atomic():
            return get_user_model().objects.create_user(username, password=password)
    except IntegrityError as error:
        raise RoostError("Somebody has this name already.", fields={"username": ["Taken."]}) from error


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
