"""Tasks: pairs that deserve a person, and who holds them."""

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q

from .images import Image, Pair
from .of_image import OfImageManager, image_filled_in
from .projects import Project


class Task(models.Model):
    """A pair in the queue. `reasons` = [{kind, value, words}] says why; the lease is (holder, attempt, lease_until)."""

    class State(models.TextChoices):
        QUEUED = "queued", "Waiting in the queue"
        CLAIMED = "claimed", "Held by an annotator"
        SUBMITTED = "submitted", "Waiting for review"
        RETURNED = "returned", "Sent back to its author"
        APPROVED = "approved", "Approved"
        WITHDRAWN = "withdrawn", "Taken out of the queue"

    OPEN_STATES = (State.QUEUED, State.CLAIMED, State.SUBMITTED, State.RETURNED)

    class Reason(models.TextChoices):
        BAND = "band", "Presence in the band"
        DISAGREEMENT = "disagreement", "Two models disagree"
        BORDERLINE = "borderline", "Borderline mask"
        AUDIT = "audit", "Random audit"
        FILL = "fill", "The rest, best first"
        MANUAL = "manual", "Queued by hand"
        SUSPECTED_LABEL = "suspect", "Suspected label error"
        INCOMPLETE = "incomplete", "Not all outlined"
        SECOND_LABEL = "second", "Second label, blind"
        KNOWN_ANSWER = "honeypot", "Known answer"
        LABEL_STUDIO = "label_studio", "From Label Studio"
        COMPANION = "companion", "Same image, in one pass"
        FRAME = "frame", "Frame of a settled scene"

    # The pair's truth is known: whoever answers must not see it, nor work on the image's other pairs beside it.
    BLIND_REASONS = (Reason.KNOWN_ANSWER, Reason.SECOND_LABEL)

    project = models.ForeignKey(Project, models.CASCADE, related_name="tasks")
    pair = models.ForeignKey(Pair, models.CASCADE, related_name="tasks")
    image = models.ForeignKey(
        Image, models.CASCADE, null=True, editable=False, related_name="+", help_text="The pair's, for the gallery"
    )
    model_version = models.ForeignKey(
        "ModelVersion", models.PROTECT, null=True, related_name="+", help_text="Whose proposals it shows"
    )
    state = models.CharField(max_length=10, choices=State, default=State.QUEUED)
    lane = models.CharField(max_length=12, choices=Reason)
    reasons = models.JSONField(default=list)
    priority = models.FloatField(default=0.0, help_text="Higher comes first")
    price_seconds = models.FloatField(null=True, help_text="Expected time of a person; null: not estimated")
    round = models.PositiveIntegerField(default=1)
    skips = models.PositiveIntegerField(default=0)
    blind = models.PositiveSmallIntegerField(default=0, help_text="1: the second of two who label without seeing")
    twin_of = models.OneToOneField(
        "self", models.CASCADE, null=True, blank=True, related_name="twin", help_text="The first of the two"
    )

    holder = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="held_tasks"
    )
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="authored_tasks"
    )
    assignee = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="assigned_tasks",
        help_text="Kept for this person; null: whoever comes first",
    )
    attempt = models.PositiveIntegerField(default=0, help_text="Fencing number: grows with every claim")
    lease_until = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = OfImageManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["pair", "blind"],
                condition=Q(state__in=["queued", "claimed", "submitted", "returned"]),
                name="one_open_task_a_pair",
            ),
            models.CheckConstraint(condition=Q(blind=0) | Q(twin_of__isnull=False), name="blind_task_has_a_twin"),
            models.CheckConstraint(
                condition=~Q(state="claimed") | (Q(holder__isnull=False) & Q(lease_until__isnull=False)),
                name="claimed_task_has_a_lease",
            ),
        ]
        indexes = [
            models.Index(fields=["project", "state", "skips", "-priority", "id"], name="queue_order"),
            models.Index(fields=["project", "state", "lane"], name="queue_lanes"),
            models.Index(fields=["project", "round", "state"], name="queue_rounds"),
            models.Index(
                fields=["project", "assignee", "state", "skips", "-priority", "id"],
                condition=Q(assignee__isnull=False),
                name="queue_kept",
            ),
            models.Index(fields=["project", "state", "image"], name="task_states_of_images"),
            models.Index(fields=["project", "lane", "image"], name="task_lanes_of_images"),
            models.Index(fields=["project", "author", "image"], name="task_authors_of_images"),
        ]

    def save(self, *args: Any, **kwargs: Any) -> None:
        image_filled_in([self])
        super().save(*args, **kwargs)


class SecondLabel(models.Model):
    """Why a settled pair of the holdout is asked again; apart from its task, which must not tell whoever answers."""

    task = models.OneToOneField(Task, models.CASCADE, primary_key=True, related_name="second_label")
    is_doubted = models.BooleanField(help_text="A model contradicted the label; else it was drawn by chance")
    changed = models.BooleanField(null=True, help_text="Whether the pair's truth was changed by it; null: open")
