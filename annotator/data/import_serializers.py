"""What the API takes to import."""

from rest_framework import serializers

from annotator.common.api.serializers import MAX_ID
from annotator.models import Image

from .box_drawing import BOXES
from .imports import KINDS


class Import(serializers.Serializer):
    """`place`: a folder of the server or s3://bucket/prefix that its owner has opened.

    What is vouched for: `complete`, that of each class outlined in a picture every object is; `exhaustive`, that
    besides what is not outlined is not there; `negative_of`, concepts that none of the pictures shows; `negatives`, the
    same for a folder or list of the source: {"not-chicken": ["chicken"], "negatives.csv": []}. `classes`: {class:
    concept, or "" for none of ours}. `boxes`, of objects without an outline: sketch, the box waits for a person; draw,
    a mask by the model does. `dry_run`: the job's report tells what would be written, and nothing is.
    """

    place = serializers.CharField(max_length=1000)
    kind = serializers.ChoiceField(KINDS, default="auto")
    split = serializers.ChoiceField(Image.Split.choices, allow_null=True, default=None)
    source = serializers.CharField(max_length=80, allow_blank=True, default="")
    complete = serializers.BooleanField(default=False)
    exhaustive = serializers.BooleanField(default=False)
    create_concepts = serializers.BooleanField(default=False)
    classes = serializers.DictField(child=serializers.CharField(allow_blank=True, max_length=80), default=dict)
    negative_of = serializers.ListField(child=serializers.CharField(max_length=80), default=list, max_length=500)
    negatives = serializers.DictField(
        child=serializers.ListField(child=serializers.CharField(max_length=80), max_length=500), default=dict
    )
    holdout_share = serializers.FloatField(min_value=0, max_value=0.9, default=0.0)
    boxes = serializers.ChoiceField(BOXES, default="sketch")
    dry_run = serializers.BooleanField(default=False)


class Boxes(serializers.Serializer):
    """`job`: the import whose boxes are meant; null: all boxes of the project that wait."""

    job = serializers.IntegerField(allow_null=True, default=None, min_value=0, max_value=MAX_ID)
