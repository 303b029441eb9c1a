"""The learning curve as the API tells it: figures are fractions, times seconds or hours as they are called."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from .curve import Round


class CurveAsked(serializers.Serializer):
    """`target`: the CGF1 that the forecast is for, a fraction; left out: the next step of five points."""

    target = serializers.FloatField(min_value=0.01, max_value=1.0, default=None, allow_null=True)


class Labour(serializers.Serializer):
    """`labels`: pairs that people answered; `answers`: with second and known ones and corrections; `timed` of these
    have a recorded time, and `seconds` are theirs."""

    labels = serializers.IntegerField()
    answers = serializers.IntegerField()
    timed = serializers.IntegerField()
    seconds = serializers.FloatField()


class CurveImage(serializers.Serializer):
    image = serializers.CharField()
    text_input = serializers.CharField()
    words = serializers.CharField()


class CurveLearned(serializers.Serializer):
    """Images of the holdout that the model has right now and had wrong before, and the reverse, against the one that
    served. `fixed_images`, `broken_images`: at most sixty pairs of each; null for annotators."""

    pairs = serializers.IntegerField()
    fixed = serializers.IntegerField()
    broken = serializers.IntegerField()
    fixed_images = serializers.SerializerMethodField()
    broken_images = serializers.SerializerMethodField()

    @extend_schema_field(CurveImage(many=True, allow_null=True))
    def get_fixed_images(self, row: Any) -> list[dict] | None:
        return self._named(row.mended)

    @extend_schema_field(CurveImage(many=True, allow_null=True))
    def get_broken_images(self, row: Any) -> list[dict] | None:
        return self._named(row.lost)

    def _named(self, changes: Any) -> list[dict] | None:
        return [dict(one) for one in CurveImage(changes, many=True).data] if self.context["names_images"] else None


class CurvePoint(serializers.Serializer):
    """A version on the newest holdout that judged it. `state`: start (as shipped), promoted or kept_back; `labour`: up
    to the `snapshot` that it learnt from; `learned`: null where the decision's rows were not kept."""

    version = serializers.CharField(source="point.version")
    state = serializers.CharField(source="point.state")
    run = serializers.IntegerField(source="point.run", allow_null=True)
    snapshot = serializers.IntegerField(source="point.snapshot", allow_null=True)
    evaluation = serializers.IntegerField(source="point.evaluation")
    gate = serializers.IntegerField(source="point.gate", allow_null=True)
    decision = serializers.CharField(source="point.decision", allow_blank=True)
    cgf1 = serializers.FloatField(source="point.cgf1")
    low = serializers.FloatField(source="point.low", allow_null=True)
    high = serializers.FloatField(source="point.high", allow_null=True)
    labour = Labour(source="point.labour")
    hours = serializers.FloatField(source="point.hours")
    random_order_hours = serializers.SerializerMethodField()
    learned = CurveLearned(allow_null=True)

    @extend_schema_field(serializers.FloatField(allow_null=True))
    def get_random_order_hours(self, row: Round) -> float | None:
        return self.context["random"].hours(row.point.hours)


class CurvePace(serializers.Serializer):
    """Seconds of one round, by `answers` that have a time; of its newest images where it has many."""

    round = serializers.IntegerField()
    answers = serializers.IntegerField()
    untimed = serializers.IntegerField()
    objects = serializers.IntegerField()
    images = serializers.IntegerField()
    object_median = serializers.FloatField(allow_null=True)
    object_mean = serializers.FloatField(allow_null=True)
    image_median = serializers.FloatField(allow_null=True)
    image_mean = serializers.FloatField(allow_null=True)


class CurveYield(serializers.Serializer):
    answers = serializers.IntegerField()
    changed = serializers.IntegerField()
    seconds = serializers.FloatField()


class CurveRandomOrder(serializers.Serializer):
    """`ratio`: hours of random order that one of the queue's is worth, an estimate with its 95 % interval; null as long
    as `more_audits`, or answers of the queue, are needed."""

    ratio = serializers.FloatField(allow_null=True)
    low = serializers.FloatField(allow_null=True)
    high = serializers.FloatField(allow_null=True)
    fixed_share = serializers.FloatField()
    more_audits = serializers.IntegerField()
    queue = CurveYield()
    audit = CurveYield()


class CurveFit(serializers.Serializer):
    """ceiling - headroom / (1 + x / half)."""

    ceiling = serializers.FloatField()
    headroom = serializers.FloatField()
    half = serializers.FloatField()


class CurveNeeded(serializers.Serializer):
    """`x` to the target in all, hours or labels, with its 95 % interval; null: never. `share` of the drawn curves gets
    there."""

    x = serializers.FloatField(allow_null=True)
    low = serializers.FloatField(allow_null=True)
    high = serializers.FloatField(allow_null=True)
    share = serializers.FloatField()
    ceiling_low = serializers.FloatField()
    ceiling_high = serializers.FloatField()
    curve = CurveFit()


class CurveStall(serializers.Serializer):
    rounds = serializers.IntegerField()
    gain = serializers.FloatField()
    low = serializers.FloatField()
    high = serializers.FloatField()


class CurveForecast(serializers.Serializer):
    """`verdict`: told; reached; too_few points; or never and stalled: more of this kind of label won't help."""

    target = serializers.FloatField()
    verdict = serializers.CharField()
    points = serializers.IntegerField()
    hours = CurveNeeded(allow_null=True)
    labels = CurveNeeded(allow_null=True)
    stall = CurveStall(allow_null=True)


class LearningCurve(serializers.Serializer):
    """`spent`: all that people did; `since`: what no model has learnt from yet; `forecast`: null before anything was
    judged."""

    points = serializers.SerializerMethodField()
    spent = Labour()
    since = Labour()
    paces = CurvePace(many=True)
    random_order = CurveRandomOrder(source="random")
    forecast = CurveForecast(allow_null=True)

    @extend_schema_field(CurvePoint(many=True))
    def get_points(self, row: Any) -> list[dict]:
        told = CurvePoint(row.rounds, many=True, context=self.context | {"random": row.random})
        return [dict(one) for one in told.data]
