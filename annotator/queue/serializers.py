"""What the API takes at the desk and how it shows a task there. Masks go in and out cropped.

A task is shown as one person sees it: its context holds the `user` and, for the image, the `project`.
"""

from typing import Any

from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema_field
from rest_framework import serializers

from annotator.common.api.serializers import MAX_ID, Concept, Image
from annotator.common.instances import ORIGINS
from annotator.common.masks import rle_to_wire
from annotator.models import Task as TaskRow
from annotator.models.annotations import Verdict

from .selectors import (
    begun_with,
    companions_of,
    draft_of,
    last_annotation,
    prediction_of,
    proposals_of,
    proposed_instances,
    queue_place,
    reason_shown,
    sent_back_review,
)


class WireMask(serializers.Serializer):
    """A cropped mask (docs/contracts.md): the database's are cropped as they go out, the ML backend's come so."""

    size = serializers.ListField(child=serializers.IntegerField())
    crop_xywh = serializers.ListField(child=serializers.IntegerField())
    counts = serializers.CharField(allow_blank=True)

    def to_representation(self, instance: Any) -> Any:
        return instance if "crop_xywh" in instance else rle_to_wire(instance)


class Point(serializers.Serializer):
    """Image pixels; 1 is on the object, 0 is not."""

    x = serializers.FloatField()
    y = serializers.FloatField()
    label = serializers.ChoiceField(choices=[(1, "adds"), (0, "subtracts")])


class Pin(serializers.Serializer):
    x = serializers.FloatField()
    y = serializers.FloatField()


class BoxPrompt(serializers.Serializer):
    box = serializers.ListField(child=serializers.FloatField(), min_length=4, max_length=4)


PROMPTS = PolymorphicProxySerializer("Prompt", [Point, BoxPrompt], resource_type_field_name=None)


@extend_schema_field(PROMPTS)
class Prompt(serializers.DictField):
    """A point or a box."""


class Instance(serializers.Serializer):
    """One object: its prompts in the order given; the boxes of an `exemplar` are those that the model was shown."""

    mask = WireMask()
    origin = serializers.ChoiceField(choices=ORIGINS)
    prompts = serializers.ListField(child=Prompt())
    model_version = serializers.CharField(allow_null=True)
    score = serializers.FloatField(allow_null=True)
    edited = serializers.BooleanField()


@extend_schema_field(Instance(many=True))
class SentInstances(serializers.ListField):
    """Checked one by one in common/instances.py, which names the instance that is wrong."""

    child = serializers.DictField()


class Reason(serializers.Serializer):
    kind = serializers.CharField()
    value = serializers.FloatField()
    words = serializers.CharField()


class Proposed(serializers.Serializer):
    score = serializers.FloatField()
    stability = serializers.FloatField()
    box = serializers.ListField(child=serializers.FloatField())
    mask = WireMask()


class Proposal(serializers.Serializer):
    """What the model would draw, best first; or, without a `model_version` and with presence 1, what is outlined
    already in a pair that is to be completed. `taught`: whether training taught it this concept; null: not known."""

    model_version = serializers.CharField(allow_null=True)
    presence = serializers.FloatField()
    taught = serializers.BooleanField(allow_null=True)
    instances = Proposed(many=True)

    def get_attribute(self, instance: Any) -> dict[str, Any] | None:
        if instance.lane == TaskRow.Reason.INCOMPLETE:
            shown = proposals_of(instance)
            return {"model_version": None, "presence": 1.0, "taught": None, "instances": shown}
        prediction = prediction_of(instance)
        if prediction is None:
            return None
        version = instance.model_version.name if instance.model_version else None
        presence, taught = prediction.presence, prediction.taught
        shown = proposed_instances(prediction)
        return {"model_version": version, "presence": presence, "taught": taught, "instances": shown}


class StoredDraft(serializers.Serializer):
    version = serializers.IntegerField()
    payload = serializers.DictField()

    def get_attribute(self, instance: Any) -> Any:
        return draft_of(task=instance, user=self.context["user"])


class Returned(serializers.Serializer):
    """Why a reviewer sent it back; `annotation`: the answer that was sent back."""

    comment = serializers.CharField()
    pin = Pin(allow_null=True)
    reviewer = serializers.CharField(source="reviewer.get_username", allow_null=True)
    annotation = serializers.IntegerField(source="annotation_id")

    def get_attribute(self, instance: Any) -> Any:
        return sent_back_review(instance.newest_answer)


class Answer(serializers.Serializer):
    id = serializers.IntegerField()


class Place(serializers.Serializer):
    """`waiting`: tasks that nobody has taken; `position`: this one, counted from the first of its round."""

    waiting = serializers.IntegerField()
    position = serializers.IntegerField()

    def get_attribute(self, instance: Any) -> Any:
        return queue_place(instance)


class KnownInstances(serializers.ListField):
    """What is known of a pair that is not settled, or not wholly, to begin with: an import's boxes and outlines."""

    child = Instance()

    def get_attribute(self, instance: Any) -> list[dict]:
        return begun_with(instance)


