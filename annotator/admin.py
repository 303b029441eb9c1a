"""Django's admin for superusers: looking things up and repairing accounts. Everything else belongs to the services."""

from typing import Any

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest

from annotator import models


class ReadOnlyAdmin(admin.ModelAdmin):
    """Rows are looked at here, never changed: their rules live in the services, which the admin would go around."""

    show_full_result_count = False
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


def _register(model: type[Model], *columns: str, search: tuple[str, ...] = (), filters: tuple[str, ...] = ()) -> None:
    related = [name for name in columns if name in {field.name for field in model._meta.fields if field.is_relation}]
    options: dict[str, Any] = {
        "list_display": ("id", *columns),
        "search_fields": search,
        "list_filter": filters,
        "list_select_related": related,
        "ordering": ("-id",),
    }
    admin.site.register(model, type(f"{model.__name__}Admin", (ReadOnlyAdmin,), options))


_register(models.Project, "name", "slug", "serving_version", "created_at", search=("name", "slug"))
_register(models.Concept, "name", "project", "category_id", search=("name",))
_register(models.Membership, "user", "project", "role", filters=("role",))
_register(models.Image, "original_name", "project", "split", "source", search=("sha256",), filters=("split",))
_register(models.Task, "project", "state", "lane", "holder", "attempt", "lease_until", filters=("state", "lane"))
_register(models.Annotation, "task", "author", "revision", "verdict", "created_at", filters=("verdict",))
_register(models.Review, "annotation", "reviewer", "decision", "created_at", filters=("decision",))
_register(models.Snapshot, "project", "number", "content_hash", "created_at")
_register(models.ModelVersion, "name", "project", "stage", "parent", "created_at", search=("name",))
_register(models.TrainingRun, "project", "number", "snapshot", "base_version", "version")
_register(models.GateDecision, "project", "run", "decision", "champion", "challenger", "created_at")
_register(models.Evaluation, "project", "version", "snapshot", "split", "gate", "created_at", filters=("split",))
_register(models.Deployment, "project", "version", "action", "by", "at", filters=("action",))
_register(models.Job, "project", "kind", "state", "attempt", "created_at", "finished_at", filters=("kind", "state"))
_register(models.AuditEvent, "at", "actor", "action", "subject", "project", search=("action", "subject"))
