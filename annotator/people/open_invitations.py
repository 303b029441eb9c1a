"""Invitations that can still be accepted."""

import hashlib

from django.db.models import Exists, OuterRef, QuerySet
from django.db.models.functions import Now

from annotator.common.errors import RoostError
from annotator.models import Invitation, Membership

GONE = "This link has been used, has expired or was withdrawn. Ask whoever sent it for a new one."


def invitations_open() -> QuerySet[Invitation]:
    """Unused, in time, and of somebody who may still invite."""
    inviting = Membership.objects.filter(project=OuterRef("project"), user=OuterRef("created_by"))
    inviting = inviting.filter(role=Membership.Role.ADMIN, user__is_active=True)
    return Invitation.objects.filter(Exists(inviting), used_at=None, expires_at__gt=Now()).select_related("project")


def invitation_find(*, token: str) -> Invitation:
    """The open invitation behind a link; RoostError says that there is none."""
    row = invitations_open().filter(token_sha256=token_hash(token)).first()
    if row is None:
        raise invitation_gone()
    return row


def invitation_gone() -> RoostError:
    return RoostError(GONE, code="invitation_gone", http_status=410)


def token_hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
