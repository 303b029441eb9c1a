"""What people call a snapshot: a name, notes, and a tag that is a git tag of the data repository as well."""

import re
from dataclasses import asdict, dataclass

from django.contrib.auth.models import AbstractBaseUser
from django.db import IntegrityError, transaction

from annotator.common.audit import audit_record
from annotator.common.errors import ConflictError, RoostError
from annotator.models import Project, Snapshot

from .data_repository import DataRepository

NAME_LENGTH, TAG_LENGTH, NOTES_LENGTH = 80, 80, 4000
# What publishing calls a snapshot without a tag.
AUTOMATIC = re.compile(r"snapshot-\d+")
# git's rules for the name of a ref, in the order in which they are told.
FLAWS = (
    (r"[\x00-\x20\x7f~^:?*\[\\]", "it holds a space, a control character or one of ~ ^ : ? * [ \\"),
    (r"[^\x20-\x7e]", "it holds a character beyond ASCII, which not every file system writes the same way"),
    (r"^-", "it begins with a dash"),
    (r"^/|/$|//", "it begins or ends with a slash, or has two in a row"),
    (r"(^|/)\.", "a part of it begins with a dot"),
    (r"\.\.|@\{", "it holds .. or @{"),
    (r"\.$", "it ends with a dot"),
    (r"\.lock(/|$)", "a part of it ends with .lock"),
    (r"^@$", "@ alone is git's own word"),
)


@dataclass(frozen=True)
class Words:
    """None leaves what is there; an empty text takes it away."""

    name: str | None = None
    notes: str | None = None
    tag: str | None = None

    def given(self) -> dict[str, str]:
        return {key: text for key, text in asdict(self).items() if text is not None}


def snapshot_describe(
    *,
    snapshot: Snapshot,
    user: AbstractBaseUser | None,
    name: str | None = None,
    notes: str | None = None,
    tag: str | None = None,
) -> Snapshot:
    """Set what is given. RoostError for a tag that git would not take, ConflictError for one that is taken."""
    words = words_checked(project=snapshot.project, words=Words(name, notes, tag), snapshot=snapshot)
    changed = {key: text for key, text in words.given().items() if text != getattr(snapshot, key)}
    if not changed:
        return snapshot
    for key, text in changed.items():
        setattr(snapshot, key, text)
    try:
        with transaction.atomic():
            snapshot.save(update_fields=list(changed))
            details = {key: text for key, text in changed.items() if key != "notes"}
            audit_record(
                project=snapshot.project, actor=user, action="snapshot.name", subject=snapshot.number, **details
            )
    except IntegrityError as error:
        raise _taken(snapshot.project, str(tag)) from error
    return snapshot


def words_of(snapshot: Snapshot) -> dict[str, str]:
    return {"name": snapshot.name, "tag": snapshot.tag, "notes": snapshot.notes}


def changes_told(*, snapshot: Snapshot, before: dict[str, str]) -> str:
    """A sentence; what is gone is repeated, so that who emptied a field by mistake can write it back."""
    told = []
    for key, text in words_of(snapshot).items():
        if text and text != before[key]:
            told.append(f"{key} set")
        elif before[key] and not text:
            told.append(f"{key} taken away, which was «{before[key]}»")
    return f"Snapshot {snapshot.number}: {'; '.join(told) or 'nothing to change'}."


def words_checked(*, project: Project, words: Words, snapshot: Snapshot | None = None) -> Words:
    """The words as they are stored; `snapshot`: the one that they are for, if it is there already."""
    checked = Words(**{key: text.strip() for key, text in words.given().items()})
    for key, limit in (("name", NAME_LENGTH), ("notes", NOTES_LENGTH)):
        if len(getattr(checked, key) or "") > limit:
            raise RoostError(f"A snapshot's {key} has at most {limit} characters.", fields={key: ["Too long."]})
    if checked.name and not checked.name.isprintable():
        raise RoostError("A snapshot's name is one line of text.", fields={"name": ["One line."]})
    if "\x00" in (checked.notes or ""):
        raise RoostError("Notes are text.", fields={"notes": ["No text."]})
    if checked.tag is not None and (snapshot is None or checked.tag != snapshot.tag):
        _check_tag(project, checked.tag, snapshot)
    return checked


def _check_tag(project: Project, tag: str, snapshot: Snapshot | None) -> None:
    if snapshot is not None and snapshot.tag and DataRepository(project).commit_of(snapshot.tag):
        words = f"Snapshot {snapshot.number} is published under the tag {snapshot.tag}, which others may have checked "
        raise ConflictError(f"{words}out: a published tag stays as it is.", code="tag_published")
    if not tag:
        return
    if flaw := tag_flaw(tag):
        words = f"{tag!r} can't be a tag: {flaw}. Write it like v1.0-baseline."
        raise RoostError(words, fields={"tag": ["No name for a git tag."]})
    others = project.snapshots.exclude(pk=snapshot.pk if snapshot else None).exclude(tag="")
    taken = set(others.values_list("tag", flat=True))
    if tag in taken:
        raise _taken(project, tag)
    for other in taken:
        if other.startswith(f"{tag}/") or tag.startswith(f"{other}/"):
            words = f"{tag!r} and the tag {other!r} can't both be: for git one would be a folder of the other."
            raise ConflictError(words, code="tag_taken", fields={"tag": ["Taken."]})


def tag_flaw(tag: str) -> str:
    """Why git, or we, would not take this as a tag; empty when nothing speaks against it."""
    if len(tag) > TAG_LENGTH:
        return f"it has more than {TAG_LENGTH} characters"
    if AUTOMATIC.fullmatch(tag):
        return "snapshot-<number> is what a snapshot without a tag is published as"
    return next((words for pattern, words in FLAWS if re.search(pattern, tag)), "")


def _taken(project: Project, tag: str) -> ConflictError:
    other = project.snapshots.filter(tag=tag).first()
    whose = f"snapshot {other.number}" if other else "another snapshot"
    return ConflictError(
        f"The tag {tag!r} is taken by {whose}.", code="tag_taken", fields={"tag": ["Taken in this project."]}
    )
