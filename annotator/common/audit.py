"""The record of who did what."""

from typing import Any

from django.contrib.auth.models import AbstractBaseUser

from annotator.models import AuditEvent, Project


def audit_record(
    *, project: Project | None, actor: AbstractBaseUser | None, action: str, subject: object = "", **details: Any
) -> AuditEvent:
    """Append one event; call it inside the transaction of the action. `details` must be JSON."""
    return AuditEvent.objects.create(
        project=project, actor=actor, action=action, subject=str(subject)[:200], details=details
    )
