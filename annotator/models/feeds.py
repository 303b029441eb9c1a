"""Feeds: places that are looked at again and again, and what became of each file there."""

from django.db import models
from django.db.models import Q

from .images import Image
from .projects import Project
from .registry import ModelVersion


class Feed(models.Model):
    """A watched folder or bucket prefix, or (no place) what scripts post; `next_look_at` is whose turn it is."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="feeds")
    place = models.CharField(max_length=1000, blank=True, help_text="A folder or s3://bucket/prefix; empty: posted")
    source = models.CharField(max_length=80)
    interval_seconds = models.PositiveIntegerField(default=60)
    enabled = models.BooleanField(default=True)
    named_by_person = models.BooleanField(default=True, help_text="Off: named on the command line, any place may be")
    next_look_at = models.DateTimeField(auto_now_add=True)
    looked_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True, help_text="Why the last look failed")
    others = models.PositiveIntegerField(default=0, help_text="Files there that are not named like images")
    needs_mining = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["project", "place", "source"], name="feed_once_a_project")]

    def __str__(self) -> str:
        return self.place or f"posted as {self.source}"


class FeedFile(models.Model):
    """One file of a feed. `mark`: size and time, which must stand still for one look before the file is read."""

    class State(models.TextChoices):
        SEEN = "seen", "Seen, perhaps still being written"
        READY = "ready", "Waits to be imported"
        IMPORTED = "imported", "Imported"
        REFUSED = "refused", "Refused"

    feed = models.ForeignKey(Feed, models.CASCADE, related_name="files")
    key = models.CharField(max_length=64, help_text="SHA-256 of the name; of the bytes where it was posted")
    name = models.CharField(max_length=1024)
    mark = models.CharField(max_length=80, blank=True)
    state = models.CharField(max_length=8, choices=State, default=State.SEEN)
    why = models.TextField(blank=True)
    image = models.ForeignKey(Image, models.SET_NULL, null=True, blank=True, related_name="feed_files")
    judged_by = models.ForeignKey(ModelVersion, models.SET_NULL, null=True, blank=True, related_name="+")
    set_aside = models.BooleanField(default=False, help_text="That version was sure that nothing is there")
    sampled = models.BooleanField(default=False, help_text="Set aside, but drawn to be looked at all the same")
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["feed", "key"], name="feed_file_once")]
        indexes = [
            models.Index(fields=["feed", "state"], name="feed_files_by_state"),
            models.Index(fields=["image"], condition=Q(set_aside=True), name="images_set_aside"),
        ]
