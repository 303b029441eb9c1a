"""Taking API tokens back."""

import hashlib
import secrets

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction

from annotator.common.audit import audit_record
from annotator.models import ApiToken


@transaction.atomic
def token_revoke(*, token: ApiToken, user: AbstractBaseUser) -> None:
    """Scripts that use it get 401 from now on."""
    audit_record(project=None, actor=user, action="token.revoke", subject=token.name, prefix=token.prefix)
    token.delete()


@transaction.atomic
def token_create(*, user: AbstractBaseUser, name: str) -> str:
    """A new API token for this person's scripts; shown once, only its SHA-256 is kept."""
    token = secrets.token_urlsafe(32)
    row = ApiToken.objects.create(
        user=user, name=name[:80], prefix=token[:8], token_sha256=hashlib.sha256(token.encode()).hexdigest()
    )
    audit_record(project=None, actor=user, action="token.create", subject=row.name, prefix=row.prefix)
    return token
