"""The bond between a project here and one in Label Studio: what is pulled from where, and what became of it."""

from django.conf import settings
from django.db import models

from .annotations import Annotation
from .images import Image
from .projects import Project


class LabelStudioLink(models.Model):
    """One Label Studio project and the project here that its annotations go to; address and token are settings.

    `made_at` is when Label Studio made its project: together with the number it tells that project from one of the
    same number on another server. `labels`: the names that its brush and polygon tools draw.
    """

    project = models.OneToOneField(Project, models.CASCADE, related_name="label_studio")
    number = models.PositiveBigIntegerField(unique=True, help_text="Label Studio's id of its project")
    made_at = models.DateTimeField()
    title = models.CharField(max_length=200, blank=True)
    image_key = models.CharField(max_length=200, help_text="The field of a task's data that holds the image")
    labels = models.JSONField(default=list)
    exhaustive = models.BooleanField(default=False, help_text="What an annotation leaves out is not in the image")
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", help_text="For authors who are no members here"
    )
    training_asked_at = models.DateTimeField(null=True, blank=True, help_text="The first unanswered Start training")
    linked_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)


class LabelStudioBell(models.Model):
    """A Label Studio task to be looked at; number 0: all of them, from the one after `after` on.

    `rings` grows when it is rung again, so that a pull which was under way then does not put it to rest.
    """

    link = models.ForeignKey(LabelStudioLink, models.CASCADE, related_name="bells")
    number = models.PositiveBigIntegerField()
    after = models.PositiveBigIntegerField(default=0)
    rings = models.PositiveIntegerField(default=1)
    rung_at = models.DateTimeField()

    class Meta:
        ordering = ["rung_at", "pk"]
        constraints = [models.UniqueConstraint(fields=["link", "number"], name="one_bell_a_task")]


class LabelStudioTask(models.Model):
    """A Label Studio task whose image is known; fetched anew when its `address` is another."""

    link = models.ForeignKey(LabelStudioLink, models.CASCADE, related_name="tasks")
    number = models.PositiveBigIntegerField()
    image = models.ForeignKey(Image, models.CASCADE, related_name="+")
    address = models.TextField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["link", "number"], name="label_studio_task_once")]


class LabelStudioAnswer(models.Model):
    """What one of Label Studio's annotations said of one pair, as the revision that it became here."""

    source = models.ForeignKey(LabelStudioTask, models.CASCADE, related_name="answers")
    number = models.PositiveBigIntegerField(help_text="Label Studio's id of its annotation")
    annotation = models.OneToOneField(Annotation, models.CASCADE, related_name="label_studio")
    content_hash = models.CharField(max_length=64)
    withdrawn = models.BooleanField(default=False)

    class Meta:
        indexes = [models.Index(fields=["number"])]


class LabelStudioPush(models.Model):
    """A Label Studio project that this one's settled pairs are sent to.

    `made_at`, as a link's, tells it from another of the same number. `config`: the labelling interface that Roost wrote
    there itself, and may extend as long as nobody changed it; empty where somebody else did.
    """

    project = models.ForeignKey(Project, models.CASCADE, related_name="label_studio_pushes")
    number = models.PositiveBigIntegerField(help_text="Label Studio's id of its project")
    made_at = models.DateTimeField()
    title = models.CharField(max_length=200, blank=True)
    config = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "number"], name="label_studio_push_once")]


class LabelStudioPushed(models.Model):
    """What one image's task was sent: by it a second push knows what changed here, and what somebody changed there.

    `number`: Label Studio's id of the task. What it was told is known again by its hash, wherever it stands there.
    """

    push = models.ForeignKey(LabelStudioPush, models.CASCADE, related_name="tasks")
    image = models.ForeignKey(Image, models.CASCADE, related_name="+")
    number = models.PositiveBigIntegerField()
    is_prediction = models.BooleanField()
    address = models.TextField(help_text="Where Label Studio has the picture")
    result_hash = models.CharField(max_length=64)
    data_hash = models.CharField(max_length=64)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["push", "image", "is_prediction"], name="label_studio_pushed_once")
        ]
        indexes = [models.Index(fields=["push", "number"])]
