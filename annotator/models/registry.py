"""Snapshots of approved work, and the models made from them."""

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q

from .jobs import Job
from .projects import Project


class Snapshot(models.Model):
    """An immutable SA-Co export of approved pairs by split.

    `counts` = {split: {pairs, positives, negatives, instances}}.
    """

    project = models.ForeignKey(Project, models.CASCADE, related_name="snapshots")
    number = models.PositiveIntegerField()
    content_hash = models.CharField(max_length=64)
    counts = models.JSONField(default=dict)
    name = models.CharField(max_length=80, blank=True)
    notes = models.TextField(blank=True)
    tag = models.CharField(max_length=80, blank=True, help_text="Unique in the project; the data repository's git tag")
    data_revision = models.CharField(max_length=40, blank=True, help_text="Commit of the DVC data repository")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    labour = models.JSONField(
        default=dict, editable=False, help_text="What people had spent by then: data/labour.py; empty: not counted yet"
    )
    is_indexed = models.BooleanField(default=False, editable=False, help_text="All its rows (SnapshotPair) are written")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["project", "tag"], condition=~Q(tag=""), name="snapshot_tag_once"),
            models.UniqueConstraint(fields=["project", "number"], name="snapshot_number_once"),
            models.UniqueConstraint(fields=["project", "content_hash"], name="snapshot_content_once"),
        ]


class SnapshotPair(models.Model):
    """Which answer a snapshot holds for a pair: the index by which one walks from an answer to models and back.

    `answer` null: the truth was imported or drawn, or the snapshot is older than this index.
    """

    snapshot = models.ForeignKey(Snapshot, models.CASCADE, related_name="rows", db_index=False)
    pair = models.ForeignKey("Pair", models.CASCADE, related_name="snapshot_rows")
    answer = models.ForeignKey("Annotation", models.SET_NULL, null=True, related_name="snapshot_rows")
    split = models.CharField(max_length=8)
    instances = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["snapshot", "pair"], name="snapshot_pair_once")]


class ModelVersion(models.Model):
    """A model that can be asked for by `name`: the shipped demo, SAM 3, or one trained here (`training_run`)."""

    class Stage(models.TextChoices):
        CANDIDATE = "candidate", "Candidate"
        PRODUCTION_CANDIDATE = "production-candidate", "Passed the gate"
        STAGING = "staging", "Staging"
        PRODUCTION = "production", "Production"
        ARCHIVED = "archived", "Archived"

    name = models.CharField(max_length=64, unique=True, validators=[RegexValidator(r"^[a-z0-9][a-z0-9._-]{0,63}$")])
    project = models.ForeignKey(
        Project, models.CASCADE, null=True, blank=True, related_name="model_versions", help_text="Null: shipped"
    )
    parent = models.ForeignKey("self", models.PROTECT, null=True, blank=True, related_name="children")
    stage = models.CharField(max_length=24, choices=Stage, default=Stage.CANDIDATE)
    weights_hash = models.CharField(max_length=64, blank=True)
    backbone_hash = models.CharField(max_length=64, blank=True)
    metrics = models.JSONField(default=dict)
    base_hash = models.CharField(max_length=64, blank=True, help_text="Of the weights that it was trained from")
    code_revision = models.CharField(max_length=64, blank=True, help_text="Commit of the code that trained it")
    packages = models.JSONField(default=dict, help_text="{name: version} of what the trainer ran with")
    notes = models.TextField(blank=True)
    archived_at = models.DateTimeField(null=True, blank=True, help_text="Folded away in lists since then")
    mirrored = models.CharField(max_length=64, blank=True, editable=False, help_text="What MLflow's registry was told")
    weights_removed_at = models.DateTimeField(null=True, blank=True, help_text="By retention; null: they lie there")
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name


