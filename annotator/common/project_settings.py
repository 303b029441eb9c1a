"""A project's thresholds and policies: which there are, and changing them."""

from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.db import transaction

from annotator.models import Project

from .audit import audit_record
from .errors import RoostError


@dataclass(frozen=True)
class Group:
    """A card of the settings page: fields by row, side by side. `below`: a part with a heading of its own."""

    title: str
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    below: "Group | None" = None


MANY_AT_ONCE = Group(
    "Approving many at once",
    (("bulk_score", "bulk_iou", "bulk_look_share"),),
    "Answers that the serving model agrees with confidently are shown together, to be looked at rather than read. "
    "A share is kept back by chance and looked at one by one, so that you learn how often such answers are wrong. "
    "The holdout, doubles, second looks and whatever was sent back once are always looked at one by one.",
)
# What can be set and where it stands on the page; its range, name and help are its model field's.
COLUMNS = (
    (
        Group("Project", (("name",),)),
        Group(
            "What is worth a person's time",
            (
                ("presence_low", "presence_high"),
                ("stability_below",),
                ("audit_share", "mine_batch"),
                ("rank_by",),
                ("weight_band", "weight_disagreement"),
                ("weight_borderline", "weight_fill"),
            ),
        ),
        Group(
            "Retraining by itself",
            (("retrain_after_approvals", "retrain_schedule"), ("retrain_rest_hours",)),
            "Never while a run waits or is under way. The training page says when the next one starts; nothing serves "
            "by itself.",
        ),
        Group(
            "Pseudo-labels",
            (("pseudo_labels", "pseudo_error"),),
            "They enter the train split of a snapshot alone, marked; no pair is settled by them, no export has them "
            "and no model is judged by them.",
        ),
        Group(
            "The gate",
            (
                ("gate_min_gain_points", "gate_level"),
                ("gate_alarms", "gate_alarm_margin", "gate_alarm_cap"),
                ("gate_recall_margin", "gate_recall_floor"),
                ("gate_concept_points", "gate_min_scenes"),
                ("gate_confidence", "gate_bootstrap"),
                ("gate_above_baseline", "gate_speed_ratio"),
                ("preset",),
            ),
            "Asked of a model before it may serve. Each demand is met, not met, or open until more is labelled. "
            "A decision keeps the policy that it was made by.",
        ),
        Group("What training and labelling cost", (("hour_price", "person_hour_price", "currency"),)),
    ),
    (
        Group("Review", (("review_policy",), ("review_share",), ("self_review_allowed",)), below=MANY_AT_ONCE),
        Group("The desk", (("one_pass",),)),
        Group("Checks on the answers", (("double_share", "honeypot_share"), ("honeypot_feedback",))),
    ),
)


def _names(group: Group) -> list[str]:
    below = _names(group.below) if group.below else []
    return [name for row in group.rows for name in row] + below


SETTINGS = tuple(name for column in COLUMNS for group in column for name in _names(group))


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
