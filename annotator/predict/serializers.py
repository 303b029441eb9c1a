"""What the API takes to predict on a folder, bucket or zip."""

from rest_framework import serializers


class Predict(serializers.Serializer):
    """`source`: a folder or s3://bucket/prefix that the server's owner has opened; or `upload`, a zip, multipart."""

    source = serializers.CharField(allow_blank=True, default="", max_length=1000)
    upload = serializers.FileField(default=None, allow_null=True)
    version = serializers.CharField(allow_blank=True, default="", max_length=64)
    concepts = serializers.ListField(child=serializers.CharField(max_length=80), default=list, max_length=64)
    threshold = serializers.FloatField(min_value=0, max_value=1, default=0.5)
