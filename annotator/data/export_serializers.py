"""What the API takes to export."""

from rest_framework import serializers

from annotator.models import Image

from .exports import BOXES, FORMATS, MASKS


class Export(serializers.Serializer):
    """`masks` is COCO's choice, `boxes` SA-Co's. `snapshot`: its number; null: what is settled now.

    `include_unlooked`: pictures in which a concept is open, too; not for YOLO. `concepts`: these alone; empty: all.
    `to`: s3://bucket/prefix that the server's owner has opened; empty: a zip, the job's file.
    """

    format = serializers.ChoiceField(FORMATS, default="coco")
    splits = serializers.ListField(child=serializers.ChoiceField(Image.Split.choices), default=list, max_length=4)
    with_images = serializers.BooleanField(default=True)
    with_retired = serializers.BooleanField(default=False)
    masks = serializers.ChoiceField(MASKS, default="rle")
    boxes = serializers.ChoiceField(BOXES, default="norm")
    include_unlooked = serializers.BooleanField(default=False)
    snapshot = serializers.IntegerField(min_value=1, max_value=2**31 - 1, allow_null=True, default=None)
    concepts = serializers.ListField(child=serializers.CharField(max_length=80), default=list, max_length=500)
    to = serializers.CharField(allow_blank=True, default="", max_length=1000)
