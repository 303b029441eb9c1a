"""What the API takes and tells about evaluations, comparisons and the gate's decisions."""

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from annotator.models import Evaluation as EvaluationRow
from annotator.models import GateDecision as GateRow
from toolbox.presets import PRESETS

from .evaluating import SPLITS
from .evaluation_page import counts_as_look, figures_of, verdict_of
from .version_compare import Comparison as Versions
from .version_compare import Difference as Compared


class AskEvaluation(serializers.Serializer):
    """`snapshot`: its number, or a fresh one; `preset`: what the model is for, or the project's."""

    version = serializers.CharField(max_length=64)
    snapshot = serializers.IntegerField(min_value=1, allow_null=True, default=None)
    split = serializers.ChoiceField(choices=[str(split) for split in SPLITS], default="holdout")
    preset = serializers.ChoiceField(choices=list(PRESETS), allow_blank=True, default="")


class MeasuredFigure(serializers.Serializer):
    """A fraction, its 95 % interval, and how many it rests on; `why`: why it is not defined here."""

    name = serializers.CharField()
    words = serializers.CharField()
    value = serializers.FloatField(allow_null=True)
    low = serializers.FloatField(allow_null=True)
    high = serializers.FloatField(allow_null=True)
    n = serializers.IntegerField(allow_null=True)
    why = serializers.CharField(allow_blank=True)


class PresetDemand(serializers.Serializer):
    """`state`: met, missed, open or unknown; `more_pairs` of `kind` would settle an open one."""

    name = serializers.CharField()
    asked = serializers.FloatField()
    state = serializers.CharField()
    value = serializers.FloatField(allow_null=True)
    n = serializers.IntegerField()
    low = serializers.FloatField(allow_null=True)
    high = serializers.FloatField(allow_null=True)
    words = serializers.CharField()
    more_pairs = serializers.IntegerField()
    kind = serializers.CharField(allow_blank=True)


class Readiness(serializers.Serializer):
    """`verdict`: deploy, label or check."""

    verdict = serializers.CharField()
    sentence = serializers.CharField()
    demands = PresetDemand(many=True)


class EvaluationShort(serializers.Serializer):
    """`gate`: the decision that it was made for; null: it was asked for by itself."""

    id = serializers.IntegerField()
    version = serializers.CharField(source="version.name")
    snapshot = serializers.IntegerField(source="snapshot.number")
    split = serializers.CharField()
    gate = serializers.IntegerField(source="gate_id", allow_null=True)
    cgf1 = serializers.FloatField(source="metrics.cgf1", allow_null=True, default=None)
    preset = serializers.DictField()
    counts_as_look = serializers.SerializerMethodField()
    asked_by = serializers.CharField(source="asked_by.username", allow_null=True, default=None)
    created_at = serializers.DateTimeField()

    def get_counts_as_look(self, row: EvaluationRow) -> bool:
        return counts_as_look(row)


class Evaluation(EvaluationShort):
    """`readiness`: what the preset says; null where nothing was measured with intervals."""

    metrics = serializers.DictField()
    weights_hash = serializers.CharField(allow_blank=True)
    figures = serializers.SerializerMethodField()
    readiness = serializers.SerializerMethodField()

    @extend_schema_field(MeasuredFigure(many=True))
    def get_figures(self, row: EvaluationRow) -> list[dict]:
        return [dict(one) for one in MeasuredFigure(figures_of(row), many=True).data]

    @extend_schema_field(Readiness(allow_null=True))
    def get_readiness(self, row: EvaluationRow) -> dict | None:
        verdict = verdict_of(row)
        return verdict.plain() if verdict else None


class Gate(serializers.Serializer):
    """A decision of the gate. `run`: the one that made the version; `policy`: by which it was made, then."""

    id = serializers.IntegerField()
    version = serializers.CharField(source="challenger.name")
    champion = serializers.CharField(source="champion.name")
    snapshot = serializers.IntegerField(source="snapshot.number")
    run = serializers.IntegerField(source="run.number", allow_null=True, default=None)
    decision = serializers.CharField()
    reasons = serializers.ListField(child=serializers.CharField())
    # These five are columns that gates_told adds, so that no whole report is read.
    rules = serializers.ListField(child=serializers.DictField())
    rules_version = serializers.IntegerField(allow_null=True)
    policy = serializers.DictField()
    looks = serializers.FloatField(allow_null=True)
    gain = serializers.FloatField(source="delta_cgf1", allow_null=True)
    evaluations = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField()

    def get_evaluations(self, row: GateRow) -> list[int]:
        return [one.pk for one in row.evaluations.all()]


class CompareAsked(serializers.Serializer):
    """`version`: two to six, each in a parameter of its own; the set: a snapshot's number and a split of it."""

    version = serializers.ListField(child=serializers.CharField(max_length=64), min_length=2, max_length=6)
    snapshot = serializers.IntegerField(min_value=1, allow_null=True, default=None)
    split = serializers.ChoiceField(choices=[str(split) for split in SPLITS], allow_blank=True, default="")


class JudgedSet(serializers.Serializer):
    snapshot = serializers.IntegerField()
    split = serializers.CharField()
    versions = serializers.ListField(child=serializers.CharField())


class ComparedVersion(serializers.Serializer):
    """`evaluation`: its number; null: it was not evaluated on this set."""

    version = serializers.CharField()
    evaluation = serializers.IntegerField(allow_null=True)


class Gained(serializers.Serializer):
    name = serializers.CharField()
    gain = serializers.FloatField()
    low = serializers.FloatField()
    high = serializers.FloatField()


class VersionDifference(serializers.Serializer):
    """Against the first version that has an evaluation; fractions, each with its own 95 % interval."""

    version = serializers.CharField()
    against = serializers.CharField()
    gains = serializers.SerializerMethodField()
    mended = serializers.IntegerField(source="mended_count")
    broken = serializers.IntegerField(source="broken_count")

    @extend_schema_field(Gained(many=True))
    def get_gains(self, row: Compared) -> list[dict]:
        return [dict(zip(("name", "gain", "low", "high"), one, strict=True)) for one in row.gains]


class VersionComparison(serializers.Serializer):
    """`sets`: where some of them were evaluated; `chosen`: where they are compared; `pairs` of them all."""

    chosen = JudgedSet(allow_null=True)
    sets = JudgedSet(many=True)
    versions = serializers.SerializerMethodField()
    pairs = serializers.IntegerField()
    differences = VersionDifference(many=True)

    @extend_schema_field(ComparedVersion(many=True))
    def get_versions(self, row: Versions) -> list[dict]:
        both = zip(row.versions, row.evaluations, strict=True)
        return [{"version": version.name, "evaluation": found.pk if found else None} for version, found in both]
