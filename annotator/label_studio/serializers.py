"""What the API takes to push to Label Studio."""

from rest_framework import serializers

from annotator.models import Image


class Push(serializers.Serializer):
    """Either `number`, Label Studio's of a project that is there, or `title` for a new one.

    `snapshot`: its number; null: what is settled now. `splits`: these alone; empty: all. `as_predictions`: proposals
    instead of finished annotations.
    """

    number = serializers.IntegerField(min_value=1, max_value=2**63 - 1, allow_null=True, default=None)
    title = serializers.CharField(allow_blank=True, default="", max_length=50)
    snapshot = serializers.IntegerField(min_value=1, max_value=2**31 - 1, allow_null=True, default=None)
    splits = serializers.ListField(child=serializers.ChoiceField(Image.Split.choices), default=list, max_length=4)
    as_predictions = serializers.BooleanField(default=False)
