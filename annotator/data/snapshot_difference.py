"""What changed between two snapshots: both lists of pairs are read once, side by side, in their common order."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from annotator.common.errors import RoostError
from annotator.models import Project, Snapshot

from .snapshot_folders import snapshot_folder, snapshot_numbered
from .snapshot_reading import Line, written_lines_of

ADDED, CHANGED, REMOVED = KINDS = ("added", "changed", "removed")
# What of a pair can change; the words of the page.
ASPECTS = {
    "verdict": "verdict",
    "masks": "masks",
    "split": "split",
    "is_exhaustive": "whether every instance is outlined",
    "width": "size",
    "height": "size",
    "pseudo": "whether a person settled it",
}


@dataclass(frozen=True)
class Change:
    """One pair; `before` or `after` is None where one version has it alone."""

    kind: str
    before: Line | None
    after: Line | None

    @property
    def line(self) -> Line:
        line = self.after or self.before
        assert line is not None
        return line

    @property
    def verdict(self) -> str:
        """As it is in the later version, or was before it went; `absent → present` where it turned."""
        if self.before and self.after and self.before["verdict"] != self.after["verdict"]:
            return f"{self.before['verdict']} → {self.after['verdict']}"
        return self.line["verdict"]

    @property
    def aspects(self) -> list[str]:
        if not (self.before and self.after):
            return []
        differing = [words for key, words in ASPECTS.items() if self.before.get(key) != self.after.get(key)]
        return list(dict.fromkeys(differing))


@dataclass
class Difference:
    """Counts, and the first few pairs of each kind. `by_concept` = {phrase: {(kind, verdict): n}}."""

    before: Snapshot
    after: Snapshot
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys((*KINDS, "same"), 0))
    by_concept: dict[str, dict[tuple[str, str], int]] = field(default_factory=dict)
    aspects: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[Change]] = field(default_factory=lambda: {kind: [] for kind in KINDS})

    def count(self, change: Change, examples: int | None) -> None:
        self.counts[change.kind] += 1
        row = self.by_concept.setdefault(change.line["text_input"], {})
        key = (change.kind, change.verdict)
        row[key] = row.get(key, 0) + 1
        for aspect in change.aspects:
            self.aspects[aspect] = self.aspects.get(aspect, 0) + 1
        if examples is None or len(self.examples[change.kind]) < examples:
            self.examples[change.kind].append(change)

    @property
    def is_empty(self) -> bool:
        return not any(self.counts[kind] for kind in KINDS)


def snapshot_difference(*, before: Snapshot, after: Snapshot, examples: int | None = 8) -> Difference:
    """`examples`: how many pairs of each kind to keep; None keeps all of them."""
    found = Difference(before, after)
    lines = [written_lines_of(snapshot_folder(snapshot)) for snapshot in (before, after)]
    for old, new in _side_by_side(*lines):
        if old is new is None:
            found.counts["same"] += 1
        else:
            found.count(Change(_kind(old, new), old, new), examples)
    return found


def snapshot_called(*, project: Project, called: str) -> Snapshot:
    """By its number or its tag; RoostError with 404 for neither."""
    if called.isascii() and called.isdecimal() and len(called) < 10:
        return snapshot_numbered(project=project, number=int(called))
    snapshot = project.snapshots.select_related("project").filter(tag=called).exclude(tag="").first()
    if snapshot is None:
        words = f"{project.name} has no snapshot with the tag or number {called!r}."
        raise RoostError(words, code="unknown_snapshot", http_status=404)
    return snapshot


def _kind(old: Line | None, new: Line | None) -> str:
    return ADDED if old is None else REMOVED if new is None else CHANGED


def _side_by_side(before: Iterator[bytes], after: Iterator[bytes]) -> Iterator[tuple[Line | None, Line | None]]:
    """A pair as both have it, None where one lacks it; (None, None) for one that is the same, as most are."""
    old, new = next(before, None), next(after, None)
    while old is not None or new is not None:
        if old == new:
            yield None, None
            old, new = next(before, None), next(after, None)
            continue
        left, right = _parsed(old), _parsed(new)
        place = min(_place(line) for line in (left, right) if line is not None)
        mine = left if left is not None and _place(left) == place else None
        yours = right if right is not None and _place(right) == place else None
        yield mine, yours
        old = next(before, None) if mine else old
        new = next(after, None) if yours else new


def _parsed(line: bytes | None) -> Line | None:
    return None if line is None else json.loads(line)


def _place(line: Line) -> tuple[str, str]:
    return line["file_name"], line["text_input"]


def difference_plain(found: Difference) -> dict[str, Any]:
    """As JSON has it: the API and `manage.py dataset diff --json`."""
    return {
        "before": _named(found.before),
        "after": _named(found.after),
        "counts": found.counts,
        "by_concept": [
            {"text_input": phrase, "change": kind, "verdict": verdict, "pairs": pairs}
            for phrase, row in sorted(found.by_concept.items())
            for (kind, verdict), pairs in sorted(row.items())
        ],
        "aspects": found.aspects,
        "examples": [
            {"change": kind, "before": change.before, "after": change.after}
            for kind in KINDS
            for change in found.examples[kind]
        ],
    }


def _named(snapshot: Snapshot) -> dict[str, Any]:
    fields = ("number", "name", "tag", "content_hash", "data_revision")
    return {name: getattr(snapshot, name) for name in fields}
