"""What the API takes to retrain and promote, and what serves then."""

from typing import Any

from rest_framework import serializers

from .run_config import RunConfig


class Retrain(serializers.Serializer):
    """`config` overrides the trainer's defaults (seed, steps, …); `force`: even without new approved pairs."""

    config = RunConfig(default=dict)
    force = serializers.BooleanField(default=False)


class AskGate(serializers.Serializer):
    """Either `run`, whose version is to be judged again, or `version`, and whose (`snapshot`) holdout judges it."""

    run = serializers.IntegerField(min_value=1, required=False)
    version = serializers.CharField(max_length=64, required=False)
    snapshot = serializers.IntegerField(min_value=1, allow_null=True, default=None, help_text="Null: a fresh one")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("run" in attrs) == ("version" in attrs):
            raise serializers.ValidationError("Name either a run or a version.")
        return attrs


class Promote(serializers.Serializer):
    version = serializers.CharField(max_length=64)
    override_reason = serializers.CharField(allow_blank=True, default="", max_length=500)


class Serving(serializers.Serializer):
    # Made from the deployment.
    serving_version = serializers.CharField(source="version.name")
