"""Background work and the record of who did what."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from .projects import FRACTION, Project


class Job(models.Model):
    """The truth about one piece of background work; the broker only rings the bell. Lease by database time."""

    class Kind(models.TextChoices):
        IMPORT = "import", "Import"
        UNDO_IMPORT = "undo_import", "Undo an import"
        GALLERY = "gallery", "Change of many images"
        MINE = "mine", "Mine"
        SNAPSHOT = "snapshot", "Snapshot"
        RETRAIN = "retrain", "Retrain and gate"
        GATE = "gate", "Ask the gate"
        EVALUATE = "evaluate", "Evaluate a version"
        MEMORY_PLAN = "memory_plan", "Plan a run's memory"
        EXPORT = "export", "Export"
        LABEL_STUDIO = "label_studio", "Pull from Label Studio"
        STUDIO_PUSH = "studio_push", "Push to Label Studio"
        PREDICT = "predict", "Predict"
        PUBLISH = "publish", "Publish a data version"
        SCENES = "scenes", "Find scenes"
        FEED = "feed", "Take in from a feed"
        BOXES = "boxes", "Draw masks in boxes"

    class State(models.TextChoices):
        QUEUED = "queued", "Waiting"
        RUNNING = "running", "Running"
        SUCCEEDED = "succeeded", "Done"
        FAILED = "failed", "Failed"
        CANCELLED = "cancelled", "Cancelled"

    IN_FLIGHT = (State.QUEUED, State.RUNNING)

    project = models.ForeignKey(Project, models.CASCADE, related_name="jobs")
    kind = models.CharField(max_length=16, choices=Kind)
    state = models.CharField(max_length=10, choices=State, default=State.QUEUED)
    params = models.JSONField(default=dict)
    progress = models.FloatField(default=0.0, validators=FRACTION)
    message = models.CharField(max_length=300, blank=True)
    eta_seconds = models.FloatField(null=True, blank=True)
    report = models.JSONField(default=dict, help_text="What came of it; its shape is the kind's own")
    reason = models.TextField(blank=True, help_text="Why it failed and what to do")
    cancel_requested = models.BooleanField(default=False)

    owner = models.CharField(max_length=120, blank=True)
    attempt = models.PositiveIntegerField(default=0)
    max_attempts = models.PositiveIntegerField(default=3)
    lease_until = models.DateTimeField(null=True, blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["project", "kind"],
                condition=Q(state__in=["queued", "running"], kind__in=["mine", "retrain", "publish"]),
                name="one_run_in_flight_a_project",
            ),
            models.UniqueConstraint(
                fields=["project"],
                condition=Q(state__in=["queued", "running"], kind="label_studio"),
                name="one_pull_in_flight_a_project",
            ),
            models.UniqueConstraint(
                fields=["project"],
                condition=Q(state__in=["queued", "running"], kind="studio_push"),
                name="one_push_in_flight_a_project",
            ),
        ]
        indexes = [models.Index(fields=["state", "lease_until"])]


class AuditEvent(models.Model):
    """Who did what to what. Appended in the transaction of the action."""

    project = models.ForeignKey(Project, models.CASCADE, null=True, related_name="audit_events")
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", help_text="Null: the system"
    )
    action = models.CharField(max_length=60)
    subject = models.CharField(max_length=200, blank=True)
    details = models.JSONField(default=dict)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]


class BulkAction(models.Model):
    """What one person did to many images at once, and how to take it back: `inverse`, of the kind's own shape."""

    class Kind(models.TextChoices):
        ABSENT = "absent", "Mark absent"
        QUEUE = "queue", "Queue by hand"
        REOPEN = "reopen", "Ask again"
        SPLIT = "split", "Move to a split"
        DELETE = "delete", "Delete"

    project = models.ForeignKey(Project, models.CASCADE, related_name="bulk_actions")
    kind = models.CharField(max_length=8, choices=Kind)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    job = models.ForeignKey(Job, models.SET_NULL, null=True, related_name="bulk_actions")
    params = models.JSONField(default=dict, help_text="What was asked for: concept, split, filter")
    done = models.PositiveIntegerField(default=0, help_text="Images or pairs that were changed")
    skipped = models.JSONField(default=dict, help_text="{why: how many}")
    inverse = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)
    undone_at = models.DateTimeField(null=True, blank=True)
    undone_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["project", "user"], name="bulk_action_of_person")]
