"""Where a snapshot's files lie, and which snapshot a number means."""

from pathlib import Path

from django.conf import settings

from annotator.common.errors import RoostError
from annotator.models import Project, Snapshot


def snapshot_folder(snapshot: Snapshot) -> Path:
    """Its project's own: equal content may come from elsewhere there. The oldest snapshots lie beside the projects."""
    own = own_folder(snapshot.project, snapshot.content_hash)
    older = settings.SNAPSHOTS_DIR / snapshot.content_hash
    return older if older.is_dir() and not own.is_dir() else own


def snapshot_numbered(*, project: Project, number: int) -> Snapshot:
    """RoostError with 404 when the project has none of that number."""
    snapshot = project.snapshots.select_related("project", "created_by").filter(number=number).first()
    if snapshot is None:
        raise RoostError(f"This project has no snapshot {number}.", code="unknown_snapshot", http_status=404)
    return snapshot


def own_folder(project: Project, content_hash: str) -> Path:
    return settings.SNAPSHOTS_DIR / project.slug / content_hash