class Companion(serializers.Serializer):
    """What is a task's own: its image and project are those of the task that it came with."""

    id = serializers.IntegerField()
    state = serializers.CharField()
    attempt = serializers.IntegerField()
    lease_until = serializers.DateTimeField(allow_null=True)
    concept = Concept(source="pair.concept")
    reasons = Reason(many=True)
    lane = serializers.SerializerMethodField()
    round = serializers.IntegerField()
    proposal = Proposal(allow_null=True)
    draft = StoredDraft(allow_null=True)
    begin_with = KnownInstances()
    returned = Returned(allow_null=True)
    annotation = Answer(source="newest_answer", allow_null=True)

    def to_representation(self, instance: Any) -> dict[str, Any]:
        instance.newest_answer = last_annotation(instance)  # asked for once, shown in two fields
        return super().to_representation(instance)

    def get_lane(self, task: Any) -> str:
        return reason_shown(task)


class Task(Companion):
    """`companions`: what the caller holds of the same image in one pass, each with an id and an attempt of its own."""

    project = serializers.CharField(source="project.slug")
    image = Image(source="pair.image")
    queue = Place()
    serving_version = serializers.CharField(source="project.serving_version.name")
    companions = serializers.SerializerMethodField()

    @extend_schema_field(Companion(many=True))
    def get_companions(self, task: Any) -> list:
        held = companions_of(task=task, user=self.context["user"])
        return Companion(held, many=True, context=self.context).data


class Candidate(serializers.Serializer):
    mask = WireMask()
    score = serializers.FloatField()
    mask_id = serializers.CharField()


class ClickAnswer(serializers.Serializer):
    """C of docs/contracts.md, as the ML backend gave it."""

    model_version = serializers.CharField()
    image = serializers.CharField()
    mask = WireMask()
    score = serializers.FloatField()
    mask_id = serializers.CharField()
    candidates = Candidate(many=True)
    embedding = serializers.CharField()
    stages_ms = serializers.DictField(child=serializers.FloatField())


class MaskAnswer(serializers.Serializer):
    model_version = serializers.CharField()
    image = serializers.CharField()
    mask = WireMask()
    mask_id = serializers.CharField()
    threshold = serializers.FloatField()
    stages_ms = serializers.DictField(child=serializers.FloatField())


class Found(serializers.Serializer):
    """What was found with exemplars; best first."""

    # Context: the `version` that was asked.

    model_version = serializers.SerializerMethodField()
    presence = serializers.FloatField()
    instances = Proposed(many=True)

    def get_model_version(self, found: Any) -> str:
        return self.context["version"]


class Lease(serializers.Serializer):
    lease_until = serializers.DateTimeField()


class Feedback(serializers.Serializer):
    verdict_right = serializers.BooleanField()
    iou = serializers.FloatField()
    words = serializers.CharField()


class Stored(serializers.Serializer):
    """`feedback`: where the answer was known before and the project allows to say so."""

    annotation = serializers.IntegerField()
    state = serializers.CharField()
    feedback = Feedback(required=False)


class State(serializers.Serializer):
    state = serializers.CharField()


class DraftVersion(serializers.Serializer):
    version = serializers.IntegerField()


class Progress(serializers.Serializer):
    settled = serializers.IntegerField()


class Queued(serializers.Serializer):
    queued = serializers.IntegerField()


class Claim(serializers.Serializer):
    after = serializers.IntegerField(allow_null=True, default=None, min_value=0, max_value=MAX_ID)


class Since(serializers.Serializer):
    since = serializers.DateTimeField()


class Attempt(serializers.Serializer):
    attempt = serializers.IntegerField(min_value=0, max_value=2**31 - 1)


class Skip(Attempt):
    reason = serializers.CharField(allow_blank=True, default="", max_length=300)


class Reassign(serializers.Serializer):
    member = serializers.CharField(max_length=150)


class Click(serializers.Serializer):
    points = serializers.ListField(child=Point(), max_length=64, default=list)
    box = serializers.ListField(
        child=serializers.FloatField(), min_length=4, max_length=4, allow_null=True, default=None
    )
    earlier_mask_id = serializers.CharField(allow_null=True, default=None, max_length=200)
    sequence = serializers.IntegerField(min_value=0, max_value=MAX_ID, default=0)
    preview = serializers.BooleanField(default=False)


class Exemplar(serializers.Serializer):
    box = serializers.ListField(child=serializers.FloatField(), min_length=4, max_length=4)
    label = serializers.ChoiceField(choices=[(1, "like this"), (0, "not like this")], default=1)


class Similar(serializers.Serializer):
    exemplars = serializers.ListField(child=Exemplar(), min_length=1, max_length=16)


class MaskAt(serializers.Serializer):
    """`threshold`: the logit from which a pixel counts; 0 is the model's own border."""

    mask_id = serializers.CharField(max_length=200)
    threshold = serializers.FloatField(min_value=-8, max_value=8)


class Draft(serializers.Serializer):
    version = serializers.IntegerField(min_value=0, max_value=2**31 - 1)
    payload = serializers.DictField()


class Submission(Attempt):
    """`concept`: the name that the desk showed, so that a task that asks for another by now is refused."""

    concept = serializers.CharField(allow_null=True, default=None, max_length=80)
    client_uuid = serializers.UUIDField()
    verdict = serializers.ChoiceField(choices=Verdict.choices)
    instances = SentInstances(allow_empty=True)
    rejected_proposals = serializers.ListField(
        child=serializers.IntegerField(min_value=0, max_value=1000), default=list, max_length=1000
    )
    active_seconds = serializers.FloatField(min_value=0, max_value=24 * 3600, default=0.0)


class Mine(serializers.Serializer):
    settled = serializers.BooleanField(default=False)
    challenger = serializers.BooleanField(default=False)


class Count(serializers.Serializer):
    count = serializers.IntegerField(min_value=1, max_value=1000, default=50)
