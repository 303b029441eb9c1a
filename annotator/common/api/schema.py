"""What the API's answers look like, for its OpenAPI document (the rows are made in payloads.py)."""

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import serializers

from .serializers import Instance, Pin, WireMask


class TokenScheme(OpenApiAuthenticationExtension):
    """How scripts sign in, for the document and its «Authorize» button."""

    target_class = "annotator.common.api.authentication.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        words = "`Token <token>`, made on the account page or with `manage.py`"
        return {"type": "apiKey", "in": "header", "name": "Authorization", "description": words}


class ErrorBody(serializers.Serializer):
    code = serializers.CharField()
    message = serializers.CharField()
    fields = serializers.DictField(required=False)


class Error(serializers.Serializer):
    error = ErrorBody()


class Image(serializers.Serializer):
    sha256 = serializers.CharField()
    url = serializers.CharField()
    preview_url = serializers.CharField()
    width = serializers.IntegerField()
    height = serializers.IntegerField()
    name = serializers.CharField()
    source = serializers.CharField()


class Concept(serializers.Serializer):
    id = serializers.IntegerField()
    number = serializers.IntegerField()
    name = serializers.CharField()
    colour = serializers.CharField()


class WholeConcept(Concept):
    synonyms = serializers.ListField(child=serializers.CharField())
    category_id = serializers.IntegerField()
    retired_at = serializers.DateTimeField(allow_null=True)
    merged_into = serializers.IntegerField(allow_null=True)


class MergePlan(serializers.Serializer):
    moved = serializers.IntegerField()
    together = serializers.IntegerField()
    conflicts = serializers.IntegerField()
    queued = serializers.IntegerField()
    in_hand = serializers.IntegerField()


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
    model_version = serializers.CharField(allow_null=True)
    presence = serializers.FloatField()
    taught = serializers.BooleanField(allow_null=True)
    instances = Proposed(many=True)


class StoredDraft(serializers.Serializer):
    version = serializers.IntegerField()
    payload = serializers.DictField()


class Returned(serializers.Serializer):
    comment = serializers.CharField()
    pin = Pin(allow_null=True)
    reviewer = serializers.CharField(allow_null=True)
    annotation = serializers.IntegerField()


class Answer(serializers.Serializer):
    id = serializers.IntegerField()


class Place(serializers.Serializer):
    waiting = serializers.IntegerField()
    position = serializers.IntegerField()


class Companion(serializers.Serializer):
    """What is a task's own: its image and project are those of the task that it came with."""

    id = serializers.IntegerField()
    state = serializers.CharField()
    attempt = serializers.IntegerField()
    lease_until = serializers.DateTimeField(allow_null=True)
    concept = Concept()
    reasons = Reason(many=True)
    lane = serializers.CharField()
    round = serializers.IntegerField()
    proposal = Proposal(allow_null=True)
    draft = StoredDraft(allow_null=True)
    returned = Returned(allow_null=True)
    annotation = Answer(allow_null=True)


class Task(Companion):
    project = serializers.CharField()
    image = Image()
    queue = Place()
    serving_version = serializers.CharField()
    companions = Companion(many=True)


class WholeAnswer(Answer):
    verdict = serializers.CharField()
    instances = Instance(many=True)
    rejected_proposals = serializers.ListField(child=serializers.IntegerField())
    author = serializers.CharField()
    revision = serializers.IntegerField()
    active_seconds = serializers.FloatField()
    submitted_at = serializers.DateTimeField()


class Difference(serializers.Serializer):
    iou = serializers.FloatField()
    added_px = serializers.IntegerField()
    removed_px = serializers.IntegerField()


class AnnotatedTask(Task):
    annotation = WholeAnswer()
    difference = Difference(allow_null=True)


class WaitingReview(serializers.Serializer):
    id = serializers.IntegerField()
    task = serializers.IntegerField()
    author = serializers.CharField()
    is_own = serializers.BooleanField()
    barred = serializers.CharField(allow_null=True)
    verdict = serializers.CharField()
    submitted_at = serializers.DateTimeField()
    concept = serializers.CharField()
    image = Image()
    reasons = Reason(many=True)


class Job(serializers.Serializer):
    id = serializers.IntegerField()
    kind = serializers.CharField()
    state = serializers.CharField()
    progress = serializers.FloatField()
    message = serializers.CharField()
    eta_seconds = serializers.FloatField(allow_null=True)
    report = serializers.DictField()
    reason = serializers.CharField()
    attempt = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    project = serializers.CharField()
    cancel_requested = serializers.BooleanField()
    run = serializers.IntegerField(allow_null=True)


class Station(serializers.Serializer):
    key = serializers.CharField()
    label = serializers.CharField()
    count = serializers.CharField(allow_null=True)


class Progress(serializers.Serializer):
    settled = serializers.IntegerField()


class ProjectRow(serializers.Serializer):
    slug = serializers.CharField()
    name = serializers.CharField()
    role = serializers.CharField()
    is_demo = serializers.BooleanField()
    serving_version = serializers.CharField()


class Project(ProjectRow):
    concepts = Concept(many=True)
    thresholds = serializers.DictField(child=serializers.FloatField())
    review_policy = serializers.CharField()
    stations = Station(many=True)
    pairs = serializers.DictField(child=serializers.IntegerField())
    tasks = serializers.DictField(child=serializers.IntegerField())


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


class Found(serializers.Serializer):
    """What was found with exemplars; best first."""

    model_version = serializers.CharField()
    presence = serializers.FloatField()
    instances = Proposed(many=True)


class MaskAnswer(serializers.Serializer):
    model_version = serializers.CharField()
    image = serializers.CharField()
    mask = WireMask()
    mask_id = serializers.CharField()
    threshold = serializers.FloatField()
    stages_ms = serializers.DictField(child=serializers.FloatField())


class Lease(serializers.Serializer):
    lease_until = serializers.DateTimeField()


class Feedback(serializers.Serializer):
    verdict_right = serializers.BooleanField()
    iou = serializers.FloatField()
    words = serializers.CharField()


class Stored(serializers.Serializer):
    annotation = serializers.IntegerField()
    state = serializers.CharField()
    feedback = Feedback(required=False)


class Outcome(serializers.Serializer):
    """`code` and `message` say why it was skipped; empty when it was approved."""

    annotation = serializers.IntegerField()
    approved = serializers.BooleanField()
    code = serializers.CharField(allow_blank=True)
    message = serializers.CharField(allow_blank=True)


class Approved(serializers.Serializer):
    results = Outcome(many=True)


class Reviewed(serializers.Serializer):
    review = serializers.IntegerField()
    state = serializers.CharField()


class State(serializers.Serializer):
    state = serializers.CharField()


class DraftVersion(serializers.Serializer):
    version = serializers.IntegerField()


class Queued(serializers.Serializer):
    queued = serializers.IntegerField()


class Serving(serializers.Serializer):
    serving_version = serializers.CharField()
