"""What the API takes about concepts and how it shows them whole."""

from rest_framework import serializers

from annotator.common.api.serializers import MAX_ID, Concept


class WholeConcept(Concept):
    synonyms = serializers.ListField(child=serializers.CharField())
    category_id = serializers.IntegerField()
    retired_at = serializers.DateTimeField(allow_null=True)
    merged_into = serializers.IntegerField(source="merged_into_id", allow_null=True)


class Rename(serializers.Serializer):
    name = serializers.CharField(max_length=80)
    keep_synonym = serializers.BooleanField(default=True)
    ask_again = serializers.BooleanField(default=True)


class Merge(serializers.Serializer):
    into = serializers.IntegerField(min_value=0, max_value=MAX_ID)
    preview = serializers.BooleanField(default=False)


class MergePlan(serializers.Serializer):
    moved = serializers.IntegerField()
    together = serializers.IntegerField()
    conflicts = serializers.IntegerField()
    queued = serializers.IntegerField()
    in_hand = serializers.IntegerField()
