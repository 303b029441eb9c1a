"""What the API takes about data versions and how it shows them."""

from rest_framework import serializers

from .snapshot_names import NAME_LENGTH, NOTES_LENGTH, TAG_LENGTH


class SnapshotWords(serializers.Serializer):
    """What is left out stays; an empty text takes it away."""

    name = serializers.CharField(max_length=NAME_LENGTH, allow_blank=True, required=False)
    notes = serializers.CharField(max_length=NOTES_LENGTH, allow_blank=True, required=False)
    tag = serializers.CharField(max_length=TAG_LENGTH, allow_blank=True, required=False)


class NamedSnapshot(serializers.Serializer):
    """`data_revision`: the commit in the data repository; empty until it is published."""

    number = serializers.IntegerField()
    name = serializers.CharField()
    tag = serializers.CharField()
    content_hash = serializers.CharField()
    data_revision = serializers.CharField()


class Snapshot(NamedSnapshot):
    notes = serializers.CharField()
    counts = serializers.DictField(child=serializers.DictField(child=serializers.IntegerField()))
    created_at = serializers.DateTimeField()
    created_by = serializers.CharField(source="created_by.username", default=None, allow_null=True)


class ConceptChange(serializers.Serializer):
    """`verdict`: present, absent, or both with an arrow where it turned."""

    text_input = serializers.CharField()
    change = serializers.ChoiceField(choices=["added", "changed", "removed"])
    verdict = serializers.CharField()
    pairs = serializers.IntegerField()


class ChangeExample(serializers.Serializer):
    """The pair's line in each version's pairs.jsonl; null where a version has none."""

    change = serializers.ChoiceField(choices=["added", "changed", "removed"])
    before = serializers.DictField(allow_null=True)
    after = serializers.DictField(allow_null=True)


class Difference(serializers.Serializer):
    before = NamedSnapshot()
    after = NamedSnapshot()
    counts = serializers.DictField(child=serializers.IntegerField())
    by_concept = ConceptChange(many=True)
    aspects = serializers.DictField(child=serializers.IntegerField())
    examples = ChangeExample(many=True)
