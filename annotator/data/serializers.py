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


class PostImages(serializers.Serializer):
    """`images`: the files, a part each; `source`: where they come from."""

    images = serializers.ListField(child=serializers.FileField(), allow_empty=False, max_length=100)
    source = serializers.CharField(max_length=80, default="posted")


class PostedImage(serializers.Serializer):
    """`state`: added, already_there or refused, and then `why`."""

    name = serializers.CharField()
    state = serializers.CharField()
    sha256 = serializers.CharField()
    split = serializers.CharField()
    why = serializers.CharField()


class PostedImages(serializers.Serializer):
    files = PostedImage(many=True)


class NewFeed(serializers.Serializer):
    """`place`: a folder or s3://bucket/prefix that the server's owner has opened."""

    place = serializers.CharField(max_length=1000)
    source = serializers.CharField(max_length=80, allow_blank=True, default="")
    interval_seconds = serializers.IntegerField(default=60, min_value=5, max_value=86400)


class Misses(serializers.Serializer):
    """Of what the serving model was sure shows nothing: drawn by chance, labelled, and showing something after all."""

    aside = serializers.IntegerField()
    sampled = serializers.IntegerField()
    settled = serializers.IntegerField()
    missed = serializers.IntegerField()


class Feed(serializers.Serializer):
    """`counts`: files by state: seen, ready, imported, refused; `place` is empty for what scripts post."""

    id = serializers.IntegerField(source="feed.pk")
    place = serializers.CharField(source="feed.place")
    source = serializers.CharField(source="feed.source")
    enabled = serializers.BooleanField(source="feed.enabled")
    interval_seconds = serializers.IntegerField(source="feed.interval_seconds")
    looked_at = serializers.DateTimeField(source="feed.looked_at", allow_null=True)
    error = serializers.CharField(source="feed.error")
    counts = serializers.DictField(child=serializers.IntegerField())
    misses = Misses()
