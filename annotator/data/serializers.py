"""What the API tells and takes about splits."""

from rest_framework import serializers


class SceneCounts(serializers.Serializer):
    images = serializers.IntegerField()
    scenes = serializers.IntegerField()
    unknown = serializers.IntegerField()
    largest = serializers.IntegerField()


class ShareRow(serializers.Serializer):
    """`kind`: all, source (images), present or absent (settled pairs of a concept)."""

    name = serializers.CharField()
    kind = serializers.CharField()
    counts = serializers.DictField(child=serializers.IntegerField())


class Splits(serializers.Serializer):
    """`crossing`: scenes that lie in several splits."""

    scenes = SceneCounts()
    crossing = serializers.IntegerField()
    shares = ShareRow(many=True)


class Mend(serializers.Serializer):
    """`scenes`: their names, or none for all that cross; `force`: also what training or the gate has read."""

    scenes = serializers.ListField(child=serializers.RegexField(r"^[0-9a-f]{64}$"), default=list, max_length=1000)
    force = serializers.BooleanField(default=False)


class Mended(serializers.Serializer):
    images = serializers.IntegerField()
    scenes = serializers.IntegerField()
    left = serializers.IntegerField()
