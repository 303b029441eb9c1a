"""Images, (image, concept) pairs, and what models predicted for them."""

from typing import Any

from django.db import models
from django.db.models import Q

from .of_image import OfImageManager, image_filled_in
from .projects import FRACTION, Concept, Project


class ImagesKept(models.Manager):
    """What is not in the trash."""

    def get_queryset(self) -> models.QuerySet:
        return super().get_queryset().filter(removed_at=None)


class Image(models.Model):
    """One picture of a project; `width`, `height` in pixels after the EXIF transpose; the file lies under `sha256`."""

    class Split(models.TextChoices):
        TRAIN = "train", "Train"
        VAL = "val", "Validation"
        TEST = "test", "Test"
        HOLDOUT = "holdout", "Holdout"

    project = models.ForeignKey(Project, models.CASCADE, related_name="images")
    sha256 = models.CharField(max_length=64)
    width = models.PositiveIntegerField()
    height = models.PositiveIntegerField()
    media_type = models.CharField(max_length=16)
    bytes = models.PositiveBigIntegerField()
    original_name = models.CharField(max_length=255)
    source = models.CharField(
        max_length=80, blank=True, help_text="Where it came from: an import, a camera, a drawn domain"
    )
    split = models.CharField(max_length=8, choices=Split, default=Split.TRAIN)
    added_at = models.DateTimeField(auto_now_add=True)
    captured_at = models.DateTimeField(null=True, blank=True, help_text="When the camera took it, by its EXIF")
    look = models.CharField(
        max_length=16, blank=True, help_text="Perceptual hash, 64 bits in hex; alike ones differ little"
    )
    scene = models.CharField(
        max_length=64, blank=True, help_text="Hash of the first image of the same scene; empty: not looked for yet"
    )
    added_by_import = models.ForeignKey("Job", models.SET_NULL, null=True, blank=True, related_name="+")
    removed_at = models.DateTimeField(null=True, blank=True, help_text="In the trash since then; null: in use")

    objects = ImagesKept()
    with_trash = models.Manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "sha256"], name="image_once_a_project")]
        indexes = [
            models.Index(fields=["project", "scene"], name="images_of_a_scene"),
            # Partial, so that counts and lists of what is not in the trash read an index alone.
            models.Index(fields=["project", "split"], condition=Q(removed_at=None), name="image_splits"),
            models.Index(fields=["project", "source"], condition=Q(removed_at=None), name="image_sources"),
            models.Index(fields=["project", "added_at"], name="image_by_date"),
            models.Index(
                fields=["project", "id", "original_name"], condition=Q(removed_at=None), name="image_names_in_order"
            ),
            models.Index(fields=["project", "removed_at"], condition=~Q(removed_at=None), name="image_trash"),
        ]

    def __str__(self) -> str:
        return self.original_name


