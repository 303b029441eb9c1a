"""What the API takes about images and how it shows them."""

from rest_framework import serializers

from annotator.common.api.serializers import MAX_ID
from annotator.common.api.serializers import Image as PlainImage
from annotator.models import BulkAction, Image, Pair
from annotator.queue.selectors import reasons_shown

from .bulk_actions import MOST_NAMED
from .image_filter import DISAGREEMENTS, NAME_LENGTH, ORIGINS, STATES, TRUTHS


def _choice(choices: list[tuple[str, str]]) -> serializers.ChoiceField:
    return serializers.ChoiceField(choices=choices, required=False, allow_blank=True, default="")


def _id() -> serializers.IntegerField:
    return serializers.IntegerField(min_value=0, max_value=MAX_ID, required=False, allow_null=True, default=None)


def _fraction() -> serializers.FloatField:
    return serializers.FloatField(min_value=0, max_value=1, required=False, allow_null=True, default=None)


class ImagesWanted(serializers.Serializer):
    """All optional and all at once; `concept`, `truth`, `origin`, `state`, `reason`, presence, `person` and
    `disagreement` are said of one (image, concept) pair. `person` and `disagreement` are the reviewers'."""

    split = _choice(list(Image.Split.choices))
    source = serializers.CharField(max_length=80, required=False, allow_blank=True, default="")
    concept = _id()
    truth = _choice(TRUTHS)
    origin = _choice(ORIGINS)
    state = _choice(STATES)
    reason = _choice(list(reasons_shown().items()))
    presence_low = _fraction()
    presence_high = _fraction()
    person = _id()
    disagreement = _choice(DISAGREEMENTS)
    name = serializers.CharField(max_length=NAME_LENGTH, required=False, allow_blank=True, default="")
    added_from = serializers.DateField(required=False, allow_null=True, default=None)
    added_to = serializers.DateField(required=False, allow_null=True, default=None)
    job = _id()


class ImagesAsked(ImagesWanted):
    before = _id()


class KnownPair(serializers.Serializer):
    """Truth as the caller may know it."""

    concept = serializers.CharField(source="concept.name")
    truth = serializers.ChoiceField(choices=Pair.Truth.choices)
    is_exhaustive = serializers.BooleanField()


class FoundImage(PlainImage):
    split = serializers.CharField()
    added_at = serializers.DateTimeField()
    pairs = KnownPair(source="known", many=True)


class ImagesFound(serializers.Serializer):
    """`ended_early`: looking further would take too long; go on from `more`."""

    images = FoundImage(many=True)
    more = serializers.IntegerField(allow_null=True)
    ended_early = serializers.BooleanField()


class Act(serializers.Serializer):
    """`images` by SHA-256, or `filter` for all that it finds. `seen_at`: what somebody did since then is left alone."""

    do = serializers.ChoiceField(choices=BulkAction.Kind.choices)
    images = serializers.ListField(
        child=serializers.CharField(max_length=64), default=list, max_length=MOST_NAMED, allow_empty=True
    )
    filter = ImagesWanted(required=False, allow_null=True, default=None)
    concept = _id()
    split = _choice(list(Image.Split.choices))
    seen_at = serializers.DateTimeField(required=False, allow_null=True, default=None)


class LeftAlone(serializers.Serializer):
    why = serializers.CharField()
    count = serializers.IntegerField()


class Change(serializers.Serializer):
    id = serializers.IntegerField()
    kind = serializers.CharField()
    done = serializers.IntegerField()
    skipped = LeftAlone(many=True)


class Undone(serializers.Serializer):
    undone = serializers.IntegerField()
    left = serializers.IntegerField()
