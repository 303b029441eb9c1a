"""Bringing people into a project; sign-up is closed, so an admin makes the account."""

import secrets

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.core.exceptions import ValidationError
from django.db import transaction

from annotator.errors import RoostError
from annotator.models import Project

from .audit import audit_record
from .projects import member_set


@transaction.atomic
def member_invite(
    *, project: Project, username: str, role: str, user: AbstractBaseUser
) -> tuple[AbstractBaseUser, str | None]:
    """Give an account a role here; one that does not exist is made, with a random password to be shown once."""
    people = get_user_model().objects
    member = people.filter(username=username).first()
    password = None
    if member is None:
        _check_username(username)
        password = secrets.token_urlsafe(12)
        member = people.create_user(username, password=password)
        audit_record(project=project, actor=user, action="account.create", subject=username)
    elif project.memberships.filter(user=member).exists():
        raise RoostError(
            f"{username} is a member already; change the role in the list.", fields={"username": ["Is in."]}
        )
    member_set(project=project, member=member, role=role, user=user)
    return member, password


def _check_username(username: str) -> None:
    try:
        UnicodeUsernameValidator()(username)
    except ValidationError as error:
        raise RoostError(error.messages[0], fields={"username": error.messages}) from error
