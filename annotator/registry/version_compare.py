"""Two or more versions on one set: figures side by side, how sure their difference is, images mended and broken.

All of it comes from kept rows, so that nothing is asked of a model; what lacks an evaluation is said.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Max, QuerySet

from annotator.common.errors import RoostError
from annotator.models import Evaluation, ModelVersion, Project
from toolbox.cgf1_sums import Figure as SumsFigure
from toolbox.cgf1_sums import cgf1_of_sums, mcc_of_sums, paired_differences, pmf1_of_sums, terms_of_rows

from .evaluation_page import Figure, evaluations_of, figures_of
from .judged_files import rows_of

AT_MOST = 6
SETS = 100  # that are offered, of the newest snapshots; one that is named is found all the same
SHOWN = 60  # images mended or broken; their number is told whole
PAIRED: dict[str, SumsFigure] = {"CGF1": cgf1_of_sums, "pmF1": pmf1_of_sums, "IL_MCC": mcc_of_sums}
Key = tuple[str, str]
Row = dict[str, Any]


@dataclass(frozen=True)
class JudgedSet:
    """A snapshot's split, and who was evaluated on it."""

    snapshot: int
    split: str
    versions: tuple[str, ...]


@dataclass(frozen=True)
class Change:
    """A pair that one version has right and the other wrong, at IoU 0.5: every instance found and nothing else."""

    image: str
    text_input: str
    words: str


@dataclass(frozen=True)
class Difference:
    """A version against the first one, on the pairs that all of them judged; fractions."""

    version: str
    against: str
    gains: list[tuple[str, float, float, float]]
    mended: list[Change]
    broken: list[Change]
    mended_count: int
    broken_count: int


@dataclass(frozen=True)
class Comparison:
    """`figures`: (name, words, one for each version, or None). `pairs`: that all of them judged."""

    versions: list[ModelVersion]
    sets: list[JudgedSet]
    chosen: JudgedSet | None
    evaluations: list[Evaluation | None]
    figures: list[tuple[str, str, list[Figure | None]]] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    pairs: int = 0
    pairs_differ: bool = False

    @property
    def columns(self) -> list[tuple[str, Evaluation | None]]:
        return list(zip((version.name for version in self.versions), self.evaluations, strict=True))

    @property
    def lacking(self) -> list[ModelVersion]:
        both = zip(self.versions, self.evaluations, strict=True)
        return [version for version, evaluation in both if evaluation is None]


def versions_compared(*, project: Project, names: Sequence[str]) -> list[ModelVersion]:
    """Oldest first, so that news is told of the newer; RoostError for one that is not there, too few or too many."""
    wanted = list(dict.fromkeys(names))
    if not 2 <= len(wanted) <= AT_MOST:
        raise RoostError(f"Name two to {AT_MOST} versions, not {len(wanted)}.", code="bad_comparison")
    visible = ModelVersion.objects.filter(name__in=wanted)
    found = {row.name: row for row in visible if row.project_id in (None, project.pk)}
    if missing := [name for name in wanted if name not in found]:
        words = f"This project has no version {', '.join(missing)}."
        raise RoostError(words, code="unknown_version", http_status=404)
    return sorted(found.values(), key=lambda row: row.pk)


def comparison_of(
    *, project: Project, versions: list[ModelVersion], snapshot: int | None = None, split: str = ""
) -> Comparison:
    """On the set that is named, or on the one that most of them were judged on, the newest of these."""
    sets = _sets(project, versions)
    chosen = _chosen(sets, snapshot, split)
    here = _newest(project, versions, chosen) if chosen else {}
    evaluations = [here.get(version.pk) for version in versions]
    return Comparison(versions, sets, chosen, evaluations, _figures(evaluations), *_differences(evaluations))


def _kept(project: Project, versions: list[ModelVersion]) -> QuerySet[Evaluation]:
    """Those whose rows were kept, in no order."""
    return Evaluation.objects.filter(project=project, version__in=versions).exclude(folder="").order_by()


