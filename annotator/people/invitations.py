"""Links with which people join a project and set their own password. Sign-up is closed otherwise."""

import secrets
from datetime import timedelta

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.utils import timezone

from annotator.common.audit import audit_record
from annotator.common.errors import RoostError
from annotator.models import Invitation, Membership, Project

from .open_invitations import invitation_find, invitation_gone, invitations_open, token_hash
from .services import member_set

DAYS = range(1, 91)


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
        project=project, role=role, note=note[:80], token_sha256=token_hash(token), created_by=user, expires_at=until
    )
    audit_record(project=project, actor=user, action="invitation.create", subject=note, role=role, days=days)
    return token


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
        raise invitation_gone()
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
