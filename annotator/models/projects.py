"""Projects and what they look for."""

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import F, Q

FRACTION = [MinValueValidator(0.0), MaxValueValidator(1.0)]


class Project(models.Model):
    """One loop: images, concepts, people, a serving model, and the thresholds and policies that steer them."""

    class ReviewPolicy(models.TextChoices):
        ALL = "all", "Review every annotation"
        SAMPLE = "sample", "Review a random share"
        DISAGREEMENTS = "disagreements", "Review only what differs from the model's proposal"

    name = models.CharField(max_length=80)
    slug = models.SlugField(unique=True)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    is_demo = models.BooleanField(default=False)
    serving_version = models.ForeignKey("ModelVersion", models.PROTECT, related_name="serving_projects")

    presence_low = models.FloatField(default=0.4, validators=FRACTION)
    presence_high = models.FloatField(default=0.6, validators=FRACTION)
    stability_below = models.FloatField(
        default=0.75, validators=FRACTION, help_text="A mask less stable than this is borderline"
    )
    audit_share = models.FloatField(default=0.1, validators=FRACTION, help_text="Share of a batch drawn at random")
    mine_batch = models.PositiveIntegerField(
        default=50, validators=[MinValueValidator(1)], help_text="Tasks one round of mining queues"
    )

    # How lanes share a batch: in proportion to these; one of weight 0 is drawn on when the others have run out.
    weight_band = models.FloatField(default=1.0, validators=FRACTION)
    weight_disagreement = models.FloatField(default=0.5, validators=FRACTION)
    weight_borderline = models.FloatField(default=0.5, validators=FRACTION)
    weight_fill = models.FloatField(default=0.0, validators=FRACTION)
    double_share = models.FloatField(
        default=0.0, validators=FRACTION, help_text="Share of a batch that two people label without seeing each other"
    )
    honeypot_share = models.FloatField(
        default=0.0, validators=FRACTION, help_text="Tasks with a known answer, as a share of a batch, beside it"
    )
    honeypot_feedback = models.BooleanField(default=False)
    one_pass = models.BooleanField(default=False, help_text="All concepts of an image go to one person together")

    review_policy = models.CharField(max_length=16, choices=ReviewPolicy, default=ReviewPolicy.ALL)
    review_share = models.FloatField(default=0.2, validators=FRACTION)
    bulk_score = models.FloatField(
        default=0.8, validators=FRACTION, help_text="How sure the serving model must be for its agreement to count"
    )
    bulk_iou = models.FloatField(
        default=0.9, validators=FRACTION, help_text="Least overlap of each mask with the serving model's"
    )
    bulk_look_share = models.FloatField(
        default=0.1, validators=FRACTION, help_text="Share of near-certain answers that are looked at one by one"
    )
    self_review_allowed = models.BooleanField(default=False)

    gate_min_gain_points = models.FloatField(
        default=1.0, validators=[MinValueValidator(0.0)], help_text="CGF1 points a challenger must gain"
    )
    gate_bootstrap_rounds = models.PositiveIntegerField(
        default=1000, validators=[MinValueValidator(100), MaxValueValidator(100_000)]
    )
    gate_confidence = models.FloatField(default=0.95, validators=[MinValueValidator(0.51), MaxValueValidator(0.999)])
    gate_max_fpr_rise = models.FloatField(default=0.0, validators=FRACTION)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(condition=Q(presence_low__lt=F("presence_high")), name="band_low_below_high"),
        ]

    def __str__(self) -> str:
        return self.name


class Concept(models.Model):
    """A noun phrase that the project looks for; `synonyms` are category names that imports map onto it.

    A retired one is asked for no more: its pairs stay as history, and its name and category number stay taken.
    """

    project = models.ForeignKey(Project, models.CASCADE, related_name="concepts")
    name = models.CharField(max_length=80)
    synonyms = models.JSONField(default=list, blank=True)
    category_id = models.PositiveIntegerField(help_text="The id in exports; never changes")
    colour = models.CharField(max_length=7, default="#0072b2", validators=[RegexValidator(r"^#[0-9a-f]{6}$")])
    retired_at = models.DateTimeField(null=True, blank=True)
    merged_into = models.ForeignKey(
        "self", models.RESTRICT, null=True, blank=True, related_name="merged", help_text="It was another name for this"
    )

    class Meta:
        ordering = ["category_id"]
        constraints = [
            models.UniqueConstraint(fields=["project", "name"], name="concept_name_once_a_project"),
            models.UniqueConstraint(fields=["project", "category_id"], name="category_id_once_a_project"),
        ]

    def __str__(self) -> str:
        return self.name
