"""What people do with a version: write notes, fold it away and bring it back, look whether its weights are its own."""

from dataclasses import dataclass

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.utils import timezone

from annotator.common.audit import audit_record
from annotator.common.errors import ConflictError, RoostError
from annotator.models import ModelVersion, Project
from toolbox.weights_hash import folder_weights_hash

from .model_weights import model_folder, promised_hash

NOTES_LENGTH = 4000


@transaction.atomic
def version_note(*, project: Project, version: ModelVersion, user: AbstractBaseUser, notes: str) -> ModelVersion:
    _check_own(project, version)
    notes = notes.strip()
    if len(notes) > NOTES_LENGTH:
        raise RoostError(f"A version's notes have at most {NOTES_LENGTH} characters.", fields={"notes": ["Too long."]})
    if "\x00" in notes:
        raise RoostError("Notes are text.", fields={"notes": ["No text."]})
    if notes != version.notes:
        version.notes = notes
        version.save(update_fields=["notes"])
        audit_record(project=project, actor=user, action="version.note", subject=version.name)
    return version


@transaction.atomic
def version_archive(*, project: Project, version: ModelVersion, user: AbstractBaseUser, archived: bool) -> ModelVersion:
    """Fold it away in lists, or bring it back. Its weights stay where they are, and it can be asked for by name."""
    _check_own(project, version)
    if archived and version.serving_projects.exists():
        raise ConflictError(f"{version.name} serves: let another version serve first.", code="serves_already")
    if archived == (version.archived_at is not None):
        return version
    version.archived_at = timezone.now() if archived else None
    version.save(update_fields=["archived_at"])
    action = "version.archive" if archived else "version.unarchive"
    audit_record(project=project, actor=user, action=action, subject=version.name)
    return version


def _check_own(project: Project, version: ModelVersion) -> None:
    """A shipped version belongs to every project of the installation: one of them can't write on it."""
    if version.project_id != project.pk:
        raise RoostError(f"{version.name} is no version of this project: it stays as it is.", code="not_own_version")


@dataclass(frozen=True)
class WeightsCheck:
    """`promised` by row or manifest; empty where nobody wrote one down: then `found` is all that can be said."""

    found: str
    promised: str

    @property
    def is_sound(self) -> bool:
        return self.promised in ("", self.found)

    @property
    def words(self) -> str:
        if not self.promised:
            return f"No hash was written down for these weights; they have {self.found}."
        if self.is_sound:
            return f"The weights are what was written down: {self.found}."
        return f"The weights are not what was written down: they have {self.found}, not {self.promised}."


def version_check(*, version: ModelVersion) -> WeightsCheck:
    """Read the weights and hash them: seconds for a large model. RoostError where they are not here or are cut off."""
    folder = model_folder(version)
    try:
        found = folder_weights_hash(folder)
    except (OSError, ValueError) as error:
        raise RoostError(f"The weights of {version.name} can't be read: {error}", code="damaged_weights") from error
    return WeightsCheck(found, version.weights_hash or promised_hash(folder))
