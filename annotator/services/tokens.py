"""Taking API tokens back."""

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction

from annotator.common.audit import audit_record
from annotator.models import ApiToken


@transaction.atomic
def token_revoke(*, token: ApiToken, user: AbstractBaseUser) -> None:
    """Scripts that use it get 401 from now on."""
    audit_record(project=None, actor=user, action="token.revoke", subject=token.name, prefix=token.prefix)
    token.delete()
