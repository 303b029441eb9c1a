"""Bringing people into a project; sign-up is closed, so an admin makes the account."""

import secrets

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F

from annotator.common.audit import audit_record
from annotator.common.errors import RoostError
from annotator.models import Membership, Project, Task
from annotator.queue.leases import leases_lapsed_end


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


@transaction.atomic
def account_switch(*, project: Project, member: AbstractBaseUser, active: bool, user: AbstractBaseUser) -> None:
    """Close an account, or open it again: nobody logs in with it and its scripts are refused, what it did stays.

    An account is one everywhere, so this takes an admin of every project that its owner is a member of.
    """
    _check_may_switch(member, user)
    get_user_model().objects.filter(pk=member.pk).update(is_active=active)
    for other in Project.objects.filter(memberships__user=member):
        leases_lapsed_end(project=other)
    action = "account.activate" if active else "account.deactivate"
    audit_record(project=project, actor=user, action=action, subject=member.get_username())


def _check_may_switch(member: AbstractBaseUser, user: AbstractBaseUser) -> None:
    if member.pk == user.pk:
        raise RoostError("You can't close your own account; another admin can.")
    if _runs_the_site(user):
        return
    if _runs_the_site(member):
        raise RoostError("This account administers the whole site; only another such account can close it.")
    own = Membership.objects.filter(user=user, role=Membership.Role.ADMIN).values("project")
    if Membership.objects.filter(user=member).exclude(project__in=own).exists():
        name = member.get_username()
        raise RoostError(f"{name} works in projects too that you are no admin of. Take them out of this one instead.")


def _runs_the_site(user: AbstractBaseUser) -> bool:
    return bool(getattr(user, "is_superuser", False))


def _check_username(username: str) -> None:
    try:
        UnicodeUsernameValidator()(username)
    except ValidationError as error:
        raise RoostError(error.messages[0], fields={"username": error.messages}) from error


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
