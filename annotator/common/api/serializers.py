"""What the API takes, field by field: anything else in a body is not looked at. What it gives is in payloads.py."""

from rest_framework import serializers

from annotator.models import Review
from annotator.models.annotations import Verdict

from .run_config import RunConfig

MAX_ID = 2**53


class Claim(serializers.Serializer):
    after = serializers.IntegerField(allow_null=True, default=None, min_value=0, max_value=MAX_ID)


class Since(serializers.Serializer):
    since = serializers.DateTimeField()


class Attempt(serializers.Serializer):
    attempt = serializers.IntegerField(min_value=0, max_value=2**31 - 1)


class Skip(Attempt):
    reason = serializers.CharField(allow_blank=True, default="", max_length=300)


class Reassign(serializers.Serializer):
    member = serializers.CharField(max_length=150)


class Point(serializers.Serializer):
    x = serializers.FloatField()
    y = serializers.FloatField()
    label = serializers.ChoiceField(choices=[(1, "adds"), (0, "subtracts")])


class Pin(serializers.Serializer):
    x = serializers.FloatField()
    y = serializers.FloatField()


class Click(serializers.Serializer):
    points = serializers.ListField(child=Point(), max_length=64, default=list)
    box = serializers.ListField(
        child=serializers.FloatField(), min_length=4, max_length=4, allow_null=True, default=None
    )
    earlier_mask_id = serializers.CharField(allow_null=True, default=None, max_length=200)
    sequence = serializers.IntegerField(min_value=0, max_value=MAX_ID, default=0)
    preview = serializers.BooleanField(default=False)


class Exemplar(serializers.Serializer):
    box = serializers.ListField(child=serializers.FloatField(), min_length=4, max_length=4)
    label = serializers.ChoiceField(choices=[(1, "like this"), (0, "not like this")], default=1)


class Similar(serializers.Serializer):
    exemplars = serializers.ListField(child=Exemplar(), min_length=1, max_length=16)


class MaskAt(serializers.Serializer):
    """`threshold`: the logit from which a pixel counts; 0 is the model's own border."""

    mask_id = serializers.CharField(max_length=200)
    threshold = serializers.FloatField(min_value=-8, max_value=8)


class Draft(serializers.Serializer):
    version = serializers.IntegerField(min_value=0, max_value=2**31 - 1)
    payload = serializers.DictField()


class WireMask(serializers.Serializer):
    """A cropped mask (docs/contracts.md)."""

    size = serializers.ListField(child=serializers.IntegerField())
    crop_xywh = serializers.ListField(child=serializers.IntegerField())
    counts = serializers.CharField(allow_blank=True)


class Instance(serializers.Serializer):
    """I of docs/web.md."""

    mask = WireMask()
    origin = serializers.CharField()
    prompts = serializers.ListField(child=serializers.DictField())
    model_version = serializers.CharField(allow_null=True)
    score = serializers.FloatField(allow_null=True)
    edited = serializers.BooleanField()


class Submission(Attempt):
    concept = serializers.CharField(allow_null=True, default=None, max_length=80)
    client_uuid = serializers.UUIDField()
    verdict = serializers.ChoiceField(choices=Verdict.choices)
    # Checked one by one in services/instances.py, which names the instance that is wrong.
    instances = serializers.ListField(child=serializers.DictField(), allow_empty=True)
    rejected_proposals = serializers.ListField(
        child=serializers.IntegerField(min_value=0, max_value=1000), default=list, max_length=1000
    )
    active_seconds = serializers.FloatField(min_value=0, max_value=24 * 3600, default=0.0)


class ReviewDecision(serializers.Serializer):
    decision = serializers.ChoiceField(choices=Review.Decision.choices)
    comment = serializers.CharField(allow_blank=True, default="", max_length=2000)
    pin = Pin(allow_null=True, default=None)
    verdict = serializers.ChoiceField(choices=Verdict.choices, allow_null=True, default=None)
    instances = serializers.ListField(child=serializers.DictField(), allow_null=True, default=None)


class Approval(serializers.Serializer):
    annotations = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=MAX_ID), min_length=1, max_length=200
    )


class Mine(serializers.Serializer):
    settled = serializers.BooleanField(default=False)
    challenger = serializers.BooleanField(default=False)


class Count(serializers.Serializer):
    count = serializers.IntegerField(min_value=1, max_value=1000, default=50)


class Retrain(serializers.Serializer):
    """`config` overrides the trainer's defaults (seed, steps, …); `force`: even without new approved pairs."""

    config = RunConfig(default=dict)
    force = serializers.BooleanField(default=False)


class Rename(serializers.Serializer):
    name = serializers.CharField(max_length=80)
    keep_synonym = serializers.BooleanField(default=True)
    ask_again = serializers.BooleanField(default=True)


class Merge(serializers.Serializer):
    into = serializers.IntegerField(min_value=0, max_value=MAX_ID)
    preview = serializers.BooleanField(default=False)


class Predict(serializers.Serializer):
    """`source`: a folder or s3://bucket/prefix that the server's owner has opened; or `upload`, a zip, multipart."""

    source = serializers.CharField(allow_blank=True, default="", max_length=1000)
    upload = serializers.FileField(default=None, allow_null=True)
    version = serializers.CharField(allow_blank=True, default="", max_length=64)
    concepts = serializers.ListField(child=serializers.CharField(max_length=80), default=list, max_length=64)
    threshold = serializers.FloatField(min_value=0, max_value=1, default=0.5)


class Promote(serializers.Serializer):
    version = serializers.CharField(max_length=64)
    override_reason = serializers.CharField(allow_blank=True, default="", max_length=500)
