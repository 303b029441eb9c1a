"""How the API shows the registry, and what may be changed of a version."""

from rest_framework import serializers

from .version_keeping import NOTES_LENGTH


class PresenceCalibration(serializers.Serializer):
    """What presence logits are divided by, and presence's expected calibration error on `val` before and after.

    `why`: nothing was fitted; the errors are null then.
    """

    temperature = serializers.FloatField()
    pairs = serializers.IntegerField()
    ece_before = serializers.FloatField(allow_null=True)
    ece_after = serializers.FloatField(allow_null=True)
    why = serializers.CharField(allow_null=True)


class RegistryVersion(serializers.Serializer):
    """A model version; null where nobody knows. `bytes`: on this machine's disk. `figures`: fractions, by split."""

    name = serializers.CharField()
    stage = serializers.CharField()
    serves = serializers.ListField(child=serializers.CharField())
    aliases = serializers.ListField(child=serializers.CharField())
    notes = serializers.CharField()
    archived_at = serializers.DateTimeField(allow_null=True)
    weights_removed_at = serializers.DateTimeField(allow_null=True)
    weights_hash = serializers.CharField(allow_null=True)
    backbone_hash = serializers.CharField(allow_null=True)
    bytes = serializers.IntegerField(allow_null=True)
    parent = serializers.CharField(allow_null=True)
    base_weights_hash = serializers.CharField(allow_null=True)
    children = serializers.ListField(child=serializers.CharField())
    run = serializers.IntegerField(allow_null=True)
    snapshot = serializers.IntegerField(allow_null=True)
    snapshot_hash = serializers.CharField(allow_null=True)
    data_revision = serializers.CharField(allow_null=True)
    code_revision = serializers.CharField(allow_null=True)
    packages = serializers.DictField(child=serializers.CharField())
    recipe = serializers.CharField(allow_null=True)
    config = serializers.DictField()
    figures = serializers.DictField(child=serializers.DictField(child=serializers.FloatField()))
    presence_calibration = PresenceCalibration(allow_null=True)
    decision = serializers.CharField(allow_null=True)
    created_at = serializers.DateTimeField()


class VersionChange(serializers.Serializer):
    """What is left out stays; an empty text takes the notes away. `archived`: folded away in lists, or not."""

    notes = serializers.CharField(max_length=NOTES_LENGTH, allow_blank=True, required=False)
    archived = serializers.BooleanField(required=False)


class Reader(serializers.Serializer):
    """`role`: what the version's run did with the answer. `gate`: the newest decision on the version, or empty."""

    version = serializers.CharField()
    run = serializers.IntegerField()
    snapshot = serializers.IntegerField()
    role = serializers.ChoiceField(choices=["learnt", "chosen by", "judged by", "kept apart"])
    gate = serializers.CharField(allow_blank=True)


class LearntFrom(serializers.Serializer):
    """`annotation`, `author`: null where the truth was imported or drawn; `reviewer`: null also by policy."""

    pair = serializers.IntegerField()
    image = serializers.CharField()
    concept = serializers.CharField()
    split = serializers.CharField()
    instances = serializers.IntegerField()
    annotation = serializers.IntegerField(allow_null=True)
    revision = serializers.IntegerField(allow_null=True)
    author = serializers.CharField(allow_null=True)
    reviewer = serializers.CharField(allow_null=True)


class PersonCount(serializers.Serializer):
    name = serializers.CharField(allow_null=True)
    pairs = serializers.IntegerField()
    masks = serializers.IntegerField()


class Learnt(serializers.Serializer):
    """`people`: whose answers the train split holds. `rows`: a page of pairs of all splits, and `next` what to ask
    for as `after` to get the next one; null at the end. `indexed` false: the snapshot is older than this index."""

    indexed = serializers.BooleanField()
    people = PersonCount(many=True)
    reviewers = PersonCount(many=True)
    rows = LearntFrom(many=True)
    next = serializers.IntegerField(allow_null=True)