class TrainingRun(models.Model):
    """One retrain: a pinned snapshot and base version in; losses, validations and at best a new version out."""

    class Trigger(models.TextChoices):
        BUTTON = "button", "the button"
        API = "api", "the API"
        COMMAND = "command", "the command"
        LABEL_STUDIO = "label_studio", "Label Studio"
        APPROVALS = "approvals", "itself, after new approvals"
        SCHEDULE = "schedule", "itself, by the calendar"

    project = models.ForeignKey(Project, models.CASCADE, related_name="training_runs")
    number = models.PositiveIntegerField()
    job = models.OneToOneField(Job, models.CASCADE, related_name="training_run")
    snapshot = models.ForeignKey(Snapshot, models.PROTECT, related_name="training_runs")
    base_version = models.ForeignKey(ModelVersion, models.PROTECT, related_name="+")
    version = models.OneToOneField(ModelVersion, models.PROTECT, null=True, blank=True, related_name="training_run")
    trigger = models.CharField(max_length=12, choices=Trigger, blank=True, help_text="Empty: from before it was told")
    config = models.JSONField(default=dict)
    series = models.JSONField(
        default=dict, help_text="{loss: [{step, total, …}], validation: [{step, cgf1, …}]} for the plots"
    )
    samples = models.JSONField(default=dict, help_text="The fixed sample images before and after: see docs/data.md")
    trainer_seconds = models.FloatField(default=0.0, help_text="How long the trainer worked, all attempts together")
    hour_price = models.FloatField(default=0.0, help_text="The project's when the run was asked for; 0: none was set")
    currency = models.CharField(max_length=8, blank=True)
    gate = models.OneToOneField(
        "GateDecision", models.SET_NULL, null=True, blank=True, related_name="+", help_text="The newest decision"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-number"]
        constraints = [models.UniqueConstraint(fields=["project", "number"], name="run_number_once")]

    @property
    def started_by(self) -> str:
        """Who or what: a person and how, or what started it without one."""
        person = self.job.created_by
        how = self.get_trigger_display()
        if person is None:
            return how or "the system"
        return f"{person}, by {how}" if how else str(person)


class RetrainTry(models.Model):
    """The last time that a retrain was to start by itself. `counts_from`: dates of the calendar before it are past."""

    project = models.OneToOneField(Project, models.CASCADE, related_name="retrain_try")
    counts_from = models.DateTimeField()
    tried_at = models.DateTimeField(null=True, blank=True)
    refusal = models.TextField(blank=True, help_text="Why it did not start; empty: it did")


class Evaluation(models.Model):
    """One model version measured on one split of one snapshot; `metrics` are fractions.

    `folder`, below the runs' folder, holds rows.json, measures.json and predictions.json (docs/contracts.md).
    """

    project = models.ForeignKey(Project, models.CASCADE, related_name="evaluations")
    version = models.ForeignKey(ModelVersion, models.CASCADE, related_name="evaluations")
    snapshot = models.ForeignKey(Snapshot, models.PROTECT, related_name="evaluations")
    split = models.CharField(max_length=8)
    metrics = models.JSONField(default=dict)
    folder = models.CharField(max_length=200, blank=True, help_text="Empty: its files were not kept")
    weights_hash = models.CharField(max_length=64, blank=True, help_text="Of the weights that were judged")
    preset = models.JSONField(default=dict, help_text="What was asked of the figures: toolbox/presets.py")
    job = models.ForeignKey(Job, models.SET_NULL, null=True, blank=True, related_name="evaluations")
    gate = models.ForeignKey(
        "GateDecision",
        models.CASCADE,
        null=True,
        blank=True,
        related_name="evaluations",
        help_text="The decision that it was made for; null: it was asked for by itself",
    )
    asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["version", "snapshot", "split"], name="evaluation_of_version")]


class GateDecision(models.Model):
    """Champion against challenger on a snapshot's holdout; `report` is the gate's manifest (docs/contracts.md).

    A version can be judged again when the holdout has grown: `run.gate` is the newest decision about a run's version.
    One that no run made here, such as SAM 3, is judged without a run. `folder` is below the runs' folder.
    """

    class Decision(models.TextChoices):
        PROMOTE = "promote", "Promote"
        REJECT = "reject", "Reject"
        UNDECIDED = "undecided", "Undecided"

    project = models.ForeignKey(Project, models.CASCADE, related_name="gate_decisions")
    run = models.ForeignKey(
        TrainingRun, models.CASCADE, null=True, blank=True, related_name="gates", help_text="That made the challenger"
    )
    snapshot = models.ForeignKey(Snapshot, models.PROTECT, related_name="gate_decisions", help_text="Whose holdout")
    champion = models.ForeignKey(ModelVersion, models.PROTECT, related_name="+")
    challenger = models.ForeignKey(ModelVersion, models.PROTECT, related_name="+")
    decision = models.CharField(max_length=10, choices=Decision)
    reasons = models.JSONField(default=list)
    report = models.JSONField(default=dict)
    folder = models.CharField(max_length=200, blank=True, help_text="With rows.json; empty: they were not kept")
    job = models.ForeignKey(Job, models.SET_NULL, null=True, blank=True, related_name="gates")
    asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)


class Deployment(models.Model):
    """Which version a project asked for, from when on. The newest row is the serving one."""

    class Action(models.TextChoices):
        START = "start", "First version"
        PROMOTE = "promote", "Promoted"
        ROLLBACK = "rollback", "Rolled back"

    project = models.ForeignKey(Project, models.CASCADE, related_name="deployments")
    version = models.ForeignKey(ModelVersion, models.PROTECT, related_name="deployments")
    previous = models.ForeignKey(ModelVersion, models.PROTECT, null=True, related_name="+")
    action = models.CharField(max_length=10, choices=Action)
    gate = models.ForeignKey(GateDecision, models.PROTECT, null=True, blank=True, related_name="deployments")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=~Q(action="rollback") | Q(previous__isnull=False), name="rollback_has_a_previous"
            )
        ]