def _sets(project: Project, versions: list[ModelVersion]) -> list[JudgedSet]:
    """Those that most of them were judged on first, of these the newest."""
    by_set = _kept(project, versions).values_list("snapshot__number", "split", "version__name").distinct()
    found: dict[tuple[int, str], set[str]] = defaultdict(set)
    for number, split, version in by_set.order_by("-snapshot__number")[: SETS * len(versions)]:
        found[number, split].add(version)
    sets = [JudgedSet(*key, tuple(sorted(names))) for key, names in found.items()]
    return sorted(sets, key=lambda one: (len(one.versions), one.snapshot, one.split), reverse=True)


def _newest(project: Project, versions: list[ModelVersion], chosen: JudgedSet) -> dict[int, Evaluation]:
    """{version: its newest evaluation on this set}, whether the set is among the offered ones or not."""
    kept = _kept(project, versions).filter(snapshot__number=chosen.snapshot, split=chosen.split)
    newest = kept.values("version_id").annotate(newest=Max("pk")).values_list("newest", flat=True)
    rows = evaluations_of(project=project).in_bulk(list(newest))
    return {row.version_id: row for row in rows.values()}


def _chosen(sets: list[JudgedSet], snapshot: int | None, split: str) -> JudgedSet | None:
    if snapshot is None:
        return next((one for one in sets if split in ("", one.split)), None)
    named = (one for one in sets if (one.snapshot, one.split) == (snapshot, split or one.split))
    return next(named, JudgedSet(snapshot, split or "holdout", ()))


def _figures(evaluations: list[Evaluation | None]) -> list[tuple[str, str, list[Figure | None]]]:
    told = [{one.name: one for one in figures_of(row)} if row else {} for row in evaluations]
    words = {name: one.words for column in told for name, one in column.items()}
    return [(name, text, [column.get(name) for column in told]) for name, text in words.items()]


def _differences(evaluations: list[Evaluation | None]) -> tuple[list[Difference], int, bool]:
    """Of those that have rows, against the first of these; on the pairs that they share."""
    rows = [(row, _rows_by_pair(row)) for row in evaluations if row is not None]
    rows = [(row, pairs) for row, pairs in rows if pairs]
    if len(rows) < 2:
        return [], 0, False
    shared = sorted(set.intersection(*(set(pairs) for _, pairs in rows)))
    differ = any(len(pairs) != len(shared) for _, pairs in rows)
    if not shared:
        return [], 0, differ
    found = [
        _difference((rows[0][0].version.name, row.version.name), rows[0][1], pairs, shared) for row, pairs in rows[1:]
    ]
    return found, len(shared), differ


def _rows_by_pair(evaluation: Evaluation) -> dict[Key, Row]:
    return {(row["image"], row["text_input"]): row for row in rows_of(evaluation) or []}


def _difference(
    names: tuple[str, str], first: dict[Key, Row], second: dict[Key, Row], shared: Sequence[Key]
) -> Difference:
    """`names`: against which version, and which one."""
    sides = [[pairs[key] for key in shared] for pairs in (first, second)]
    both = list(zip(*sides, strict=True))
    mended = [change_between(*pair) for pair in both if not is_right(pair[0]) and is_right(pair[1])]
    broken = [change_between(*pair) for pair in both if is_right(pair[0]) and not is_right(pair[1])]
    return Difference(names[1], names[0], _gains(sides), mended[:SHOWN], broken[:SHOWN], len(mended), len(broken))


def is_right(row: Row) -> bool:
    """A negative on which nothing is found, a positive of which all is found and nothing else."""
    if not row["instances"]:
        return not row["predicted"]
    return bool(row["true_positives"][0] == row["instances"] == row["predicted"])


def change_between(first: Row, second: Row) -> Change:
    if not first["instances"]:
        words = f"nothing is there; found {first['predicted']}, then {second['predicted']}"
    else:
        told = [f"{row['true_positives'][0]} right of {row['predicted']} found" for row in (first, second)]
        words = f"{first['instances']} there; {told[0]}, then {told[1]}"
    return Change(first["image"], first["text_input"], words)


def _gains(sides: list[list[Row]]) -> list[tuple[str, float, float, float]]:
    """(name, gain, low, high): scenes are redrawn, the same for both; each interval holds by itself."""
    first, second = (terms_of_rows(side) for side in sides)
    scenes = [row["scene"] for row in sides[0]]
    found = paired_differences(first, second, scenes, list(PAIRED.values()))
    return [(name, *one) for name, one in zip(PAIRED, found, strict=True)]
