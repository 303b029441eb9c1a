"""What the API takes to retrain and promote, and what serves then."""

from rest_framework import serializers

from .run_config import RunConfig


class Retrain(serializers.Serializer):
    """`config` overrides the trainer's defaults (seed, steps, …); `force`: even without new approved pairs."""

    config = RunConfig(default=dict)
    force = serializers.BooleanField(default=False)


class AskGate(serializers.Serializer):
    """`run`: the number of the training run whose version is to be judged again."""

    run = serializers.IntegerField(min_value=1)


class Promote(serializers.Serializer):
    version = serializers.CharField(max_length=64)
    override_reason = serializers.CharField(allow_blank=True, default="", max_length=500)


class Serving(serializers.Serializer):
    # Made from the deployment.
    serving_version = serializers.CharField(source="version.name")