class Pair(models.Model):
    """(image, concept), the unit of everything. Its truth is *unseen* until an approved annotation says otherwise."""

    class Truth(models.TextChoices):
        UNSEEN = "unseen", "Not looked at"
        ABSENT = "absent", "Verified absent"
        PRESENT = "present", "Present"

    class TruthSource(models.TextChoices):
        ANNOTATED = "annotated", "Annotated by a person"
        IMPORTED = "imported", "Imported with the images"
        DRAWN = "drawn", "Known from the drawing"

    project = models.ForeignKey(Project, models.CASCADE, related_name="pairs")
    image = models.ForeignKey(Image, models.CASCADE, related_name="pairs")
    # A concept that images are labelled for can't be deleted by itself: that would take people's work with it.
    concept = models.ForeignKey(Concept, models.RESTRICT, related_name="pairs")
    truth = models.CharField(max_length=8, choices=Truth, default=Truth.UNSEEN)
    truth_source = models.CharField(max_length=12, choices=TruthSource, blank=True)
    instances = models.JSONField(default=list, blank=True, help_text="Approved instances: [{mask: {size, counts}, …}]")
    is_exhaustive = models.BooleanField(
        default=True, help_text="Every instance is annotated. Off: what is there teaches, the gate leaves the pair out"
    )
    settled_by_import = models.ForeignKey("Job", models.SET_NULL, null=True, blank=True, related_name="+")
    vouched_by_import = models.ForeignKey(
        "Job",
        models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        db_index=False,
        related_name="+",
        help_text="The later import that said of an earlier one's outlines that they are all",
    )
    settled_by = models.ForeignKey(
        "Annotation",
        models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        db_index=False,
        related_name="+",
        help_text="The answer that is its truth; null: imported, drawn, or not looked at",
    )
    round = models.PositiveIntegerField(default=0, help_text="Round of the loop that settled it; 0 = the start")
    settled_at = models.DateTimeField(null=True, blank=True)
    hard_negative = models.BooleanField(default=False, help_text="Absent, though a model fired on it")
    answers_differ = models.BooleanField(default=False, help_text="Two of its answers gave different verdicts")
    was_corrected = models.BooleanField(default=False, help_text="A reviewer fixed an answer or sent one back")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["image", "concept"], name="pair_once")]
        # The gallery walks images in order, so what it looks for is indexed with the image last.
        indexes = [
            models.Index(fields=["project", "truth", "image"], name="pair_truths"),
            models.Index(fields=["concept", "truth", "image"], name="pair_concept_truths"),
            models.Index(fields=["image", "concept", "truth", "truth_source", "is_exhaustive"], name="pair_marks"),
            models.Index(fields=["project", "truth_source", "image"], name="pair_origin"),
            models.Index(fields=["project", "image"], condition=Q(is_exhaustive=False), name="pair_partial"),
            models.Index(fields=["project", "image"], condition=Q(answers_differ=True), name="pair_differ"),
            models.Index(fields=["project", "image"], condition=Q(was_corrected=True), name="pair_corrected"),
            models.Index(
                fields=["settled_by_import", "image"], condition=~Q(settled_by_import=None), name="pair_by_import"
            ),
            models.Index(fields=["vouched_by_import"], condition=~Q(vouched_by_import=None), name="pair_vouched"),
            models.Index(fields=["settled_by"], condition=~Q(settled_by=None), name="pair_settled_by"),
        ]

    def __str__(self) -> str:
        return f"{self.concept} in {self.image}"


class Prediction(models.Model):
    """What one model version sees in one pair. `feature` is the pooled ViT feature, float16 bytes."""

    pair = models.ForeignKey(Pair, models.CASCADE, related_name="predictions")
    model_version = models.ForeignKey("ModelVersion", models.CASCADE, related_name="predictions")
    presence = models.FloatField(validators=FRACTION)
    instances = models.JSONField(
        default=list, help_text="[{mask: {size, counts}, box, score, query_score, stability}], best first"
    )
    query_scores = models.JSONField(
        null=True, help_text="The instances' own, for a choice among rows that are wide with masks; null: read there"
    )
    min_stability = models.FloatField(
        null=True,
        help_text="Stability of the least stable instance; null without instances, and where it was measured otherwise",
    )
    feature = models.BinaryField(default=b"")
    taught = models.BooleanField(null=True, help_text="Whether the model was taught the word; null: unknown")
    seconds = models.FloatField(default=0.0)
    created_at = models.DateTimeField(auto_now_add=True)
    image = models.ForeignKey(
        Image, models.CASCADE, null=True, editable=False, related_name="+", help_text="The pair's, for the gallery"
    )

    objects = OfImageManager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["pair", "model_version"], name="prediction_once_a_version")]
        # The histogram, the suspected labels and the gallery are read from an index alone: rows are wide.
        indexes = [
            models.Index(fields=["model_version", "presence", "pair"], name="presence_order"),
            models.Index(fields=["model_version", "image", "presence", "pair"], name="presence_of_images"),
        ]

    def save(self, *args: Any, **kwargs: Any) -> None:
        image_filled_in([self])
        super().save(*args, **kwargs)
