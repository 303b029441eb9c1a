"""What people said about a task, and what reviewers said about that. Rows are appended, never changed."""

from django.conf import settings
from django.db import models

from .images import Pair
from .tasks import Task


class Verdict(models.TextChoices):
    PRESENT = "present", "In the image"
    ABSENT = "absent", "Not in the image"


class Annotation(models.Model):
    """One revision of a task's answer.

    `instances` = [{mask: {size, counts}, origin: proposal | click | drawn | exemplar, prompts: [...], model_version,
    score, edited}].
    """

    task = models.ForeignKey(Task, models.CASCADE, related_name="annotations")
    pair = models.ForeignKey(Pair, models.CASCADE, related_name="annotations")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="annotations")
    revision = models.PositiveIntegerField()
    client_uuid = models.UUIDField()
    verdict = models.CharField(max_length=8, choices=Verdict)
    instances = models.JSONField(default=list)
    rejected_proposals = models.JSONField(default=list, help_text="Indices of proposals called false positives")
    active_seconds = models.FloatField(default=0.0)
    frame_of = models.ForeignKey(
        "self",
        models.DO_NOTHING,  # it stays known as taken over when the other one is removed
        null=True,
        blank=True,
        editable=False,
        db_constraint=False,
        db_index=False,
        related_name="+",
        help_text="The settled answer of a near-identical frame that was taken over for this one",
    )
    scored = models.JSONField(null=True, blank=True, help_text="{verdict_right, iou} where the answer was known before")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["task_id", "revision"]
        constraints = [
            models.UniqueConstraint(fields=["task", "revision"], name="annotation_revision_once"),
            models.UniqueConstraint(fields=["task", "author", "client_uuid"], name="annotation_submitted_once"),
        ]


class Draft(models.Model):
    """Unsubmitted work of one person on one task; survives lost leases. `version` guards against a second tab."""

    task = models.ForeignKey(Task, models.CASCADE, related_name="drafts")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="drafts")
    payload = models.JSONField(default=dict)
    version = models.PositiveIntegerField(default=1)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["task", "user"], name="one_draft_a_person")]


class Review(models.Model):
    """A reviewer's decision on one annotation; `fixed` is the reviewer's own revision, if they fixed it."""

    class Decision(models.TextChoices):
        APPROVE = "approve", "Approve"
        FIX = "fix", "Fix and approve"
        SEND_BACK = "send_back", "Send back"

    annotation = models.OneToOneField(Annotation, models.CASCADE, related_name="review")
    reviewer = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="reviews", help_text="Null: by policy"
    )
    decision = models.CharField(max_length=10, choices=Decision)
    comment = models.TextField(blank=True)
    pin = models.JSONField(null=True, blank=True, help_text="{x, y} in image pixels the comment points at")
    fixed = models.ForeignKey(Annotation, models.PROTECT, null=True, blank=True, related_name="fixing")
    near_certain = models.BooleanField(default=False, help_text="The serving model confidently said the same")
    together = models.BooleanField(default=False, help_text="Approved on the grid, among others")
    created_at = models.DateTimeField(auto_now_add=True)
