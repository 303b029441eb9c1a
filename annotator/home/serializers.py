"""Projects as the API shows them. Context: the `user` who asks and, for a whole project, its `counts`."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from annotator.common.access import role_of
from annotator.common.active import concepts_active
from annotator.common.api.serializers import Concept

from .overview import loop_stations


@extend_schema_field({"oneOf": [{"type": "integer"}, {"type": "string"}], "nullable": True})
class StationCount(serializers.ReadOnlyField):
    """A number or a version's name; null where there is nothing to count yet."""


class Station(serializers.Serializer):
    key = serializers.CharField()
    label = serializers.CharField()
    count = StationCount()


class Thresholds(serializers.Serializer):
    presence_low = serializers.FloatField()
    presence_high = serializers.FloatField()
    stability_below = serializers.FloatField()
    audit_share = serializers.FloatField()
    mine_batch = serializers.IntegerField()


class PairCounts(serializers.Serializer):
    unseen = serializers.IntegerField()
    present = serializers.IntegerField()
    absent = serializers.IntegerField()

    def get_attribute(self, instance: Any) -> Any:
        return self.context["counts"]


class TaskCounts(serializers.Serializer):
    queued = serializers.IntegerField()
    claimed = serializers.IntegerField()
    submitted = serializers.IntegerField()

    def get_attribute(self, instance: Any) -> Any:
        return self.context["counts"]


class NewProject(serializers.Serializer):
    """`concepts`: what to look for, noun phrases; more can be added later."""

    name = serializers.CharField(max_length=80)
    concepts = serializers.ListField(child=serializers.CharField(max_length=80), allow_empty=False, max_length=500)


class ProjectRow(serializers.Serializer):
    slug = serializers.CharField()
    name = serializers.CharField()
    role = serializers.SerializerMethodField()
    is_demo = serializers.BooleanField()
    serving_version = serializers.CharField(source="serving_version.name")

    def get_role(self, project: Any) -> str | None:
        return role_of(user=self.context["user"], project=project)


class Project(ProjectRow):
    concepts = serializers.SerializerMethodField()
    thresholds = Thresholds(source="*")
    review_policy = serializers.CharField()
    stations = serializers.SerializerMethodField()
    pairs = PairCounts()
    tasks = TaskCounts()

    @extend_schema_field(Concept(many=True))
    def get_concepts(self, project: Any) -> list:
        return Concept(concepts_active(project=project), many=True).data

    @extend_schema_field(Station(many=True))
    def get_stations(self, project: Any) -> list:
        return Station(loop_stations(project=project, counts=self.context["counts"]), many=True).data
