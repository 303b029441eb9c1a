"""Projects and what they look for."""

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import F, Q

from .gate_settings import GateSettings

FRACTION = [MinValueValidator(0.0), MaxValueValidator(1.0)]


class Project(GateSettings):
    """One loop: images, concepts, people, a serving model, and the thresholds and policies that steer them."""

    class ReviewPolicy(models.TextChoices):
        ALL = "all", "Review every annotation"
        SAMPLE = "sample", "Review a random share"
        DISAGREEMENTS = "disagreements", "Review only what differs from the model's proposal"

    class RankBy(models.TextChoices):
        VALUE = "value", "What it teaches for a second of a person"
        DOUBT = "doubt", "Nearness to 0.5"

    class RetrainSchedule(models.TextChoices):
        NEVER = "never", "Never"
        WEEKLY = "weekly", "Mondays at 02:00 UTC"
        MONTHLY = "monthly", "The first of the month at 02:00 UTC"

    name = models.CharField("project name", max_length=80)
    slug = models.SlugField(unique=True)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    is_demo = models.BooleanField(default=False)
    serving_version = models.ForeignKey("ModelVersion", models.PROTECT, related_name="serving_projects")

    presence_low = models.FloatField(
        "band from",
        default=0.4,
        validators=FRACTION,
        help_text="Presence scores from here …",
    )
    presence_high = models.FloatField(
        "band to",
        default=0.6,
        validators=FRACTION,
        help_text="… to here count as hesitation.",
    )
    stability_below = models.FloatField(
        "a mask is borderline below",
        default=0.5,
        validators=FRACTION,
        help_text="Stability is the overlap of a mask at two thresholds; an unstable one is queued.",
    )
    audit_share = models.FloatField(
        "share drawn at random",
        default=0.1,
        validators=FRACTION,
        help_text="Drawn at random, because a confident mistake is in no band. 0.1 is one in ten.",
    )
    mine_batch = models.PositiveIntegerField(
        "tasks a round",
        default=50,
        validators=[MinValueValidator(1)],
        help_text="One press of Mine queues this many at most.",
    )

    rank_by = models.CharField(
        "rank by",
        max_length=5,
        choices=RankBy,
        default=RankBy.VALUE,
        help_text="What comes first within a reason.",
    )
    # How reasons share a batch: in proportion to these; one of weight 0 is drawn on when the others have run out.
    weight_band = models.FloatField(
        "weight of the band",
        default=1.0,
        validators=FRACTION,
        help_text="The reasons share a batch in proportion to their weights, after the random share is taken.",
    )
    weight_disagreement = models.FloatField(
        "weight of disagreement",
        default=0.5,
        validators=FRACTION,
        help_text="Pairs on which the newest model that does not serve sees something else.",
    )
    weight_borderline = models.FloatField(
        "weight of borderline masks",
        default=0.5,
        validators=FRACTION,
        help_text="Pairs with a mask that depends on where the line is drawn.",
    )
    weight_fill = models.FloatField(
        "weight of the rest",
        default=0.0,
        validators=FRACTION,
        help_text="Pairs that no other reason holds for. 0, here or above: only when the others run out.",
    )
    double_share = models.FloatField(
        "share labelled twice",
        default=0.0,
        validators=FRACTION,
        help_text="Two people label it without seeing each other; needs two who annotate. 0.1 is one in ten.",
    )
    honeypot_share = models.FloatField(
        "share with a known answer",
        default=0.0,
        validators=FRACTION,
        help_text="Settled pairs asked again, unmarked, reviewed like all; the truth stays. Tell people.",
    )
    honeypot_feedback = models.BooleanField(
        "tell at once whether a known answer was met",
        default=False,
        help_text="The answer's reply then says whether verdict and masks meet the truth.",
    )
    one_pass = models.BooleanField(
        "show all concepts of an image together",
        default=False,
        help_text="Whoever takes an image is asked for every concept that nobody has looked at "
        "there, at one go. A known answer still comes alone.",
    )

    pseudo_labels = models.BooleanField(
        "teach what the model is sure of",
        default=False,
        help_text="Pairs that it gives 98 % or more, or 2 % or less, that look like audited ones which it had right.",
    )
    pseudo_error = models.FloatField(
        "with an error of at most",
        default=0.01,
        validators=[MinValueValidator(0.001), MaxValueValidator(0.2)],
        help_text="By the upper 95 % bound of the audit: 0.01 takes 299 such audited answers without a fault.",
    )

    review_policy = models.CharField(
        "what reviewers see",
        max_length=16,
        choices=ReviewPolicy,
        default=ReviewPolicy.ALL,
        help_text="Answers that need no review settle their pair at once.",
    )
    review_share = models.FloatField(
        "share for review",
        default=0.2,
        validators=FRACTION,
        help_text="Used by «a random share» only. 0.2 is one in five.",
    )
    bulk_score = models.FloatField(
        "bulk approval: score from",
        default=0.8,
        validators=FRACTION,
        help_text="The serving model is at least this sure of what the answer says, there or not there.",
    )
    bulk_iou = models.FloatField(
        "bulk approval: overlap from",
        default=0.9,
        validators=FRACTION,
        help_text="Each mask of the answer overlaps one of that model's by at least this much (IoU).",
    )
    bulk_look_share = models.FloatField(
        "share looked at one by one",
        default=0.1,
        validators=FRACTION,
        help_text="Of the answers that could be approved in bulk, drawn by chance. 1 turns bulk approval off.",
    )
    self_review_allowed = models.BooleanField(
        "people may review their own work",
        default=False,
        help_text="Useful when you work alone; otherwise leave it off.",
    )

    retrain_after_approvals = models.PositiveIntegerField(
        "after so many approvals",
        default=0,
        validators=[MaxValueValidator(1_000_000)],
        help_text="Pairs approved since the last run's snapshot. 0: never.",
    )
    retrain_schedule = models.CharField(
        "by the calendar",
        max_length=8,
        choices=RetrainSchedule,
        default=RetrainSchedule.NEVER,
        help_text="Only if something was approved since the last run.",
    )
    retrain_rest_hours = models.FloatField(
        "hours between two",
        default=6.0,
        validators=[MinValueValidator(0.1), MaxValueValidator(10_000.0)],
        help_text="No run starts by itself sooner after another, or after one that was refused.",
    )

    hour_price = models.FloatField(
        "price of an hour",
        default=0.0,
        validators=[MinValueValidator(0.0), MaxValueValidator(1_000_000)],
        help_text="Of the machine that trains. A run keeps the price that it begins with; 0: no cost is shown.",
    )
    person_hour_price = models.FloatField(
        "price of an hour of labelling",
        default=0.0,
        validators=[MinValueValidator(0.0), MaxValueValidator(1_000_000)],
        help_text="Of an annotator. Reports tell what an object and an image cost by it; 0: they tell seconds alone.",
    )
    currency = models.CharField(
        "currency",
        max_length=8,
        default="USD",
        help_text="Shown behind the amount; nothing is converted.",
    )

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
