"""What a retrain may be asked for, as the API's document shows it; the service refuses what is not in the table."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from toolbox.setting_kinds import Setting
from toolbox.training_settings import SETTABLE


class RunSettings(serializers.Serializer):
    """`snapshot`: its number; null or left out takes a fresh one. The rest are the trainer's settings."""

    snapshot = serializers.IntegerField(required=False, allow_null=True)

    def get_fields(self) -> dict[str, serializers.Field]:
        return super().get_fields() | {name: _field(setting) for name, setting in SETTABLE.items()}


def _field(setting: Setting) -> serializers.Field:
    told = setting.told
    shown: dict[str, Any] = {"required": False, "allow_null": setting.is_optional, "help_text": told.help}
    if told.choices:
        return serializers.ChoiceField(choices=told.choices, **shown)
    if setting.kind is bool:
        return serializers.BooleanField(**shown)
    number = serializers.IntegerField if setting.kind is int else serializers.FloatField
    return number(min_value=told.low, max_value=told.high, **shown)


@extend_schema_field(RunSettings)
class RunConfig(serializers.DictField):
    """Any object is taken here: a setting that there is not, or out of its range, is refused in the service's words."""
