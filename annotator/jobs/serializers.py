"""A job as the API shows it, wherever one is started or looked at."""

from rest_framework import serializers


class Job(serializers.Serializer):
    """`run`: the number of the training run, where it is one's job."""

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
    project = serializers.CharField(source="project.slug")
    cancel_requested = serializers.BooleanField()
    run = serializers.IntegerField(source="training_run.number", allow_null=True)
