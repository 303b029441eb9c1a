"""Shapes that several rooms show; a room's own are in its serializers.py. One class makes, takes and describes."""

from typing import Any

from django.urls import reverse
from rest_framework import serializers

MAX_ID = 2**53
PREVIEW_SIDE_PX = 2048


class ErrorBody(serializers.Serializer):
    code = serializers.CharField()
    message = serializers.CharField()
    fields = serializers.DictField(required=False)


class Error(serializers.Serializer):
    error = ErrorBody()


class Concept(serializers.Serializer):
    """`number`: the category number, its key at the desk."""

    id = serializers.IntegerField()
    number = serializers.IntegerField(source="category_id")
    name = serializers.CharField()
    colour = serializers.CharField()


class Image(serializers.Serializer):
    # Wants the `project` as context: an image row is read without it.

    sha256 = serializers.CharField()
    url = serializers.SerializerMethodField()
    preview_url = serializers.SerializerMethodField()
    width = serializers.IntegerField()
    height = serializers.IntegerField()
    name = serializers.CharField(source="original_name")
    source = serializers.CharField()

    def get_url(self, image: Any) -> str:
        return reverse("media", args=[self.context["project"].slug, image.sha256])

    def get_preview_url(self, image: Any) -> str:
        return f"{self.get_url(image)}?preview={PREVIEW_SIDE_PX}"
