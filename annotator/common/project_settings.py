"""A project's thresholds and policies: which there are, and changing them."""

from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.db import transaction

from annotator.models import Project

from .audit import audit_record
from .errors import RoostError

SETTINGS = (
    "name",
    "presence_low",
    "presence_high",
    "stability_below",
    "audit_share",
    "mine_batch",
    "weight_band",
    "weight_disagreement",
    "weight_borderline",
    "weight_fill",
    "double_share",
    "honeypot_share",
    "honeypot_feedback",
    "one_pass",
    "review_policy",
    "review_share",
    "bulk_score",
    "bulk_iou",
    "bulk_look_share",
    "self_review_allowed",
    "gate_min_gain_points",
    "gate_bootstrap_rounds",
    "gate_confidence",
    "gate_max_fpr_rise",
)


@transaction.atomic
def project_settings_update(*, project: Project, user: AbstractBaseUser, **changes: Any) -> Project:
    """Change thresholds and policies; anything that is no setting, or out of its range, is refused as a whole."""
    if unknown := sorted(set(changes) - set(SETTINGS)):
        raise RoostError(f"No such setting: {', '.join(unknown)}.")
    before = {name: getattr(project, name) for name in changes}
    for name, value in changes.items():
        setattr(project, name, value)
    try:
        project.full_clean(exclude=["slug", "created_by", "serving_version"])
    except ValidationError as error:
        raise RoostError("Some settings are out of range.", fields=error.message_dict) from error
    project.save(update_fields=list(changes))
    changed = {name: [before[name], value] for name, value in changes.items() if before[name] != value}
    audit_record(project=project, actor=user, action="project.settings", subject=project.name, changed=changed)
    return project
