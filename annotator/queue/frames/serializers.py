"""Frames that may take over a settled answer, and confirming them. Masks go out cropped."""

from rest_framework import serializers

from annotator.common.api.serializers import MAX_ID, Image
from annotator.models.annotations import Verdict

from ..serializers import Instance
from .confirming import MOST


class OfferedFrame(serializers.Serializer):
    """`like`: the settled answer, whose verdict is offered; `instances`: what a confirmation would store."""

    prediction = serializers.IntegerField(source="prediction.pk")
    verdict = serializers.ChoiceField(choices=Verdict.choices)
    instances = Instance(many=True)
    concept = serializers.CharField(source="pair.concept.name")
    image = Image(source="pair.image")
    task = serializers.IntegerField(source="task.pk", allow_null=True, default=None)
    like = serializers.IntegerField(source="settled.settled_by_id")
    like_image = serializers.CharField(source="settled.image.sha256")


class ShownFrame(serializers.Serializer):
    prediction = serializers.IntegerField(min_value=1, max_value=MAX_ID)
    verdict = serializers.ChoiceField(choices=Verdict.choices)


class Confirmation(serializers.Serializer):
    """`active_seconds`: what looking at all of them took."""

    frames = ShownFrame(many=True, min_length=1, max_length=MOST)
    active_seconds = serializers.FloatField(min_value=0, max_value=24 * 3600, default=0.0)


class FrameOutcome(serializers.Serializer):
    """`code` and `message` say why it was skipped; empty when it was confirmed."""

    prediction = serializers.IntegerField()
    confirmed = serializers.BooleanField()
    annotation = serializers.IntegerField(allow_null=True)
    code = serializers.CharField(allow_blank=True)
    message = serializers.CharField(allow_blank=True)


class Confirmed(serializers.Serializer):
    results = FrameOutcome(many=True)
