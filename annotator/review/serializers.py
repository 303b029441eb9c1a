"""Answers as a reviewer sees them and what a reviewer decides. Context: the `user` and the `project`."""

from typing import Any

from rest_framework import serializers

from annotator.common.api.serializers import MAX_ID, Image
from annotator.models import Review
from annotator.models.annotations import Verdict
from annotator.queue.selectors import proposals_of
from annotator.queue.serializers import Answer, Instance, Pin, Reason, SentInstances, Task

from .selectors import masks_difference, why_barred


class WaitingReview(serializers.Serializer):
    """`barred`: why the caller may not decide on it, null if they may."""

    id = serializers.IntegerField()
    task = serializers.IntegerField(source="task_id")
    author = serializers.CharField(source="author.get_username")
    is_own = serializers.SerializerMethodField()
    barred = serializers.SerializerMethodField()
    verdict = serializers.CharField()
    submitted_at = serializers.DateTimeField(source="created_at")
    concept = serializers.CharField(source="pair.concept.name")
    image = Image(source="pair.image")
    reasons = Reason(source="task.reasons", many=True)

    def get_is_own(self, answer: Any) -> bool:
        return answer.author_id == self.context["user"].pk and not self.context["project"].self_review_allowed

    def get_barred(self, answer: Any) -> str | None:
        return why_barred(answer=answer, user=self.context["user"], project=self.context["project"])


class WholeAnswer(Answer):
    """`frame_of`: the settled answer that was taken over for this near-identical frame; null: given for itself."""

    verdict = serializers.CharField()
    instances = Instance(many=True)
    rejected_proposals = serializers.ListField(child=serializers.IntegerField())
    author = serializers.CharField(source="author.get_username")
    revision = serializers.IntegerField()
    active_seconds = serializers.FloatField()
    submitted_at = serializers.DateTimeField(source="created_at")
    frame_of = serializers.IntegerField(source="frame_of_id", allow_null=True)

    def get_attribute(self, instance: Any) -> Any:
        return self.context["answer"]


class Difference(serializers.Serializer):
    """All proposed pixels against all answered ones."""

    iou = serializers.FloatField()
    added_px = serializers.IntegerField()
    removed_px = serializers.IntegerField()

    def get_attribute(self, instance: Any) -> Any:
        proposed = [one["mask"] for one in proposals_of(instance)]
        answered = [one["mask"] for one in self.context["answer"].instances]
        return masks_difference(before=proposed, after=answered)


class AnnotatedTask(Task):
    """A task with the answer in it, and how far that is from the proposal."""

    # Made from the answer's task, with the `answer` as context.

    annotation = WholeAnswer()
    difference = Difference(allow_null=True)


class Approval(serializers.Serializer):
    annotations = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=MAX_ID), min_length=1, max_length=200
    )


class Outcome(serializers.Serializer):
    """`code` and `message` say why it was skipped; empty when it was approved."""

    annotation = serializers.IntegerField()
    approved = serializers.BooleanField()
    code = serializers.CharField(allow_blank=True)
    message = serializers.CharField(allow_blank=True)


class Approved(serializers.Serializer):
    results = Outcome(many=True)


class ReviewDecision(serializers.Serializer):
    decision = serializers.ChoiceField(choices=Review.Decision.choices)
    comment = serializers.CharField(allow_blank=True, default="", max_length=2000)
    pin = Pin(allow_null=True, default=None)
    verdict = serializers.ChoiceField(choices=Verdict.choices, allow_null=True, default=None)
    instances = SentInstances(allow_null=True, default=None)


class Reviewed(serializers.Serializer):
    review = serializers.IntegerField()
    state = serializers.CharField()
